// Whether replicas of a partition have one history, as far as they report it: one that is ahead says which chain it had
// itself where another one stands (ReplicaReport.passed). Two that differ there have applied something else, and each of
// them may have acknowledged it. Pure.
import type { PartitionPlacement } from '@statestore/core';

import type { ObservedNode, ReplicaReport } from './node-registry.ts';

export type HistoryComparison =
  /** Of one history, or too far apart for anybody to tell. */
  | 'agrees'
  | 'differs'
  /** It will: it knows of the other one since a moment ago. */
  | 'not said'
  /** Its version does not say, or nobody waits. */
  | 'silent';

/** What the replica that is ahead, or as far, says of another one of its log. */
export function compareHistories(ahead: ReplicaReport, other: ReplicaReport): HistoryComparison {
  // Nothing was applied yet.
  if (BigInt(other.appliedPosition) === 0n) return 'agrees';
  if (ahead.appliedPosition === other.appliedPosition) return ahead.chain === other.chain ? 'agrees' : 'differs';
  if (ahead.passed === undefined) return 'silent';
  const own = ahead.passed.find(({ position }) => position === other.appliedPosition);
  if (own === undefined) return 'not said';
  return own.chain === undefined || own.chain === other.chain ? 'agrees' : 'differs';
}

export interface DifferingReplica {
  readonly node: string;
  /** Where it stands: this one is as far, or ahead, and had another chain there. */
  readonly than: string;
  readonly position: bigint;
}

/** Among the replicas that serve, or wait: one that is built anew has no history to lose. */
export function replicasThatDiffer(
  { partition, replicas, log }: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
): readonly DifferingReplica[] {
  const known = replicas.flatMap((node) => {
    const replica = nodes.get(node)?.report.replicas.find((each) => each.partition === partition);
    const hasHistory = replica?.state === 'running' || replica?.state === 'halted';
    return replica?.incarnation === log?.incarnation && hasHistory ? [{ node, replica }] : [];
  });
  const differing: DifferingReplica[] = [];
  for (const [at, { node, replica }] of known.entries()) {
    const position = BigInt(replica.appliedPosition);
    const other = known.find((each, otherAt) => {
      const theirs = BigInt(each.replica.appliedPosition);
      // Of two at one position, one is named. Those that both run prove it to each other.
      if (theirs < position || (theirs === position && otherAt >= at)) return false;
      if (each.replica.state === 'running' && replica.state === 'running') return false;
      return compareHistories(each.replica, replica) === 'differs';
    });
    if (other !== undefined) differing.push({ node, than: other.node, position });
  }
  return differing;
}
