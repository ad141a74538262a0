// What `statestore recover` would do for a partition, and what it says of it. Pure: what was found comes in,
// whether a log can be carried on is decided by @statestore/cluster, and this file says it to a person.
import type { LogDecision, LogDescription, ObservedNode } from '@statestore/cluster';
import { decideLogRecovery } from '@statestore/cluster';
import type { PartitionPlacement } from '@statestore/core';

type Nodes = ReadonlyMap<string, ObservedNode>;
type Recovering = Extract<LogDecision, { readonly kind: 'recover' }>;

export type PartitionVerdict =
  /** There is nothing to do. */
  | { readonly kind: 'sound'; readonly why: string }
  /** `against`: what may be lost; where there is something, only with --force. */
  | { readonly kind: 'recover'; readonly decision: Recovering; readonly against: readonly string[] }
  /** Also with --force. */
  | { readonly kind: 'refused'; readonly why: readonly string[] };

/** `stream`: the one that the topology names; undefined: there is none. `from`: the node to carry on from. */
/* oxlint-disable-next-line max-params -- what was found, and what is wished */
export function judgePartition(
  placement: PartitionPlacement,
  reported: Nodes,
  stream: LogDescription | undefined,
  from?: string,
): PartitionVerdict {
  // One that only seems live may be gone for good, with what nobody else has: it is not carried on from.
  const nodes = new Map([...reported].map(([name, node]) => [name, { ...node, live: node.confirmed }]));
  const wish = from === undefined ? {} : { from };
  const decision = decideLogRecovery(placement, nodes, stream, wish);
  const own = stream?.log.incarnation === placement.log?.incarnation ? stream : undefined;
  if (decision.kind === 'sound' && own?.sealed !== true && !mustWait(placement, nodes, own)) return decision;
  // Two histories of one length: nobody can say which one was acknowledged, but a person who names one.
  const differing = from === undefined ? replicasThatDiffer(placement, nodes) : undefined;
  if (differing !== undefined) return { kind: 'refused', why: [differing] };
  if (decision.kind === 'recover') return { kind: 'recover', decision, against: [] };
  const forced = decideLogRecovery(placement, nodes, stream, { ...wish, force: true });
  if (forced.kind !== 'recover') return { kind: 'refused', why: forced.kind === 'sound' ? [forced.why] : forced.why };
  const { position } = forced.point;
  if (own !== undefined && own.last > position) {
    const more = `the stream goes to ${own.last}: what is after ${position} in it is given up`;
    return { kind: 'recover', decision: forced, against: [...forced.despite, more] };
  }
  // Nothing can be added to a sealed one any more: whoever is at its end has all of it.
  const complete = own?.sealed === true && own.last === position && !someSilent(placement, nodes);
  return { kind: 'recover', decision: forced, against: complete ? [] : forced.despite };
}

/** Replicas wait although the log has all that those have who speak: another one, now silent, had more. */
function mustWait(placement: PartitionPlacement, nodes: Nodes, stream: LogDescription | undefined): boolean {
  if (stream === undefined) return true;
  return reportsOf(placement, nodes).some(
    ({ replica }) => replica.incarnation === stream.log.incarnation && BigInt(replica.appliedPosition) > stream.last,
  );
}

function someSilent({ replicas }: PartitionPlacement, nodes: Nodes): boolean {
  return replicas.some((node) => nodes.get(node)?.confirmed !== true);
}

function replicasThatDiffer(placement: PartitionPlacement, nodes: Nodes): string | undefined {
  const usable = reportsOf(placement, nodes).filter(
    ({ confirmed, replica }) =>
      confirmed &&
      replica.incarnation === placement.log?.incarnation &&
      replica.state === 'halted' &&
      replica.haltCause === 'log_regressed',
  );
  for (const { node, replica } of usable) {
    const other = usable.find(
      (each) => each.replica.appliedPosition === replica.appliedPosition && each.replica.chain !== replica.chain,
    );
    if (other === undefined) continue;
    return `the replicas on ${node} and ${other.node} are both at ${replica.appliedPosition} and differ (chains ${replica.chain}, ${other.replica.chain}): say which one is right with --partition and --from`;
  }
  return undefined;
}

function reportsOf({ partition, replicas }: PartitionPlacement, nodes: Nodes) {
  return replicas.flatMap((node) => {
    const observed = nodes.get(node);
    const replica = observed?.report.replicas.find((each) => each.partition === partition);
    return replica === undefined ? [] : [{ node, confirmed: observed?.confirmed === true, replica }];
  });
}

/** Whether a replica may say something else in a moment: it opens, or does not know yet what became of its log. */
export function isUnsettled(placement: PartitionPlacement, nodes: Nodes, stream: LogDescription | undefined): boolean {
  if (placement.log === undefined) return false;
  const isThere = stream?.log.incarnation === placement.log.incarnation;
  return placement.replicas.some((node) => {
    const observed = nodes.get(node);
    if (observed?.confirmed !== true) return false;
    const replica = observed.report.replicas.find(({ partition }) => partition === placement.partition);
    if (replica === undefined || replica.state === 'starting' || replica.state === 'stopped') return true;
    if (replica.storedPosition !== replica.appliedPosition) return !isThere;
    return replica.state === 'running' && (!isThere || BigInt(replica.appliedPosition) > stream.last);
  });
}

/** What was found, a line each. */
export function findings(
  placement: PartitionPlacement,
  nodes: Nodes,
  stream: LogDescription | undefined,
): readonly string[] {
  const { partition, log, replicas, joining = [] } = placement;
  const named = log === undefined ? 'no log' : `log ${log.incarnation} (generation ${log.generation})`;
  const rows = [...replicas, ...joining].map((node) => {
    const observed = nodes.get(node);
    const replica = observed?.report.replicas.find((each) => each.partition === partition);
    const silent =
      observed?.confirmed === true ? '' : observed === undefined ? 'never heard of' : 'silent; last said: ';
    if (replica === undefined) return `  ${node}: ${silent}${observed === undefined ? '' : 'no replica'}`;
    const { state, haltCause, appliedPosition, storedPosition, chain, durable } = replica;
    const halted = haltCause === undefined ? '' : ` (${haltCause})`;
    const stored = storedPosition === appliedPosition ? '' : `, stored ${storedPosition}`;
    const other = replica.incarnation === log?.incarnation ? '' : `, of log ${replica.incarnation || 'none'}`;
    const memory = durable === false ? ', in memory only' : '';
    const joins = joining.includes(node) ? ', joining' : '';
    return `  ${node}: ${silent}${state}${halted}, position ${appliedPosition}${stored}, chain ${chain}${other}${memory}${joins}`;
  });
  return [`partition ${partition}: ${named}; ${streamText(stream, log?.incarnation)}`, ...rows];
}

function streamText(stream: LogDescription | undefined, incarnation: string | undefined): string {
  if (stream === undefined) return 'its stream is gone';
  const { first, last, log, sealed } = stream;
  const other = log.incarnation === incarnation ? '' : `, of another log: ${log.incarnation}`;
  return `its stream has ${first} to ${last}${other}${sealed === true ? ', sealed' : ''}`;
}

/** What is to be done and why, a line each. */
export function verdictLines(verdict: PartitionVerdict, force: boolean): readonly string[] {
  switch (verdict.kind) {
    case 'sound':
      return [`  nothing to do: ${verdict.why}`];
    case 'refused':
      return ['  cannot be recovered:', ...verdict.why.map((why) => `    ${why}`)];
    case 'recover': {
      const { decision, against } = verdict;
      const { from, point, behind, lost } = decision;
      const also = [
        ...(behind.length === 0 ? [] : [`    made anew from it: ${behind.join(', ')}`]),
        ...(lost.length === 0 ? [] : [`    have more or something else, which is given up: ${lost.join(', ')}`]),
      ];
      const what = `carry on from ${from}, position ${point.position}, in a new log`;
      if (against.length === 0) return [`  to do: ${what}`, ...also];
      const how = force ? `to do despite what may be lost: ${what}` : `only with --force: ${what}`;
      return [`  ${how}`, ...also, ...against.map((why) => `    ${why}`)];
    }
  }
}
