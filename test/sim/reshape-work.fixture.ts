// Sources that are written to between any two turns of the work on a reshape, as a seed says.
import type { BatchRecord, BinaryString, Command, CommandResult } from '@statestore/core';
import { bytesFromBinary, commandResult, encodeBatch } from '@statestore/core';
import fc from 'fast-check';
import type { Engine } from '../../services/node/src/engine/engine.ts';
import { checkForeign } from '../../services/node/src/foreign-writes.ts';
import type { ReshapeTarget } from '../../services/node/src/reshape/reshape-work.ts';
import type { Time, Timer } from '../../services/node/src/time.ts';
import { command, startMs, type Step } from './arbitrary-commands.ts';
import { Replica } from './replica.ts';
import { SortedMap } from './sorted-map.ts';

/** Each turn of whoever asks it is over at once, and between two turns something happens. */
export class InterleavedTime implements Time {
  #elapsedMs = 0;
  between: () => void = () => undefined;

  nowMs(): number {
    return startMs;
  }
  elapsedMs(): number {
    return (this.#elapsedMs += 10);
  }
  after(): Timer {
    throw new Error('nothing here waits');
  }
  defer(run: () => void): void {
    this.between();
    queueMicrotask(run);
  }
}

/** One that applies what it is told, at once, in batches of its own log. */
export class WrittenReplica implements ReshapeTarget {
  readonly partition: number;
  readonly generation = 1;
  readonly replica: Replica;
  readonly #log: BatchRecord[] = [];
  #nanos = BigInt(startMs) * 1_000_000n;

  constructor(partition: number, records = new SortedMap()) {
    this.partition = partition;
    this.replica = new Replica(records);
  }

  get state(): Replica['state'] {
    return this.replica.state;
  }
  get reader(): SortedMap {
    return this.replica.records;
  }

  apply(commands: readonly Command[], elapsedMs = 1): readonly CommandResult[] {
    this.#nanos += BigInt(elapsedMs) * 1_000_000n;
    const position = this.state.position + 1n;
    const number = Number(position);
    const bytes = encodeBatch({ partition: this.partition, proposer: 'proposer-0123456', number, commands });
    const record = { position, timestampNanos: this.#nanos, bytes };
    this.#log.push(record);
    return this.replica.apply(record).results;
  }

  /** Another replica of it catches up. */
  follow(other: WrittenReplica): void {
    for (const record of other.#log) if (record.position > this.state.position) this.replica.apply(record);
    this.#nanos = other.#nanos;
  }

  stage(writes: ReadonlyMap<BinaryString, Uint8Array | undefined>): void {
    checkForeign(this.partition, this.state, this.reader, writes.keys());
    this.reader.write(writes);
  }

  async sync(): Promise<void> {}
}

const numbered = fc.nat(299).map((n) => `key-${n}`);
const storeName = fc.constantFrom('a', 'b', 'd');

function operations(key: fc.Arbitrary<string>): fc.Arbitrary<Command> {
  const condition = { kind: 'none' } as const;
  const put = fc
    .record({ key, size: fc.nat(40), ms: fc.constantFrom(0, 0, 500, 5000) })
    .map(({ key: k, size, ms }) => ({
      kind: 'put' as const,
      key: k,
      condition,
      value: new Uint8Array(size).fill(size),
      contentType: '',
      ttl: ms === 0 ? ({ kind: 'never' } as const) : ({ kind: 'after', ms } as const),
    }));
  const remove = key.map((k) => ({ kind: 'delete' as const, key: k, condition }));
  return fc
    .record({ store: storeName, all: fc.array(fc.oneof(put, remove), { minLength: 1, maxLength: 30 }) })
    .map(({ store, all }) => ({ body: { kind: 'mutate', store, atomic: false, checks: [], operations: all } }));
}

const twelve = fc.nat(11).map((n) => `request-${n}`.padEnd(16, '.'));
const idempotent = fc
  .record({ one: operations(numbered), id: twelve })
  .map(({ one, id }): Command => ({ ...one, idempotency: { id, fingerprint: 'fingerprint-of-1' } }));

/** As of a merge that was given up, by one who does not know. */
const remembering = fc.array(twelve, { minLength: 1, maxLength: 3 }).map((ids): Command => {
  const records = [...new Set(ids)].map((id) => ({
    id,
    fingerprint: 'fingerprint-of-1',
    expiresAtMs: startMs + 10_000_000,
    result: commandResult('done'),
  }));
  return { body: { kind: 'remember', reshape: 'reshape-number-0', records } };
});

/** Of all kinds, most on keys of which there are many. */
export function anySteps(length: number): fc.Arbitrary<readonly Step[]> {
  const one = fc.oneof(
    { weight: 3, arbitrary: command() },
    { weight: 6, arbitrary: operations(numbered) },
    { weight: 2, arbitrary: idempotent },
    { weight: 1, arbitrary: remembering },
  );
  const elapsedMs = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 400 }) },
    { weight: 1, arbitrary: fc.constantFrom(100_000, 300_000) },
  );
  const step = fc.record({ elapsedMs, commands: fc.array(one, { minLength: 1, maxLength: 4 }) });
  return fc.array(step, { maxLength: length, size: 'max' });
}

/** More of each than one turn reads. */
export function filled(): readonly Command[] {
  const condition = { kind: 'none' } as const;
  const puts = (store: string, every: number, ms: number): Command => ({
    body: {
      kind: 'mutate',
      store,
      atomic: false,
      checks: [],
      operations: Array.from({ length: 300 }, (_, n) => n)
        .filter((n) => n % every === 0)
        .map((n) => ({
          kind: 'put',
          key: `key-${n}`,
          condition,
          value: bytesFromBinary(`value-${n}`),
          contentType: 'text/plain',
          ttl: ms === 0 ? { kind: 'never' } : { kind: 'after', ms: ms + n },
        })),
    },
  });
  return [puts('a', 1, 0), puts('b', 2, 60_000), puts('e', 3, 0)];
}

export async function recordsOf(engine: Pick<Engine, 'range'>): Promise<ReadonlyMap<BinaryString, Uint8Array>> {
  return new Map(Array.from(engine.range({}), ({ key, value }) => [key, value]));
}
