// Which slots are whose and which nodes hold what. The document has an epoch and changes only by
// compare-and-set; this file has its types and the questions one asks of it, not where it is kept.
import { StateStoreError } from './errors.ts';
import { partitionsMax, slotCount } from './limits.ts';

/** Slots start ≤ slot < end. */
export interface SlotRange {
  readonly start: number;
  readonly end: number;
}

/** The log of a partition in a cluster. A log that was lost is replaced by one of the next generation. */
export interface PartitionLog {
  /** From 1; names the stream together with the partition. */
  readonly generation: number;
  /** UUID, also in the stream's metadata. */
  readonly incarnation: string;
  /**
   * What it carries on, where an earlier log was lost: its first record is at `position` + 1, and a replica
   * takes it only where it is at exactly this position of that log, with this chain.
   */
  readonly continues?: {
    readonly incarnation: string;
    readonly position: bigint;
    /** 32 hexadecimal digits. */
    readonly chain: string;
  };
}

export interface PartitionPlacement {
  readonly partition: number;
  /** Ascending, not touching. */
  readonly slots: readonly SlotRange[];
  /** Node names; the first one is preferred as proposer. */
  readonly replicas: readonly string[];
  /** Nodes that build a replica and do not serve it yet. None of them is in `replicas`. */
  readonly joining?: readonly string[];
  /** Nodes of `replicas` that give theirs up as soon as enough others serve; they serve until then. */
  readonly leaving?: readonly string[];
  /** Undefined: the journal of an embedded node. */
  readonly log?: PartitionLog;
  /** Epoch of the reshape that changed its slots last. Undefined: none did. */
  readonly slotsEpoch?: bigint;
  /** Of a partition that was split off: what was written to its slots up to that position is told of by that one's log. */
  readonly origin?: PartitionPoint;
}

/** A position of a partition's log. */
export interface PartitionPoint {
  readonly partition: number;
  readonly generation: number;
  readonly position: bigint;
}

interface ReshapeFields {
  /** UUID. */
  readonly id: string;
  /** Gives the slots. */
  readonly source: number;
  /** Gets them. */
  readonly target: number;
  readonly slots: readonly SlotRange[];
  /** Epoch of the topology that it was added with. */
  readonly slotsEpoch: bigint;
  /** It is to be given up, where that can still be. */
  readonly cancelled?: true;
}

/** A split: the target is not there yet, and this is the log that it will have. */
export interface Split extends ReshapeFields {
  readonly kind: 'split';
  readonly log: { readonly generation: number; readonly incarnation: string };
}

/** A merge: the source ends. All of its replicas and of the target's are on the same nodes by then. */
export interface Merge extends ReshapeFields {
  readonly kind: 'merge';
}

export type Reshape = Split | Merge;

/** A partition that was merged into another one: kept for a while for those who still follow its log. */
export interface RetiredPartition {
  /** As it was, without slots. */
  readonly placement: PartitionPlacement;
  /** From then on nothing of its slots was changed in it. */
  readonly sealedPosition: bigint;
  /** At which the other one took its slots. */
  readonly into: PartitionPoint;
  readonly slotsEpoch: bigint;
  /** Its time is over: nobody holds it any more, its log is removed, and then this goes, too. */
  readonly ended?: true;
}

/** What a cluster was asked to be: kept beside what it is, so that whoever plans plans the same. */
export interface TopologySpec {
  /** Replicas of each partition. */
  readonly replicationFactor: number;
  /** Copies of each log inside NATS: 1, 3 or 5. */
  readonly logReplicas: number;
  /** Nodes that were asked to give their replicas away, and get none; also those that are gone for good. */
  readonly drained: readonly string[];
  /** How many partitions there are to be. Undefined: as many as there are. */
  readonly partitions?: number;
  /** How many there were when that was asked for: for how far it is. */
  readonly partitionsBefore?: number;
  /** No further reshape is begun. */
  readonly resizePaused?: true;
}

export interface Topology {
  /** +1 with each change; more where it had to be recovered. */
  readonly epoch: bigint;
  /** Undefined: an embedded node. */
  readonly spec?: TopologySpec;
  /** Ascending by partition. */
  readonly partitions: readonly PartitionPlacement[];
  /** Splits and merges under way; no two have a partition in common. Undefined: none. */
  readonly reshapes?: readonly Reshape[];
  /** Undefined: none. */
  readonly retired?: readonly RetiredPartition[];
  /** No log that was ever named by reshapes and partitions that are gone has a later generation. Undefined: there is none. */
  readonly lastGeneration?: number;
  /** Greatest slotsEpoch of retired partitions that are not listed any more: who followed them longer ago than that missed something. Undefined: all are listed. */
  readonly forgotten?: bigint;
  /**
   * The checkpoint that the cluster began with: its partitions' first logs carry on the states in it, and replicas that
   * nobody else has are restored from there. Undefined: it began with nothing.
   */
  readonly restoredFrom?: { readonly checkpoint: string };
  /** UUID, drawn when it was made: of two clusters of one name, which. Undefined: an embedded node, or an older version made it. */
  readonly lineage?: string;
}

/** All slots spread evenly over partitions 0 to count - 1, in contiguous ranges, on these nodes. */
export function evenTopology(count: number, replicas: readonly string[]): Topology {
  if (!Number.isInteger(count) || count < 1 || count > partitionsMax) {
    throw new StateStoreError('invalid_settings', `partitions is ${count}; it may be 1 to ${partitionsMax}`);
  }
  const partitions = Array.from({ length: count }, (_, partition) => ({
    partition,
    slots: [
      { start: Math.floor((partition * slotCount) / count), end: Math.floor(((partition + 1) * slotCount) / count) },
    ],
    replicas,
  }));
  return { epoch: 1n, partitions };
}

/** Partition of each slot, for routing. Throws `invalid_settings` where a slot has no owner, two, or one that cannot be. */
export function slotOwners(topology: Topology): Uint16Array {
  const free = 0xffff;
  const owners = new Uint16Array(slotCount).fill(free);
  for (const { partition, slots } of topology.partitions) {
    if (!Number.isInteger(partition) || partition < 0 || partition >= free) {
      throw new StateStoreError('invalid_settings', `there is a partition ${partition}; it may be 0 to ${free - 1}`);
    }
    for (const { start, end } of slots) {
      if (start < 0 || end > slotCount) {
        throw new StateStoreError(
          'invalid_settings',
          `partition ${partition} has slots ${start} to ${end}; there are 0 to ${slotCount}`,
        );
      }
      for (let slot = start; slot < end; slot++) {
        if (owners[slot] !== free) {
          throw new StateStoreError(
            'invalid_settings',
            `slot ${slot} belongs to partitions ${owners[slot]} and ${partition}`,
          );
        }
        owners[slot] = partition;
      }
    }
  }
  const orphan = owners.indexOf(free);
  if (orphan !== -1) throw new StateStoreError('invalid_settings', `slot ${orphan} belongs to no partition`);
  return owners;
}
