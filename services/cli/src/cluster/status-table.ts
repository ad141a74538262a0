// A cluster's state as text of so many lines, in columns.
import { sizeOf } from '../checkpoint/columns.ts';
import { resizeLines } from './resize-text.ts';
import type { ClusterView, NodeView, PartitionView, ReplicaView } from './cluster-view.ts';

/** `rowsMax`: at most so many lines, for a screen; what does not fit is counted. */
export function statusTable(view: ClusterView, rowsMax = Number.POSITIVE_INFINITY): string {
  const head = [headline(view), ''];
  const nodes = columns([
    ['NODE', 'STATE', 'ZONE', 'ADDRESS', 'REPLICAS', 'PREFERRED', 'DISK FREE', 'VERSION'],
    ...view.nodes.map(nodeRow),
  ]);
  const partitions = columns([
    ['PARTITION', 'SLOTS', 'LOG', 'POSITION', 'REPLICAS (preferred first)'],
    ...view.partitions.map(partitionRow),
  ]);
  const problems = view.problems.length === 0 ? ['No problems.'] : ['Problems:', ...view.problems.map((p) => `  ${p}`)];
  const kept = [...changeLines(view), ...keptLines(view)];
  const fixed = head.length + nodes.length + kept.length + problems.length + 2;
  const shown = cut(partitions, Math.max(3, rowsMax - fixed), 'partitions');
  return [...head, ...nodes, '', ...(view.partitions.length === 0 ? [] : [...shown, '']), ...kept, ...problems].join(
    '\n',
  );
}

function headline({ cluster, epoch, replicationFactor, logReplicas, partitions }: ClusterView): string {
  if (epoch === undefined) return `cluster ${cluster}: no topology`;
  const copies = replicationFactor === undefined ? '' : `, ${replicationFactor} replicas each`;
  const logs = logReplicas === undefined ? '' : `, logs of ${logReplicas}`;
  return `cluster ${cluster}: epoch ${epoch}, ${partitions.length} partitions${copies}${logs}`;
}

function nodeRow(node: NodeView): string[] {
  const { name, state, draining, zone, address, replicas, preferred, version } = node;
  return [
    name,
    draining ? `${state}, draining` : state,
    zone,
    address,
    String(replicas),
    String(preferred),
    diskFree(node),
    version,
  ];
}

function changeLines({ resize, retired }: ClusterView): string[] {
  const gone = retired.map(({ partition, into }) => `partition ${partition} was merged into ${into}`);
  return [
    ...(resize === undefined ? [] : [...resizeLines(resize), '']),
    ...(gone.length === 0 ? [] : [`Kept for a while for those who follow them: ${gone.join(', ')}.`, '']),
  ];
}

/** Not a problem of the cluster, and for a person all the same: nothing else removes them. */
function keptLines({ kept }: ClusterView): string[] {
  if (kept.length === 0) return [];
  const lines = kept.map(
    ({ node, path, bytes, why }) => `  ${node}: ${path} (${Math.ceil(bytes / mebibyte)} MiB): ${why}`,
  );
  return ['Kept aside, to be removed by a person once nobody needs them:', ...lines, ''];
}

const waitCharsMax = 100;
const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

function diskFree({ diskFreeBytes, diskTotalBytes }: NodeView): string {
  if (diskTotalBytes === 0) return '';
  return `${Math.floor((diskFreeBytes / diskTotalBytes) * 100)}% of ${(diskTotalBytes / gibibyte).toFixed(1)} GiB`;
}

function partitionRow({ partition, slots, generation, position, replicas }: PartitionView): string[] {
  const log = generation === 0 ? '' : `g${generation}`;
  return [String(partition), String(slots), log, position, replicas.map(replicaText).join('  ')];
}

function replicaText({ node, role, state, haltCause, reason, appliedPosition, lag, build }: ReplicaView): string {
  const notes = [
    ...(role === 'replica' ? [] : [role]),
    ...(state === 'running' ? [] : [haltCause === undefined ? state : `${state} ${haltCause}`]),
    ...(build === undefined ? waitText(state, reason) : [buildText(build)]),
    ...(lag === 0 ? [] : [`lag ${lag}`]),
  ];
  return `${node}@${appliedPosition}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`;
}

/** What it waits for; why one has halted is said among the problems. */
function waitText(state: ReplicaView['state'], reason: string): string[] {
  if (reason === '' || (state !== 'starting' && state !== 'copying')) return [];
  return [reason.length > waitCharsMax ? `${reason.slice(0, waitCharsMax - 1)}…` : reason];
}

function buildText({ source, from, records, bytes, part, remainingMs }: NonNullable<ReplicaView['build']>): string {
  const far = `${records} records, ${sizeOf(bytes)}`;
  const of = `${source === 'peer' ? 'node' : 'checkpoint'} ${from}`;
  const end = remainingMs === undefined ? '' : `, ${Math.ceil(remainingMs / 1000)} s left`;
  return `${part === undefined ? 'copied from' : `${Math.floor(part * 100)}% of`} ${of}: ${far}${end}`;
}

/** Rows in columns, a line each. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function cut(lines: readonly string[], linesMax: number, what: string): readonly string[] {
  if (lines.length <= linesMax) return lines;
  return [...lines.slice(0, linesMax - 1), `… and ${lines.length - linesMax + 1} more ${what}`];
}
