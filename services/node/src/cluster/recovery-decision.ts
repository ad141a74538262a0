// Whether a partition whose log failed may be recovered without a person: only where every replica has
// spoken, all of them wait for it, what they have is on disk, and is one history. Pure. It is asked twice: before
// anything is done, and by what was reported since the log was fenced (@statestore/cluster recovery-fence.ts).
import type { PartitionPlacement } from '@statestore/core';
import type { ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { ChainAt } from '../chain-notes.ts';

export type RecoveryDecision =
  /** This node's replica has everything that any of them has: the log is to carry on from it. */
  | { readonly kind: 'recover'; readonly incarnation: string; readonly position: bigint; readonly chain: string }
  /** Another node's is the one. */
  | { readonly kind: 'leave'; readonly to: string }
  /** Not now, perhaps later, perhaps by command. */
  | { readonly kind: 'wait'; readonly why: string };

export interface RecoveryEvidence {
  /** Reports of nodes that act on an earlier epoch do not count. Default: all do. */
  readonly epoch?: bigint;
  /** The chain of this node's own replica at a position that it has passed; undefined: too long ago. */
  readonly chainAt?: ChainAt;
  /** The greatest position of this log that any replica is known to have applied, whoever said so and whenever. */
  readonly heard?: bigint;
}

/* oxlint-disable-next-line max-params -- what is known, and who asks */
export function decideRecovery(
  placement: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
  self: string,
  { epoch = 0n, chainAt, heard = 0n }: RecoveryEvidence = {},
): RecoveryDecision {
  const { partition, replicas, log } = placement;
  const wait = (why: string): RecoveryDecision => ({ kind: 'wait', why });
  if (log === undefined || replicas.length === 0) return wait('the topology names no log or no replicas');
  const found: { node: string; position: bigint; chain: string }[] = [];
  for (const node of replicas) {
    const observed = nodes.get(node);
    // A report that did not change while this node watched may be of a process that is gone.
    if (observed?.confirmed !== true) return wait(`node ${node} is silent`);
    if (BigInt(observed.report.epoch) < epoch) return wait(`node ${node} has said nothing since the log was fenced`);
    const replica = observed.report.replicas.find((each) => each.partition === partition);
    const why = whyNot(replica, log.incarnation);
    if (why !== undefined) return wait(`the replica on node ${node} ${why}`);
    found.push({ node, position: BigInt(replica!.storedPosition), chain: replica!.chain });
  }
  for (const one of found) {
    const other = found.find(({ position, chain }) => position === one.position && chain !== one.chain);
    if (other !== undefined) {
      return wait(`the replicas on ${one.node} and ${other.node} are both at ${one.position} and differ`);
    }
  }
  // The first of the greatest: the topology's order decides, so that all nodes decide alike.
  const best = found.reduce((a, b) => (b.position > a.position ? b : a));
  // Whoever had it has lost it: one that comes back with an empty disk speaks, and has nothing to say.
  if (heard > best.position && heard > mostOfJoining(placement, nodes))
    return wait(`a replica was at ${heard}, and none has more than ${best.position} now`);
  if (best.node !== self) return { kind: 'leave', to: best.node };
  for (const { node, position, chain } of found) {
    const own = position === 0n || position === best.position ? chain : (chainAt?.(position) ?? chain);
    // What it applied there, and perhaps acknowledged, this one has not.
    if (own !== chain) return wait(`the replica on node ${node} has another history: at ${position} it differs`);
  }
  return { kind: 'recover', incarnation: log.incarnation, position: best.position, chain: best.chain };
}

/** One that joins acknowledges nothing: that it had more, and said so, keeps nobody from their log. */
function mostOfJoining(
  { partition, joining = [], log }: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
): bigint {
  const positions = joining.flatMap((node) => {
    const replica = nodes.get(node)?.report.replicas.find((each) => each.partition === partition);
    return replica?.incarnation === log?.incarnation ? [BigInt(replica?.appliedPosition ?? 0)] : [];
  });
  return positions.reduce((most, position) => (position > most ? position : most), 0n);
}

function whyNot(replica: ReplicaReport | undefined, incarnation: string): string | undefined {
  if (replica === undefined) return 'is not reported';
  if (replica.state !== 'halted' || replica.haltCause !== 'log_regressed') {
    return `is ${replica.state}${replica.haltCause === undefined ? '' : ` (${replica.haltCause})`}`;
  }
  if (replica.incarnation !== incarnation) return `is of log ${replica.incarnation}, not of ${incarnation}`;
  if (replica.storedPosition !== replica.appliedPosition) return 'has not stored what it applied yet';
  // Its process may have been started again since it followed the log, and have lost what was acknowledged.
  if (replica.durable !== true) return 'is in memory only: `statestore recover` decides';
  return undefined;
}
