// A log that was lost, or lost its end, is carried on from the replica that has most. Which one that is, and
// what speaks against it, is decided here, purely, for a person who may insist; recover-log.ts does it. Nodes
// go on by themselves only where nothing speaks against it (services/node cluster/recovery-decision.ts).
import type { PartitionLog, PartitionPlacement } from '@statestore/core';

import type { LogDescription } from './log-streams.ts';
import type { ObservedNode, ReplicaReport } from './node-registry.ts';
import type { RecoveryPoint } from './recover-log.ts';
import { compareHistories } from './replica-histories.ts';

export interface LogRecoveryWish {
  /** Despite everything that speaks against it. What other replicas have and the chosen one has not is lost. */
  readonly force?: boolean;
  /** Carry on from this node's replica. Default: the one that has most. */
  readonly from?: string;
  /** The log was fenced by this epoch: what nodes say that act on an earlier one may not be true any more. */
  readonly epoch?: bigint;
}

export type LogDecision =
  | {
      readonly kind: 'recover';
      readonly point: RecoveryPoint;
      readonly from: string;
      /** Nodes whose replica is behind, and is made anew from others. */
      readonly behind: readonly string[];
      /** Nodes whose replica has what the chosen one has not, or something else: that will be lost. */
      readonly lost: readonly string[];
      /** What spoke against it, where it was insisted on. */
      readonly despite: readonly string[];
      /** Those of them that no more waiting answers: somebody has, or had, what will be lost. */
      readonly losses: readonly string[];
    }
  /** The log has everything that any replica is known to have. */
  | { readonly kind: 'sound'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: readonly string[] };

interface Candidate {
  readonly node: string;
  readonly position: bigint;
  readonly chain: string;
  readonly replica: ReplicaReport;
}

/** Pure. `found`: the stream that the topology names; undefined: there is none. */
export function decideLogRecovery(
  placement: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
  found: LogDescription | undefined,
  wish: LogRecoveryWish = {},
): LogDecision {
  const { partition, log, replicas, joining = [] } = placement;
  const { epoch = 0n } = wish;
  if (log === undefined) return { kind: 'refused', why: [`the topology names no log of partition ${partition}`] };
  const why: string[] = [];
  const own: Candidate[] = [];
  const before: Candidate[] = [];
  for (const node of [...replicas, ...joining]) {
    const observed = nodes.get(node);
    const replica = observed?.report.replicas.find((each) => each.partition === partition);
    const against = objectionTo(observed, replica, log.incarnation, epoch);
    // One that joins was never asked to answer anybody: it need not be heard.
    if (against !== undefined && replicas.includes(node)) why.push(`node ${node} ${against}`);
    if (replica === undefined || !hasHeard(observed, epoch)) continue;
    const candidate = { node, position: BigInt(replica.appliedPosition), chain: replica.chain, replica };
    if (isCandidate(observed, replica, log)) own.push(candidate);
    if (isOfLogBefore(observed, replica, log)) before.push(candidate);
  }
  // Nobody has anything of this log any more: its beginning, in the log that it carries on, is better than nothing.
  const candidates = own.length === 0 && wish.force === true ? before : own;
  const best = chosen(candidates, wish.from);
  if (best === undefined) {
    const whom = wish.from === undefined ? 'no replica of it can be' : `the replica on node ${wish.from} cannot be`;
    return { kind: 'refused', why: [`${whom} carried on from`, ...why] };
  }
  const most = mostReported(placement, nodes, ({ appliedPosition }) => appliedPosition);
  const isWhole = found?.log.incarnation === log.incarnation && found.last >= most && found.sealed !== true;
  if (isWhole && wish.force !== true) {
    return { kind: 'sound', why: `the log holds positions up to ${found.last}, replicas have up to ${most}` };
  }
  const others = candidates.filter(({ node }) => node !== best.node);
  const losses = [...againstOthers(best, others, replicas), ...againstHeard(best, others, placement, nodes)];
  if (why.length + losses.length > 0 && wish.force !== true) return { kind: 'refused', why: [...why, ...losses] };
  const hasElse = (other: Candidate): boolean =>
    other.position > best.position || compareHistories(best.replica, other.replica) === 'differs';
  return {
    kind: 'recover',
    point: { partition, incarnation: best.replica.incarnation, position: best.position, chain: best.chain },
    from: best.node,
    behind: others
      .filter((other) => !hasElse(other))
      .flatMap(({ node, position }) => (position < best.position ? [node] : [])),
    lost: others.filter(hasElse).map(({ node }) => node),
    despite: [...why, ...losses],
    losses,
  };
}

/** What other replicas have that the chosen one has not. */
function againstOthers(best: Candidate, others: readonly Candidate[], replicas: readonly string[]): string[] {
  return others.flatMap(({ node, position, replica }) => {
    if (position > best.position) return [`node ${node} is ahead: at ${position}, ${best.node} at ${best.position}`];
    switch (compareHistories(best.replica, replica)) {
      case 'differs':
        return position === best.position
          ? [`nodes ${best.node} and ${node} are both at ${position} and differ`]
          : [`node ${node} has another history than ${best.node}: at ${position} they differ`];
      case 'not said':
        // It does not look at those that only join; and one that runs is compared while it runs.
        if (!replicas.includes(node) || !isHalted(best.replica) || !isHalted(replica)) return [];
        return [`node ${best.node} has not said yet whether ${node}, at ${position}, has the same history`];
      default:
        return [];
    }
  });
}

/** What a replica had that has lost it since, or is silent. */
/* oxlint-disable-next-line max-params -- what is compared with what */
function againstHeard(
  best: Candidate,
  others: readonly Candidate[],
  placement: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
): string[] {
  const heard = mostReported(placement, nodes, ({ heardPosition = '0', appliedPosition }) =>
    BigInt(heardPosition) > BigInt(appliedPosition) ? heardPosition : appliedPosition,
  );
  const { incarnation } = best.replica;
  if (incarnation !== placement.log?.incarnation) {
    return [
      `nobody has anything of log ${placement.log?.incarnation} any more: node ${best.node} has a part of ${incarnation}, which it carried on after ${placement.log?.continues?.position}`,
    ];
  }
  if (heard <= best.position || others.some(({ position }) => position >= heard)) return [];
  return [
    `a replica is known to have been at ${heard}; the best that can be had, on ${best.node}, is at ${best.position}`,
  ];
}

/** The greatest position of this log that any replica reports, also one that is silent now. */
function mostReported(
  { partition, log }: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
  positionOf: (replica: ReplicaReport) => string,
): bigint {
  let most = 0n;
  for (const { report } of nodes.values()) {
    for (const replica of report.replicas) {
      if (replica.partition !== partition || replica.incarnation !== log?.incarnation) continue;
      const position = BigInt(positionOf(replica));
      if (position > most) most = position;
    }
  }
  return most;
}

function hasHeard(observed: ObservedNode | undefined, epoch: bigint): boolean {
  return observed !== undefined && BigInt(observed.report.epoch) >= epoch;
}

/** What it might have, that the others have not. */
/* oxlint-disable-next-line max-params -- what is known of it */
function objectionTo(
  observed: ObservedNode | undefined,
  replica: ReplicaReport | undefined,
  incarnation: string,
  epoch: bigint,
): string | undefined {
  if (observed?.confirmed !== true) return 'is silent: its replica may have more';
  if (!hasHeard(observed, epoch)) return 'has said nothing since the log was fenced: its replica may have more';
  if (replica === undefined) return 'reports no replica';
  if (replica.incarnation !== incarnation) return `follows log ${replica.incarnation || 'none'}, not ${incarnation}`;
  // One that is built anew has nothing that the one it is built from has not.
  if (replica.state === 'copying') return undefined;
  if (replica.state !== 'halted') return `is ${replica.state}: it does not wait for its log`;
  if (replica.haltCause !== 'log_regressed') return `has halted for another cause (${replica.haltCause ?? 'unknown'})`;
  if (replica.storedPosition !== replica.appliedPosition) return 'has not stored everything yet';
  return undefined;
}

function isHalted({ state }: ReplicaReport): boolean {
  return state === 'halted';
}

/** Whether its data can be had and are of this log. What was found to differ from others is not carried on. */
function isCandidate(observed: ObservedNode | undefined, replica: ReplicaReport, log: PartitionLog): boolean {
  const { state, haltCause, appliedPosition } = replica;
  const hasData =
    state === 'running' || (isHalted(replica) && haltCause !== 'diverged' && haltCause !== 'engine_failed');
  // Whoever is of a log that carries on another one has at least that: one that is before it was to be built anew.
  const hasBeginning = BigInt(appliedPosition) >= (log.continues?.position ?? 0n);
  // One that only seems live may be gone for good, with what it has.
  return observed?.confirmed === true && hasData && hasBeginning && replica.incarnation === log.incarnation;
}

/**
 * Whether its data are of the log that this one carries on, and within what it took over: no further, since what a
 * client saw at a later position was of this log.
 */
function isOfLogBefore(
  observed: ObservedNode | undefined,
  replica: ReplicaReport,
  { continues }: PartitionLog,
): boolean {
  const { haltCause, incarnation, appliedPosition } = replica;
  if (continues === undefined || incarnation !== continues.incarnation || observed?.confirmed !== true) return false;
  const position = BigInt(appliedPosition);
  const isWaiting = isHalted(replica) && (haltCause === 'log_trimmed' || haltCause === 'log_regressed');
  return isWaiting && position > 0n && position <= continues.position;
}

/** The first of the greatest, in the topology's order: whoever decides chooses the same. */
function chosen(candidates: readonly Candidate[], from: string | undefined): Candidate | undefined {
  if (from !== undefined) return candidates.find(({ node }) => node === from);
  return candidates.reduce<Candidate | undefined>(
    (best, each) => (best === undefined || each.position > best.position ? each : best),
    undefined,
  );
}
