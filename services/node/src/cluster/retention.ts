// What becomes of data of a replica that the topology has elsewhere now. They go only when they cannot be the
// best copy any more: every replica that the topology names runs and has everything that they have. Pure.
import type { PartitionPlacement, Topology } from '@statestore/core';
import type { HeldState } from './judge-log.ts';
import type { Peers } from './peers.ts';
import type { Condemned } from './replica-folder.ts';

export type Retention =
  | { readonly kind: 'keep' }
  /** Others have all of it. */
  | { readonly kind: 'remove' }
  /** Nobody else may have it: a person has to look. They are put aside, so that a new replica can come here. */
  | { readonly kind: 'setAside'; readonly why: string };

export interface LeftData extends HeldState {
  /** What was found of them while the replica was wanted. */
  readonly condemned?: Pick<Condemned, 'why' | 'kept'> | undefined;
  /** Whether the log that they are of still has the very batch that was applied last; undefined: that cannot be told. */
  readonly holdsLast?: boolean | undefined;
  /** They were built for a partition that was to be split off. */
  readonly prepared?: object | undefined;
  /** All their slots are other partitions'. */
  readonly ownsNothing?: boolean | undefined;
}

/** `topology`: as it was read just now. `facts` undefined: the data cannot be read. */
export function judgeRetention(
  partition: number,
  facts: LeftData | undefined,
  topology: Topology | undefined,
  peers: Pick<Peers, 'replicasOf'>,
  self: string,
): Retention {
  const placement = topology?.partitions.find((each) => each.partition === partition);
  if (placement === undefined && topology !== undefined && isOver(partition, facts, topology))
    return { kind: 'remove' };
  // A partition that nobody has: what is here may be all that is left of it.
  if (placement?.log === undefined) return { kind: 'keep' };
  if (placement.replicas.includes(self) || placement.joining?.includes(self) === true) return { kind: 'keep' };
  const positions = runningPositions(placement, peers);
  if (positions === undefined) return { kind: 'keep' };
  if (facts === undefined) return { kind: 'setAside', why: 'the data cannot be read' };
  return judgeData(facts, placement.log, positions);
}

/** Whether they are of a split that did not come about, or of a partition that was merged into another one. */
function isOver(partition: number, facts: LeftData | undefined, { reshapes = [], retired = [] }: Topology): boolean {
  if (facts === undefined || facts.condemned?.kept === true) return false;
  if (reshapes.some(({ source, target }) => source === partition || target === partition)) return false;
  if (retired.some(({ placement }) => placement.partition === partition)) return false;
  return facts.prepared !== undefined || facts.ownsNothing === true;
}

/** Where all replicas of the partition are; undefined unless every one of them is known to run on its log. */
function runningPositions(
  placement: PartitionPlacement,
  peers: Pick<Peers, 'replicasOf'>,
): readonly bigint[] | undefined {
  const running = peers
    .replicasOf(placement)
    .filter(({ confirmed, replica }) => confirmed && replica.state === 'running')
    .filter(({ replica }) => replica.incarnation === placement.log?.incarnation);
  if (placement.replicas.length === 0 || running.length < placement.replicas.length) return undefined;
  return running.map(({ replica }) => BigInt(replica.storedPosition));
}

function judgeData(
  { position, incarnation, chain, holdsLast, condemned }: LeftData,
  log: NonNullable<PartitionPlacement['log']>,
  others: readonly bigint[],
): Retention {
  // Of another history than its log, or of nobody knows which: a position says nothing, nor does the batch there.
  if (condemned?.kept === true) return { kind: 'setAside', why: condemned.why };
  if (position === 0n) return { kind: 'remove' };
  if (incarnation === log.incarnation) {
    if (others.some((other) => other < position)) return { kind: 'keep' };
    if (holdsLast === true) return { kind: 'remove' };
    // It may have lost its end and grown again while this replica was away.
    const why = holdsLast === false ? 'has another batch there' : 'has it no longer, or it was not noted';
    return { kind: 'setAside', why: `it is at ${position}; its log ${why}` };
  }
  const { continues } = log;
  if (continues === undefined || continues.incarnation !== incarnation) {
    return { kind: 'setAside', why: `it is of log ${incarnation}, which log ${log.incarnation} does not carry on` };
  }
  if (position === continues.position && chain === continues.chain) return { kind: 'remove' };
  if (position <= continues.position) {
    const why = `it is at ${position} of log ${incarnation} with chain ${chain}; nothing shows that the log that carries it on after ${continues.position} began so`;
    return { kind: 'setAside', why };
  }
  const why = `it is at ${position} of log ${incarnation}, which is carried on after ${continues.position}`;
  return { kind: 'setAside', why };
}
