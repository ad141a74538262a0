// What a replica is, without log, timers or disk: a state, its records, and apply. The property tests
// run it; a fault may be put into it, to show that they would notice.
import type { Applied, BatchRecord, PartitionState } from '@statestore/core';
import { applyBatch, encodeBatch, hashToHex, loadState } from '@statestore/core';
import type { Step } from './arbitrary-commands.ts';
import { startMs } from './arbitrary-commands.ts';
import { dump, SortedMap } from './sorted-map.ts';

export type Apply = typeof applyBatch;

export class Replica {
  readonly records: SortedMap;
  readonly state: PartitionState;
  readonly #apply: Apply;

  /** `records`: what the engine holds; the state is loaded from it. */
  constructor(records = new SortedMap(), apply: Apply = applyBatch) {
    this.records = records;
    this.state = loadState(records);
    this.#apply = apply;
  }

  apply(record: BatchRecord): Applied {
    const applied = this.#apply(this.state, this.records, record);
    this.records.write(applied.writes);
    return applied;
  }

  /** Everything that two replicas at one position must have in common. */
  fingerprint(): unknown {
    const { chain, stateHash, ...rest } = this.state;
    return { ...rest, chain: hashToHex(chain), stateHash: hashToHex(stateHash), records: dump(this.records) };
  }
}

const startNanos = BigInt(startMs) * 1_000_000n;

/** One batch a step, as a log would hold them. */
export function logOf(steps: readonly Step[]): BatchRecord[] {
  let nanos = startNanos;
  return steps.map(({ elapsedMs, commands }, i) => {
    nanos += BigInt(elapsedMs) * 1_000_000n;
    const bytes = encodeBatch({ partition: 0, proposer: 'proposer-0123456', number: i + 1, commands });
    return { position: BigInt(i + 1), timestampNanos: nanos, bytes };
  });
}
