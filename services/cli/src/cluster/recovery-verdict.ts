// What `statestore recover` would do for a partition, and what it says of it. Pure: what was found comes in,
// whether a log can be carried on is decided by @statestore/cluster, and this file says it to a person.
import type { LogDecision, LogDescription, ObservedNode, ReplicaReport } from '@statestore/cluster';
import { compareHistories, decideLogRecovery, replicasThatDiffer } from '@statestore/cluster';
import type { PartitionPlacement } from '@statestore/core';

type Nodes = ReadonlyMap<string, ObservedNode>;
export type RecoveringFrom = Extract<LogDecision, { readonly kind: 'recover' }>;

export type PartitionVerdict =
  /** There is nothing to do. */
  | { readonly kind: 'sound'; readonly why: string }
  /** `against`: what may be lost; where there is something, only with --force. */
  | { readonly kind: 'recover'; readonly decision: RecoveringFrom; readonly against: readonly string[] }
  /** Also with --force. */
  | { readonly kind: 'refused'; readonly why: readonly string[] };

/**
 * `stream`: the one that the topology names; undefined: there is none. `from`: the node to carry on from. `epoch`: that
 * the log was fenced by; reports of nodes that act on an earlier one do not count.
 */
/* oxlint-disable-next-line max-params -- what was found, and what is wished */
export function judgePartition(
  placement: PartitionPlacement,
  reported: Nodes,
  stream: LogDescription | undefined,
  { from, epoch = 0n }: { readonly from?: string | undefined; readonly epoch?: bigint } = {},
): PartitionVerdict {
  // One that only seems live may be gone for good, with what nobody else has: it is not carried on from.
  const nodes = new Map([...reported].map(([name, node]) => [name, { ...node, live: node.confirmed }]));
  const wish = { epoch, ...(from === undefined ? {} : { from }) };
  const decision = decideLogRecovery(placement, nodes, stream, wish);
  const own = stream?.log.incarnation === placement.log?.incarnation ? stream : undefined;
  if (decision.kind === 'sound' && own?.sealed !== true && !mustWait(placement, nodes, own)) {
    const left = leftBehind(placement, nodes, own);
    return left.length === 0 ? decision : { kind: 'refused', why: left };
  }
  // Two histories of one length: nobody can say which one was acknowledged, but a person who names one.
  const refusedFor = (incarnation: string | undefined): PartitionVerdict | undefined => {
    const differing = from === undefined ? equalsThatDiffer(placement, nodes, incarnation) : undefined;
    return differing === undefined ? undefined : { kind: 'refused', why: [differing] };
  };
  const refused = refusedFor(placement.log?.incarnation);
  if (refused !== undefined) return refused;
  if (decision.kind === 'recover') return { kind: 'recover', decision, against: [] };
  const forced = decideLogRecovery(placement, nodes, stream, { ...wish, force: true });
  if (forced.kind !== 'recover') return { kind: 'refused', why: forced.kind === 'sound' ? [forced.why] : forced.why };
  const { position, incarnation } = forced.point;
  const refusedBefore = refusedFor(incarnation);
  if (refusedBefore !== undefined) return refusedBefore;
  if (own !== undefined && own.last > position) {
    const more = `the stream goes to ${own.last}: what is after ${position} in it is given up`;
    return { kind: 'recover', decision: forced, against: [...forced.despite, more] };
  }
  if (decision.kind === 'sound') {
    const same = `the stream holds as much as the replicas have, and none follows it: what it has instead is given up`;
    return { kind: 'recover', decision: forced, against: [...forced.despite, same] };
  }
  // Nothing can be added to a sealed one any more: whoever is at its end has all of it.
  const complete = own?.sealed === true && own.last === position && !someSilent(placement, nodes, epoch);
  return { kind: 'recover', decision: forced, against: complete ? forced.losses : forced.despite };
}

/** What speaks against doing this, decided since the log was fenced, where `first` was decided and told before. */
export function objectionsTo(verdict: PartitionVerdict, first: RecoveringFrom, force: boolean): readonly string[] {
  if (verdict.kind === 'sound') return [verdict.why];
  if (verdict.kind === 'refused') return verdict.why;
  const { point, from, lost } = verdict.decision;
  if (point.incarnation !== first.point.incarnation)
    return [`the best one now, ${from}, is of log ${point.incarnation}`];
  const objections = force ? [] : [...verdict.against];
  const before = first.point.position;
  if (point.position < before) {
    objections.push(`it was to be carried on after ${before}; the best one now, ${from}, is at ${point.position}`);
  }
  const more = lost.filter((node) => !first.lost.includes(node));
  if (more.length > 0) objections.push(`what ${more.join(', ')} has more, or else, would be given up as well`);
  return objections;
}

/**
 * Replicas wait although the log has all that those have who speak: another one, now silent, had more; or the log
 * lost something and grew again, and nobody can follow it.
 */
function mustWait(placement: PartitionPlacement, nodes: Nodes, stream: LogDescription | undefined): boolean {
  if (stream === undefined) return true;
  const known = reportsOf(placement, nodes).filter(({ replica }) => replica.incarnation === stream.log.incarnation);
  if (known.some(({ replica }) => BigInt(replica.appliedPosition) > stream.last)) return true;
  const speaking = known.filter(({ confirmed }) => confirmed);
  return speaking.length > 0 && speaking.every(({ replica }) => waits(replica));
}

function waits({ state, haltCause }: ReplicaReport): boolean {
  return state === 'halted' && haltCause === 'log_regressed';
}

function someSilent({ replicas }: PartitionPlacement, nodes: Nodes, epoch: bigint): boolean {
  return replicas.some((node) => {
    const observed = nodes.get(node);
    return observed?.confirmed !== true || BigInt(observed.report.epoch) < epoch;
  });
}

/** Replicas that run on a log keep it as it is, and some wait beside them: what these have, it has not. */
function leftBehind(placement: PartitionPlacement, nodes: Nodes, stream: LogDescription | undefined): string[] {
  const known = reportsOf(placement, nodes).filter(({ confirmed, replica }) => {
    return confirmed && replica.incarnation === stream?.log.incarnation;
  });
  const left = known.filter(({ replica }) => waits(replica));
  const [most] = left.toSorted((a, b) => Number(BigInt(b.replica.appliedPosition) - BigInt(a.replica.appliedPosition)));
  if (most === undefined) return [];
  const { partition } = placement;
  const others = known.filter(({ replica }) => !waits(replica)).map(({ node }) => node);
  const names = left.map(({ node }) => node).join(', ');
  const where = left.map(({ node, replica }) => `${node} (at ${replica.appliedPosition})`).join(', ');
  const differing = replicasThatDiffer(placement, nodes).map(
    ({ node, than, position }) => `${node} has another history than ${than}: at ${position} they differ`,
  );
  return [
    `the log goes to ${stream?.last}, and does not hold what ${where} applied and may have acknowledged`,
    ...differing,
    `${others.join(', ')} went on with it, and may have acknowledged what it has instead: one of the two is to be given up`,
    `to keep what ${most.node} has: stop the nodes of ${others.join(', ')}, then --partition ${partition} --from ${most.node} --yes --force`,
    `to keep the log: one after the other, stop the nodes of ${names}, move partitions/${partition}/data out of their data folders to a place where it is kept, and start them: they are built anew`,
  ];
}

function equalsThatDiffer(
  placement: PartitionPlacement,
  nodes: Nodes,
  incarnation: string | undefined,
): string | undefined {
  const isBefore = incarnation !== placement.log?.incarnation;
  const usable = reportsOf(placement, nodes).filter(
    ({ confirmed, replica }) =>
      confirmed && replica.incarnation === incarnation && (isBefore ? replica.state === 'halted' : waits(replica)),
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

/**
 * Whether a replica may say something else in a moment: it opens, or does not know yet what became of its log, or
 * has not heard of this epoch.
 */
/* oxlint-disable-next-line max-params -- what was found, and since when */
export function isUnsettled(
  placement: PartitionPlacement,
  nodes: Nodes,
  stream: LogDescription | undefined,
  epoch = 0n,
): boolean {
  const { log, replicas, partition } = placement;
  if (log === undefined) return false;
  const own = stream?.log.incarnation === log.incarnation ? stream : undefined;
  if (awaitsComparison(placement, nodes)) return true;
  return replicas.some((node) => {
    const observed = nodes.get(node);
    if (observed?.confirmed !== true) return false;
    if (BigInt(observed.report.epoch) < epoch) return true;
    const replica = observed.report.replicas.find((each) => each.partition === partition);
    return replica === undefined || mayChange(replica, own);
  });
}

/** Whether one that waits will say in a moment whether another one has the same history. */
function awaitsComparison(placement: PartitionPlacement, nodes: Nodes): boolean {
  const waiting = reportsOf(placement, nodes)
    .filter(({ confirmed, replica }) => confirmed && waits(replica))
    .filter(({ replica }) => replica.incarnation === placement.log?.incarnation);
  return waiting.some((ahead) =>
    waiting.some((other) => {
      if (BigInt(other.replica.appliedPosition) >= BigInt(ahead.replica.appliedPosition)) return false;
      return compareHistories(ahead.replica, other.replica) === 'not said';
    }),
  );
}

function mayChange(replica: ReplicaReport, stream: LogDescription | undefined): boolean {
  const { state, appliedPosition, storedPosition, heardPosition = '0' } = replica;
  if (state === 'starting' || state === 'stopped') return true;
  const applied = BigInt(appliedPosition);
  const goesOn = stream !== undefined && stream.sealed !== true && stream.last >= applied;
  // It knows that the log lost something, whatever it holds where this one stands.
  const isShort = stream !== undefined && BigInt(heardPosition) > stream.last;
  // One that waits finds out that its log is well, or has something left for it.
  if (waits(replica))
    return (
      (goesOn && !isShort) || (stream !== undefined && stream.last > applied) || storedPosition !== appliedPosition
    );
  // One that runs finds out that it is not.
  return !goesOn && (state === 'running' || storedPosition !== appliedPosition);
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
