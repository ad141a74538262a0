// The log of a partition: batches in the order of their arrival, with times of a server whose clock is not everybody's.
import type { BatchRecord, Command } from '@statestore/core';
import { encodeBatch } from '@statestore/core';
import type { ReshapeWorld } from './reshape-world.ts';

/** Of a partition and a generation of its log: a number may be given to a partition again. */
export type LogId = string;

export function logId(partition: number, generation: number): LogId {
  return `${partition}/${generation}`;
}

/** Of times of one server; a leader that is another server may be behind. */
const jitterNanosMax = 20_000_000;
const skewMsMax = 400_000;

export class ReshapeLog {
  readonly partition: number;
  readonly generation: number;
  /** Its first record is at this + 1. */
  readonly first: bigint;
  readonly records: BatchRecord[] = [];
  /** Nothing can be appended, nobody follows it. */
  isGone = false;
  readonly #world: ReshapeWorld;
  readonly #skewNanos: bigint;

  constructor(world: ReshapeWorld, partition: number, generation: number, first: bigint) {
    this.#world = world;
    this.partition = partition;
    this.generation = generation;
    this.first = first;
    const isSkewed = world.random.chance(0.2);
    this.#skewNanos = isSkewed ? BigInt(world.random.below(skewMsMax)) * 1_000_000n : 0n;
  }

  get id(): LogId {
    return logId(this.partition, this.generation);
  }

  get last(): bigint {
    return this.first + BigInt(this.records.length);
  }

  at(position: bigint): BatchRecord | undefined {
    return this.records[Number(position - this.first - 1n)];
  }

  append(commands: readonly Command[]): BatchRecord {
    const world = this.#world;
    const position = this.last + 1n;
    const timestampNanos = world.nowNanos + this.#skewNanos - BigInt(world.random.below(jitterNanosMax));
    const { partition } = this;
    const bytes = encodeBatch({ partition, proposer: 'proposer-0123456', number: Number(position), commands });
    const record = { position, timestampNanos, bytes };
    this.records.push(record);
    return record;
  }
}
