// Many calls at once, and yet in order for each key: a key always takes the same lane, and a lane has one
// call under way at a time. So where a key occurs twice in the input the last one wins, whatever
// is retried. Each lane holds one batch under way and one that fills: that bounds memory.
import { binaryFromText, bytesFromBinary, hashBytes, limits, newHash } from '@statestore/core';
import type { LoadRecord } from './record.ts';

interface Lane {
  batch: LoadRecord[];
  batchBytes: number;
  /** The call under way. */
  call: Promise<void>;
}

export class Lanes {
  readonly #lanes: readonly Lane[];
  readonly #batchMax: number;
  readonly #work: (batch: readonly LoadRecord[]) => Promise<void>;
  readonly #hash = newHash();
  #failure: { readonly cause: unknown } | undefined;

  /** `work` is called with at most `batchMax` records; its first failure stops everything. */
  constructor(concurrency: number, batchMax: number, work: (batch: readonly LoadRecord[]) => Promise<void>) {
    this.#lanes = Array.from({ length: concurrency }, () => ({ batch: [], batchBytes: 0, call: Promise.resolve() }));
    this.#batchMax = batchMax;
    this.#work = work;
  }

  /** Returns a promise where the caller must wait before it adds more. */
  add(record: LoadRecord): Promise<void> | undefined {
    const lane = this.#laneOf(record.key);
    const fits = lane.batchBytes + record.value.length <= limits.loadCallBytesMax;
    const wait = fits || lane.batch.length === 0 ? undefined : this.#send(lane);
    if (wait !== undefined) return wait.then(() => this.add(record));
    lane.batch.push(record);
    lane.batchBytes += record.value.length;
    return lane.batch.length >= this.#batchMax ? this.#send(lane) : undefined;
  }

  /** Sends what is left and waits for all calls. */
  async end(): Promise<void> {
    await Promise.all(
      this.#lanes.map(async (lane) => {
        if (lane.batch.length > 0) await this.#send(lane);
        await lane.call;
      }),
    );
    this.#rethrow();
  }

  /** Resolves when the lane has taken its batch, that is when the call before has ended. */
  async #send(lane: Lane): Promise<void> {
    const { batch } = lane;
    await lane.call;
    this.#rethrow();
    lane.batch = [];
    lane.batchBytes = 0;
    lane.call = this.#work(batch).catch((cause: unknown) => {
      this.#failure ??= { cause };
    });
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  #laneOf(key: string): Lane {
    hashBytes(bytesFromBinary(binaryFromText(key)), 0, this.#hash);
    return this.#lanes[this.#hash[0]! % this.#lanes.length]!;
  }
}
