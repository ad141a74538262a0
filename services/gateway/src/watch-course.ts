// In which order a watch goes through the logs of partitions that split and merge, so that it tells each change once,
// and those of one key in their order:
//   - a partition that was split off is followed from behind the position at which its slots were fenced in the
//     partition that it came from, and only after that one was followed up to there;
//   - a partition that others were merged into is followed past the position at which it took their slots only after
//     those were followed up to the position at which they were fenced. Then they are done with.
// What a watcher has seen and a topology are all that this depends on: so it can be carried on from any cursor.
import { StateStoreError, type PartitionPlacement, type RetiredPartition, type Topology } from '@statestore/core';
import type { WatchPlace } from './watch-cursor.ts';

/** A position that has to be passed. */
interface Mark {
  readonly generation: number;
  readonly position: bigint;
}

export class WatchCourse {
  /** Of every partition that is to be followed on. */
  readonly places: Map<number, WatchPlace>;
  #epoch: bigint;
  #live: ReadonlyMap<number, PartitionPlacement> = new Map();
  #retired: ReadonlyMap<number, RetiredPartition> = new Map();

  /** `epoch`: of the topology that the places were told by; 0n: of one in which no slot had moved. */
  constructor(places: Map<number, WatchPlace>, epoch: bigint) {
    this.places = places;
    this.#epoch = epoch;
  }

  /** Of the topology by which the places are told; 0n: no slot has moved in it. */
  get epoch(): bigint {
    return this.#epoch;
  }

  /** Throws `cursor_expired` where something of what was not seen yet cannot be told any more. */
  take(topology: Topology, isReshaped: boolean): void {
    const { forgotten = 0n, retired = [], partitions } = topology;
    if (forgotten > this.#epoch)
      throw expired('partitions were merged since the cursor was given, and are not kept any more');
    this.#live = new Map(partitions.map((placement) => [placement.partition, placement]));
    this.#retired = new Map(retired.map((each) => [each.placement.partition, each]));
    for (const each of retired) this.#takeRetired(each);
    for (const placement of partitions) this.#takeLive(placement);
    for (const partition of this.places.keys()) {
      if (this.#live.has(partition) || this.#retired.has(partition)) continue;
      if (isReshaped) throw expired(`partition ${partition} was merged into another one, and is not kept any more`);
      this.places.delete(partition);
    }
    if (isReshaped) this.#epoch = topology.epoch;
  }

  #takeRetired({ placement, slotsEpoch, ended }: RetiredPartition): void {
    const { partition } = placement;
    // It was there already, and is followed, or was followed to its end.
    if (!this.places.has(partition) && slotsEpoch <= this.#epoch) return;
    if (!this.places.has(partition)) this.#begin(placement);
    if (this.isDone(partition)) this.places.delete(partition);
    else if (ended === true)
      throw expired(`partition ${partition} was merged into another one, and is not kept any more`);
  }

  #takeLive(placement: PartitionPlacement): void {
    const { partition, origin, log } = placement;
    const place = this.places.get(partition);
    if (place === undefined) return this.#begin(placement);
    // In its first log: what had its number before was another partition.
    if (origin === undefined || log?.continues?.position !== origin.position) return;
    if ((place.generation ?? 1) < log.generation) {
      throw expired(`what was partition ${partition} then was merged into another one, and is not kept any more`);
    }
  }

  /** The cursor does not know it: it was made since. */
  #begin({ partition, origin, log }: PartitionPlacement): void {
    const position = origin === undefined ? 1n : origin.position + 1n;
    this.places.set(partition, { position, generation: log?.generation, seen: 0 });
  }

  /** Epoch of the layout that is known of it. */
  slotsEpochOf(partition: number): bigint {
    return this.#live.get(partition)?.slotsEpoch ?? this.#retired.get(partition)?.slotsEpoch ?? 0n;
  }

  /** Whether it may be followed: what it was split off was followed far enough. */
  mayFollow(partition: number): boolean {
    const placement = this.#live.get(partition) ?? this.#retired.get(partition)?.placement;
    const origin = placement?.origin;
    return origin === undefined || this.#isPast(origin.partition, origin);
  }

  /** Up to which position, itself included, it may be followed now. Undefined: on and on. */
  holdOf(partition: number): Mark | undefined {
    let hold: Mark | undefined;
    for (const { placement, into } of this.#retired.values()) {
      if (into.partition !== partition || !this.places.has(placement.partition)) continue;
      if (hold === undefined || isAfter(hold, into)) hold = into;
    }
    return hold;
  }

  /** Whether it was merged away, and everything of its slots was told. */
  isDone(partition: number): boolean {
    const retired = this.#retired.get(partition);
    if (retired === undefined) return false;
    const { placement, sealedPosition: position } = retired;
    return this.#isPast(partition, { generation: placement.log?.generation ?? 1, position });
  }

  #isPast(partition: number, mark: Mark): boolean {
    const place = this.places.get(partition);
    // What is not followed any more was followed to its end.
    return place === undefined || isAfter({ generation: place.generation ?? 1, position: place.position }, mark);
  }
}

/** A later log of a partition begins behind whatever was acknowledged in the one before. */
export function isAfter(one: Mark, other: Mark): boolean {
  return one.generation === other.generation ? one.position > other.position : one.generation > other.generation;
}

function expired(why: string): StateStoreError {
  return new StateStoreError('cursor_expired', why, { hint: 'read the store again and watch from now on' });
}
