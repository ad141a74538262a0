// A partition's state for the checkpoint benchmark, made by apply as a node makes it: entries put in no order of
// their keys, change records kept as far as a node keeps them.
import { randomBytes } from 'node:crypto';
import type { Command, PartitionState } from '@statestore/core';
import { applyBatch, binaryFromText, encodeBatch, incarnationKey, limits, loadState } from '@statestore/core';
import { bytesFromBinary } from '@statestore/core';
import { LmdbEngine } from '../services/node/src/engine/lmdb-engine.ts';

const batchPuts = 2000;
const store = 'benchmark';
const states = ['open', 'held', 'sent', 'paid', 'closed', 'void'];

/**
 * 128 bytes, of which half tell something new: 64 random hexadecimal digits, and text that is nearly the same in
 * each. (Of 64 wholly random bytes a million would take 64 MB, whatever compressed them.)
 */
export function halfCompressible(n: number): Uint8Array {
  const digits = randomBytes(32).toString('hex');
  const state = states[n % states.length]!;
  return Buffer.from(`{"id":"${digits}","kind":"order","state":"${state}"`.padEnd(127, ' ').concat('}'));
}

function putCommand(n: number): Command {
  const key = binaryFromText(`key-${String(n).padStart(9, '0')}`);
  const value = halfCompressible(n);
  const put = { kind: 'put', key, value, contentType: 'application/json' } as const;
  const operations = [{ ...put, condition: { kind: 'none' }, ttl: { kind: 'never' } }] as const;
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations } };
}

export class BenchState {
  readonly engine: LmdbEngine;
  readonly #state: PartitionState;
  #nanos = 1_700_000_000_000_000_000n;

  private constructor(engine: LmdbEngine) {
    this.engine = engine;
    this.#state = loadState(engine);
  }

  static async fill(folder: string, entries: number): Promise<BenchState> {
    const engine = await LmdbEngine.open(folder);
    const state = new BenchState(engine);
    await engine.put(incarnationKey, bytesFromBinary('6f1f0b8e-0000-4000-8000-000000000000'));
    // A step that shares no factor with a power of ten: every key once, in no order.
    await state.put(Array.from({ length: entries }, (_, n) => (n * 7919) % entries));
    return state;
  }

  async put(numbers: readonly number[]): Promise<void> {
    for (let at = 0; at < numbers.length; at += batchPuts)
      await this.#apply(numbers.slice(at, at + batchPuts).map(putCommand));
  }

  async #apply(commands: Command[]): Promise<void> {
    const { changesKeptBytes } = limits;
    commands.push({ body: { kind: 'sweep', limit: 1000, changesKeptBytes, countStore: '' } });
    const position = this.#state.position + 1n;
    this.#nanos += 1_000_000n;
    const bytes = encodeBatch({ partition: 0, proposer: 'proposer-0123456', number: Number(position), commands });
    const { writes } = applyBatch(this.#state, this.engine, { position, timestampNanos: this.#nanos, bytes });
    await this.engine.commit(writes, position);
  }
}
