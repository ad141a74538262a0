// What one command costs between its client's request and the engine, in batches of 100 puts of 128
// bytes, stamped for exactly-once as gateways stamp them: the whole way, then its parts.
import type { Batch, Command, CommandResult } from '@statestore/core';
import {
  applyBatch,
  decodeBatch,
  decodeCommandResult,
  encodeBatch,
  encodeCommandResult,
  hashBytes,
  hashChained,
  newHash,
  newState,
  slotOf,
} from '@statestore/core';
import type { BenchOptions, Row } from './bench.ts';
import { benchKey } from './fill.ts';
import type { Subject } from './in-process.ts';
import { compareSubjects, shuffled } from './in-process.ts';

const commands = 100;
const keys = 20_000;
/** Then a new state begins, so that no run is longer than the others. */
const batchesOfState = 1000;
const value = new Uint8Array(128).fill(118);
const nanosPerMs = 1_000_000n;

interface Stamping {
  readonly session: string;
  next: number;
}

function put(key: string, stamping: Stamping | undefined): Command {
  const condition = { kind: 'none' } as const;
  const operation = {
    kind: 'put',
    key,
    condition,
    value,
    contentType: 'text/plain',
    ttl: { kind: 'default' },
  } as const;
  const body = { kind: 'mutate', store: 'bench', atomic: false, checks: [], operations: [operation] } as const;
  if (stamping === undefined) return { body };
  const counter = stamping.next++;
  const firstUnanswered = Math.max(1, counter - commands);
  return { stamp: { session: stamping.session, counter, firstUnanswered, opens: counter <= commands }, body };
}

/** Batches over all keys, one after another, again and again. */
function batchMaker(isStamped: boolean): () => Batch {
  const order = shuffled(keys).map(benchKey);
  const stamping = isStamped ? { session: 's'.repeat(16), next: 1 } : undefined;
  let at = 0;
  let number = 0;
  return () => {
    const some = Array.from({ length: commands }, () => put(order[at++ % keys]!, stamping));
    return { partition: 0, proposer: 'p'.repeat(16), number: ++number, commands: some };
  };
}

/** Applies batches over a Map, the cheapest thing that apply can read from. */
class Applier {
  #entries = new Map<string, Uint8Array>();
  #state = newState();

  apply(bytes: Uint8Array): readonly CommandResult[] {
    const position = this.#state.position + 1n;
    const entries = this.#entries;
    const reader = { get: (key: string) => entries.get(key), range: () => [], keys: () => [] };
    const { writes, results } = applyBatch(this.#state, reader, {
      position,
      timestampNanos: position * nanosPerMs,
      bytes,
    });
    for (const [key, written] of writes) {
      if (written === undefined) entries.delete(key);
      else entries.set(key, written);
    }
    if (results[0]!.code !== 'done') throw new Error(`apply answered ${results[0]!.code}`);
    return results;
  }

  get isFull(): boolean {
    return this.#state.position >= batchesOfState;
  }
}

function wholeWay(): () => void {
  let applier = new Applier();
  let next = batchMaker(true);
  return () => {
    if (applier.isFull) {
      applier = new Applier();
      next = batchMaker(true);
    }
    for (const result of applier.apply(encodeBatch(next()))) decodeCommandResult(encodeCommandResult(result));
  };
}

function applyOnly(): () => void {
  const next = batchMaker(false);
  const encoded = Array.from({ length: keys / commands }, () => encodeBatch(next()));
  let applier = new Applier();
  let at = 0;
  return () => {
    if (applier.isFull) applier = new Applier();
    applier.apply(encoded[at++ % encoded.length]!);
  };
}

export async function commandCosts(options: BenchOptions): Promise<Row[]> {
  const batch = batchMaker(true)();
  const bytes = encodeBatch(batch);
  const hash = newHash();
  const entry = new Uint8Array(160).fill(1);
  const result = new Applier().apply(bytes)[0]!;
  const resultBytes = encodeCommandResult(result);
  const key = benchKey(7);
  const ofBatch = (name: string, work: () => unknown): Subject => ({ name, block: commands, work: () => void work() });
  const ofOne = (name: string, work: () => unknown): Subject => ({
    name,
    block: commands,
    work(operations) {
      for (let n = 0; n < operations; n++) work();
    },
  });
  return compareSubjects(options, `one command, in batches of ${commands}`, [
    ofBatch('the whole way: encode, apply with sessions, results', wholeWay()),
    ofBatch('apply without sessions (decode and hashes in it)', applyOnly()),
    ofBatch('encode the batch', () => encodeBatch(batch)),
    ofBatch('decode the batch', () => decodeBatch(bytes)),
    ofBatch('chain hash of the batch', () => hashChained(bytes, hash, hash)),
    ofOne('hash of an entry of 160 bytes', () => hashBytes(entry, 0, hash)),
    ofOne('slot of a key', () => slotOf('bench', key)),
    ofOne('encode a result', () => encodeCommandResult(result)),
    ofOne('decode a result', () => decodeCommandResult(resultBytes)),
  ]);
}
