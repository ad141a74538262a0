// One partition three times: a replica that has nothing in its engine but the state, one that has foreign records beside
// it, more and less of them as time goes on, and the naive model. Each batch is applied to all three, and whatever
// comes of it must be the same.
import type { BatchRecord, BinaryString, Command, CommandResult } from '@statestore/core';
import { encodeBatch, EntryTally, keyspace, OwnRecords, slotOf, verifyState, verifySteps } from '@statestore/core';
import { expect } from 'vitest';
import { headOf } from '../../services/core/src/apply/state.ts';
import { keys, stores } from './arbitrary-commands.ts';
import { Model } from './model.ts';
import type { ModelData } from './model.ts';
import type { Apply } from './replica.ts';
import { Replica } from './replica.ts';
import { expectSameReads, expectSameState } from './same-as-model.ts';
import { dump, SortedMap } from './sorted-map.ts';

type Writes = ReadonlyMap<BinaryString, Uint8Array | undefined>;

const noValue = new Uint8Array(0);

export class Trio {
  readonly number: number;
  readonly clean: Replica;
  readonly noisy: Replica;
  readonly model = new Model();
  readonly log: BatchRecord[] = [];
  readonly #origin: SortedMap;
  readonly #results: (readonly CommandResult[])[] = [];
  /** Before the batch of that position. */
  readonly #stagedAt = new Map<bigint, Writes>();
  readonly #apply: Apply | undefined;

  constructor(number: number, origin = new SortedMap(), model?: ModelData, apply?: Apply) {
    this.number = number;
    this.#origin = origin.copy();
    this.#apply = apply;
    this.clean = new Replica(origin.copy(), apply);
    this.noisy = new Replica(origin.copy(), apply);
    if (model !== undefined) this.model.data = model;
  }

  get state(): Replica['state'] {
    return this.clean.state;
  }

  /** Throws where any of the three differs. */
  apply(timestampNanos: bigint, commands: readonly Command[]): readonly CommandResult[] {
    const position = this.state.position + 1n;
    const bytes = encodeBatch({
      partition: this.number,
      proposer: 'proposer-0123456',
      number: this.log.length + 1,
      commands,
    });
    const record = { position, timestampNanos, bytes };
    this.log.push(record);
    const clean = this.clean.apply(record);
    const noisy = this.noisy.apply(record);
    expect(noisy.results).toEqual(clean.results);
    expect(noisy.changes).toEqual(clean.changes);
    expect(noisy.writes).toEqual(clean.writes);
    expect(clean.results).toEqual(this.model.applyBatch(position, timestampNanos, commands));
    expect(clean.changes).toEqual(this.model.changes);
    this.#results.push(clean.results);
    this.check();
    return clean.results;
  }

  check(): void {
    expect(headOf(this.noisy.state)).toEqual(headOf(this.state));
    expectSameState(this.clean, this.model);
    expect(verifyState(this.state, this.clean.records)).toEqual([]);
    expect(verifyState(this.noisy.state, this.noisy.records)).toEqual([]);
    expect(ownDump(this.noisy)).toEqual(ownDump(this.clean));
    expect(differencesAsPassed(this.noisy)).toEqual([]);
  }

  checkReads(): void {
    for (const replica of [this.clean, this.noisy]) expectSameReads(replica, this.model);
  }

  /** What a merge puts beside the state, of slots that are not its own yet. */
  stage(writes: Writes): void {
    this.#stagedAt.set(this.state.position + 1n, writes);
    for (const replica of [this.clean, this.noisy]) {
      // What is left there of a split of before must not come back.
      tidy(replica, () => false);
      const own = OwnRecords.of(replica.state, replica.records)!;
      for (const key of writes.keys()) expect(own.has(key)).toBe(false);
      replica.records.write(writes);
    }
  }

  /** Takes foreign records away: of those two replicas, or of the one that may have some. */
  tidy(which: 'both' | 'noisy', spares: (slot: number) => boolean): void {
    for (const replica of which === 'both' ? [this.clean, this.noisy] : [this.noisy]) tidy(replica, spares);
  }

  /** Puts records of slots that are not its own beside the state, whatever they say. */
  disturb(seed: number, spares: (slot: number) => boolean): void {
    const { state, records } = this.noisy;
    if (state.slots === undefined) return;
    let random = seed;
    const next = (below: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return (random >>> 8) % below;
    };
    const own = OwnRecords.of(state, records)!;
    const writes = new Map<BinaryString, Uint8Array>();
    for (let i = 0; i < 6; i++) {
      const store = stores[next(stores.length)]!;
      const key = keys[next(keys.length)]!;
      // Also of keyspaces of before, retired or forgotten.
      const ordinal = next(3) === 0 ? 1 + next(state.nextOrdinal) : (state.stores.get(store)?.ordinal ?? 0);
      if (ordinal === 0 || ordinal >= state.nextOrdinal) continue;
      if (spares(slotOf(state.storesByOrdinal.get(ordinal)?.name ?? store, key))) continue;
      const clockMs = Number(state.clockNanos / 1_000_000n);
      const expiresAtMs = next(2) === 0 ? 0 : Math.max(1, clockMs - 2000 + next(4000));
      const value = new Uint8Array(9 + (expiresAtMs === 0 ? 0 : 6) + next(5));
      value[8] = 1 + next(200);
      value[0] = expiresAtMs === 0 ? 0 : 1;
      writes.set(keyspace.entryKeyPrefix(ordinal) + key, value);
      if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, ordinal, key), noValue);
    }
    records.write(new Map([...writes].filter(([key]) => !own.has(key) && records.get(key) === undefined)));
  }

  /** The same log again, from where it began. */
  checkReplay(): void {
    const again = new Replica(this.#origin.copy(), this.#apply);
    for (const [at, record] of this.log.entries()) {
      const staged = this.#stagedAt.get(record.position);
      if (staged !== undefined) {
        tidy(again, () => false);
        again.records.write(staged);
      }
      expect(again.apply(record).results).toEqual(this.#results[at]);
    }
    expect(headOf(again.state)).toEqual(headOf(this.state));
    expect(ownDump(again)).toEqual(ownDump(this.clean));
  }
}

/** As whoever takes a copy over verifies it. */
function differencesAsPassed({ state, records }: Replica): readonly string[] {
  const tally = new EntryTally();
  for (const { key, value } of records.range({})) tally.record(key, value);
  const steps = verifySteps(state, records, tally);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function tidy(replica: Replica, spares: (slot: number) => boolean): void {
  replica.records.write(new Map(foreign(replica, spares).map((key) => [key, undefined])));
}

function foreign({ state, records }: Replica, spares: (slot: number) => boolean): BinaryString[] {
  const own = OwnRecords.of(state, records);
  if (own === undefined) return [];
  return [...records.keys({})].filter((key) => {
    if (own.has(key)) return false;
    const isEntry = key.startsWith(keyspace.entryPrefix);
    const ordinal = keyspace.uint32At(key, isEntry ? 1 : 7);
    const store = state.storesByOrdinal.get(ordinal);
    const userKey = key.slice(isEntry ? keyspace.entryKeyPrefixLength : 11);
    return store === undefined || !spares(slotOf(store.name, userKey));
  });
}

/** The records that are the state's own. */
export function ownDump({ state, records }: Replica): string[] {
  const own = OwnRecords.of(state, records);
  if (own === undefined) return dump(records);
  return dump(new SortedMap([...records.range({})].filter(({ key }) => own.has(key)).map((r) => [r.key, r.value])));
}
