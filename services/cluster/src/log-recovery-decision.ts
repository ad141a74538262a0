// A log that was lost, or lost its end, is carried on from the replica that has most. Which one that is, and
// what speaks against it, is decided here, purely, for a person who may insist; recover-log.ts does it. Nodes
// go on by themselves only where nothing speaks against it (services/node cluster/recovery-decision.ts).
import type { PartitionPlacement } from '@statestore/core';

import type { LogDescription } from './log-streams.ts';
import type { ObservedNode, ReplicaReport } from './node-registry.ts';
import type { RecoveryPoint } from './recover-log.ts';

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
    }
  /** The log has everything that any replica is known to have. */
  | { readonly kind: 'sound'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: readonly string[] };

interface Candidate {
  readonly node: string;
  readonly position: bigint;
  readonly chain: string;
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
  const candidates: Candidate[] = [];
  for (const node of [...replicas, ...joining]) {
    const observed = nodes.get(node);
    const replica = observed?.report.replicas.find((each) => each.partition === partition);
    const against = objectionTo(observed, replica, log.incarnation, epoch);
    // One that joins was never asked to answer anybody: it need not be heard.
    if (against !== undefined && replicas.includes(node)) why.push(`node ${node} ${against}`);
    if (replica === undefined || !isCandidate(observed, replica, log.incarnation) || !hasHeard(observed, epoch))
      continue;
    candidates.push({ node, position: BigInt(replica.appliedPosition), chain: replica.chain });
  }
  const best = chosen(candidates, wish.from);
  if (best === undefined) {
    const whom = wish.from === undefined ? 'no replica of it can be' : `the replica on node ${wish.from} cannot be`;
    return { kind: 'refused', why: [`${whom} carried on from`, ...why] };
  }
  const most = mostHeardOf(placement, nodes);
  const isWhole = found?.log.incarnation === log.incarnation && found.last >= most && found.sealed !== true;
  if (isWhole && wish.force !== true) {
    return { kind: 'sound', why: `the log holds positions up to ${found.last}, replicas have up to ${most}` };
  }
  for (const { node, position, chain } of candidates) {
    if (position > best.position) why.push(`node ${node} is ahead: at ${position}, ${best.node} at ${best.position}`);
    if (position === best.position && chain !== best.chain) {
      why.push(`nodes ${best.node} and ${node} are both at ${position} and differ`);
    }
  }
  if (why.length > 0 && wish.force !== true) return { kind: 'refused', why };
  const others = candidates.filter(({ node }) => node !== best.node);
  const hasElse = ({ position, chain }: Candidate): boolean =>
    position > best.position || (position === best.position && chain !== best.chain);
  return {
    kind: 'recover',
    point: { partition, incarnation: log.incarnation, position: best.position, chain: best.chain },
    from: best.node,
    behind: others.filter(({ position }) => position < best.position).map(({ node }) => node),
    lost: others.filter(hasElse).map(({ node }) => node),
    despite: why,
  };
}

/** Of this log, by any replica, also one that is silent now. */
function mostHeardOf({ partition, log }: PartitionPlacement, nodes: ReadonlyMap<string, ObservedNode>): bigint {
  let most = 0n;
  for (const { report } of nodes.values()) {
    for (const replica of report.replicas) {
      if (replica.partition !== partition || replica.incarnation !== log?.incarnation) continue;
      const position = BigInt(replica.appliedPosition);
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

/** Whether its data can be had and are of this log. What was found to differ from others is not carried on. */
function isCandidate(observed: ObservedNode | undefined, replica: ReplicaReport, incarnation: string): boolean {
  const { state, haltCause } = replica;
  const hasData =
    state === 'running' || (state === 'halted' && haltCause !== 'diverged' && haltCause !== 'engine_failed');
  // One that only seems live may be gone for good, with what it has.
  return observed?.confirmed === true && hasData && replica.incarnation === incarnation;
}

/** The first of the greatest, in the topology's order: whoever decides chooses the same. */
function chosen(candidates: readonly Candidate[], from: string | undefined): Candidate | undefined {
  if (from !== undefined) return candidates.find(({ node }) => node === from);
  return candidates.reduce<Candidate | undefined>(
    (best, each) => (best === undefined || each.position > best.position ? each : best),
    undefined,
  );
}
