// A store in partitions that split and merge at random points between the commands that they are sent, each of them as a
// trio (partition-trio.ts). Beside them is the unsplit store: what each entry was made to be, wherever it lay.
import type { BinaryString, Command, CommandBody, CommandResult, Hash128, OwnedRange } from '@statestore/core';
import {
  binaryFromBytes,
  childRecords,
  hashAdd,
  hashToBytes,
  hashToHex,
  keyspace,
  limits,
  newHash,
  newTally,
  prefixRange,
  rememberedAtFence,
  slotOf,
  slotRanges,
  tallyAdd,
} from '@statestore/core';
import { expect } from 'vitest';
import { keys, startMs, stores } from './arbitrary-commands.ts';
import type { Staged } from './model-reshape.ts';
import { childData } from './model-reshape.ts';
import { Trio } from './partition-trio.ts';
import type { Apply } from './replica.ts';
import { dump, SortedMap } from './sorted-map.ts';

interface Reshape {
  readonly kind: 'split' | 'merge';
  readonly id: BinaryString;
  readonly epoch: bigint;
  readonly source: Trio;
  readonly target: number;
  readonly slots: readonly OwnedRange[];
  step: number;
  child?: readonly string[];
  absorb?: Omit<CommandBody & { kind: 'absorb' }, 'ownedBefore'>;
  staged?: Staged;
}

export class PartitionWorld {
  readonly live = new Map<number, Trio>();
  readonly all: Trio[] = [];
  readonly #slots = new Map<number, readonly OwnedRange[]>();
  readonly #apply: Apply | undefined;
  /** By store and key: as encoded. */
  readonly #entries = new Map<string, Uint8Array>();
  readonly #sent: { at: Trio; body: CommandBody }[] = [];
  #reshape: Reshape | undefined;
  #epoch = 1n;
  #ms = startMs;
  /** How often a reshape ended, by kind. */
  readonly done = { split: 0, merge: 0, unfence: 0 };

  constructor(apply?: Apply) {
    this.#apply = apply;
    this.#add(new Trio(0, undefined, undefined, apply), [{ start: 0, end: limits.slotCount }]);
  }

  #add(trio: Trio, slots: readonly OwnedRange[]): void {
    this.live.set(trio.number, trio);
    this.all.push(trio);
    this.#slots.set(trio.number, slots);
  }

  at(index: number): Trio {
    return [...this.live.values()][index % this.live.size]!;
  }

  batch(at: Trio, elapsedMs: number, commands: readonly Command[]): readonly CommandResult[] {
    this.#ms += elapsedMs;
    // Clocks of logs differ.
    const skewMs = ((at.number * 1777) % 5000) - 2500;
    const results = at.apply(BigInt(this.#ms + skewMs) * 1_000_000n, commands);
    this.#note(at);
    if (at.state.slots !== undefined) at.tidy('both', (slot) => this.#isStaged(at, slot) || at === this.#leaving);
    return results;
  }

  /** What the batch before did to the unsplit store. */
  #note(at: Trio): void {
    const { state, records } = at.clean;
    const { changes } = at.model;
    for (const { kind, store } of changes)
      if (kind === 'clear')
        for (const key of keys) if (this.#owns(at, store, key)) this.#entries.delete(`${store}/${key}`);
    for (const { kind, store, key } of changes) {
      if (kind === 'clear') continue;
      const bytes = records.get((state.stores.get(store)?.keyPrefix ?? 'none') + key);
      if (bytes === undefined) this.#entries.delete(`${store}/${key}`);
      else this.#entries.set(`${store}/${key}`, bytes);
    }
  }

  #owns({ state }: Trio, store: string, key: string): boolean {
    return state.slots === undefined || slotRanges.containsSlot(state.slots, slotOf(store, key));
  }

  #isStaged(at: Trio, slot: number): boolean {
    const reshape = this.#reshape;
    return reshape?.kind === 'merge' && reshape.target === at.number && slotRanges.containsSlot(reshape.slots, slot);
  }

  /** Gave its slots away, and what is there is to be staged yet. */
  get #leaving(): Trio | undefined {
    return this.#reshape?.source;
  }

  disturb(at: Trio, seed: number): void {
    at.disturb(seed, (slot) => this.#isStaged(at, slot));
  }

  tidy(at: Trio): void {
    at.tidy('noisy', (slot) => this.#isStaged(at, slot) || at === this.#leaving);
  }

  /** A command of a reshape, as it was sent once, comes again. */
  late(index: number): void {
    const sent = this.#sent[index % Math.max(1, this.#sent.length)];
    if (sent === undefined) return;
    // An absorb that is not due is nobody's to apply: who has nothing staged waits (test/sim/reshape).
    if (sent.body.kind === 'absorb' && sent.body.reshape === this.#reshape?.id) return;
    // So late, a fence of the present one would only be another first one.
    if (sent.body.kind === 'handOver' && sent.body.reshape === this.#reshape?.id) return;
    this.batch(sent.at, 0, [{ body: sent.body }]);
  }

  #send(at: Trio, body: CommandBody): CommandResult {
    this.#sent.push({ at, body });
    return this.batch(at, 1, [{ body }])[0]!;
  }

  begin(kind: 'split' | 'merge', index: number, choice: number): void {
    if (this.#reshape !== undefined) return;
    const source = this.at(index);
    const owned = this.#slots.get(source.number)!;
    const epoch = ++this.#epoch;
    const id = `reshape ${epoch}`.padEnd(16, '.');
    if (kind === 'merge') {
      const others = [...this.live.keys()].filter((number) => number !== source.number);
      const target = others[choice % others.length];
      if (target !== undefined) this.#reshape = { kind, id, epoch, source, target, slots: owned, step: 0 };
      return;
    }
    const slots = someOf(owned, choice);
    if (slots.length === 0 || slotRanges.isSameSlots(slots, owned)) return;
    this.#reshape = { kind, id, epoch, source, target: this.all.length, slots, step: 0 };
  }

  get isUnderWay(): boolean {
    return this.#reshape !== undefined;
  }

  step(): void {
    const reshape = this.#reshape;
    if (reshape?.kind === 'split') this.#split(reshape);
    else if (reshape !== undefined) this.#merge(reshape);
  }

  /** Possible as long as nothing was handed over. */
  unfence(forGood: boolean): void {
    const reshape = this.#reshape;
    if (reshape === undefined || reshape.absorb !== undefined) return;
    const { id, epoch, source } = reshape;
    const ownedBefore = this.#slots.get(source.number)!;
    const { code } = this.#send(source, { kind: 'unfence', reshape: id, slotsEpoch: epoch, forGood, ownedBefore });
    expect(code).toBe('done');
    expect(source.state.fenced).toBeUndefined();
    reshape.step = 0;
    this.done.unfence++;
    if (forGood) this.#reshape = undefined;
  }

  #fence({ id, source, slots, epoch }: Reshape): void {
    const ownedBefore = this.#slots.get(source.number)!;
    const { code } = this.#send(source, { kind: 'fence', reshape: id, slots, ownedBefore, slotsEpoch: epoch });
    expect(code).toBe('done');
    expect(source.state.fenced?.reshape).toBe(id);
  }

  #handOver({ id, source, slots, epoch }: Reshape): void {
    const given = givenOf(source, slots);
    const fencedPosition = source.state.fenced!.position;
    const body = { kind: 'handOver', reshape: id, slotsEpoch: epoch, fencedPosition, stores: given } as const;
    const wrong = given.map((store) => ({ ...store, entries: store.entries + 1 }));
    if (given.some(({ name, entries }) => source.state.stores.get(name)!.entries === entries))
      expect(this.#send(source, { ...body, stores: wrong }).code).toBe('precondition_failed');
    expect(this.#send(source, { ...body, fencedPosition: fencedPosition - 1n }).code).toBe('precondition_failed');
    expect(this.#send(source, body).code).toBe('done');
    expect(source.state.slotsEpoch).toBe(epoch);
  }

  #split(reshape: Reshape): void {
    const { source, target, epoch, slots } = reshape;
    const name = { partition: target, generation: 1 + target, slotsEpoch: epoch };
    if (reshape.step++ === 0) {
      this.#fence(reshape);
      reshape.child = dump(new SortedMap(childRecords(source.state, source.clean.records, name)));
      return;
    }
    if (source.state.fenced === undefined) {
      // By an unfence of the time before, that came late.
      reshape.step = 0;
      return;
    }
    const child = new SortedMap(childRecords(source.state, source.clean.records, name));
    // Whatever came since the fence, and whatever lies beside the state.
    expect(dump(child)).toEqual(reshape.child);
    expect(dump(new SortedMap(childRecords(source.noisy.state, source.noisy.records, name)))).toEqual(reshape.child);
    const model = childData(source.model.data, epoch);
    model.clockNanos = source.state.fenced.clockNanos;
    model.revision = source.state.fenced.revision;
    this.#handOver(reshape);
    this.#slots.set(source.number, slotRanges.without(this.#slots.get(source.number)!, slots));
    const trio = new Trio(target, child, model, this.#apply);
    trio.check();
    this.#add(trio, slots);
    this.#reshape = undefined;
    this.done.split++;
    this.check();
  }

  #prepare({ id, source, target }: Reshape): Trio {
    const into = this.live.get(target)!;
    const withEntries = [...source.state.stores.values()].filter(({ ordinal }) => ordinal !== 0);
    const ownedBefore = this.#slots.get(target)!;
    const names = withEntries.map(({ name }) => name);
    expect(this.#send(into, { kind: 'prepareAbsorb', reshape: id, stores: names, ownedBefore }).code).toBe('done');
    return into;
  }

  #merge(reshape: Reshape): void {
    const { id, source, slots, epoch, target } = reshape;
    const into = this.live.get(target)!;
    switch (reshape.step++) {
      case 0:
        return void this.#prepare(reshape);
      case 1:
        return this.#fence(reshape);
      case 2: {
        if (source.state.fenced === undefined) {
          reshape.step = 1;
          return;
        }
        const records = [...rememberedAtFence(source.state.fenced, source.noisy.records)];
        expect(this.#send(into, { kind: 'remember', reshape: id, records }).code).toBe('done');
        const { revision, clockNanos } = source.state.fenced;
        const given = new Map(givenOf(source, slots).map((store) => [store.name, store]));
        const none = { entries: 0, bytes: 0, hash: '\0'.repeat(16) };
        const all = [...source.state.stores.values()].map((store) => {
          const { name, expired, settings, settingsVersion, allowanceEntries, allowanceBytes } = store;
          const rest = { expired, settings, settingsVersion, allowanceEntries, allowanceBytes };
          return { name, ...none, ...given.get(name), ordinal: 0, ...rest };
        });
        const { expired } = source.state;
        const stored = { slots, slotsEpoch: epoch, revision, clockNanos, expired, stores: all };
        reshape.absorb = { kind: 'absorb', reshape: id, ...stored };
        reshape.staged = new Map([...source.model.data.stores].map(([name, { entries }]) => [name, new Map(entries)]));
        return this.#handOver(reshape);
      }
      case 3:
        this.#prepare(reshape);
        return into.stage(stagedFor(source, into));
      default: {
        const stores_ = reshape.absorb!.stores.map((store) => ({
          ...store,
          ordinal: into.state.stores.get(store.name)?.ordinal ?? 0,
        }));
        const isStaged = [...stagedFor(source, into).keys()].every((key) => into.clean.records.get(key) !== undefined);
        into.model.staged = reshape.staged!;
        const body = { ...reshape.absorb!, ownedBefore: this.#slots.get(target)!, stores: stores_ };
        if (!isStaged) {
          // Cleared meanwhile: with the ordinals that were staged under it is refused, and begun anew.
          const stale = stores_.map((store) => ({ ...store, ordinal: store.ordinal + 1000 }));
          expect(this.#send(into, { ...body, stores: stale }).code).toBe('precondition_failed');
          reshape.step = 3;
          return;
        }
        expect(this.#send(into, body).code).toBe('done');
        this.#slots.set(target, slotRanges.joined([...this.#slots.get(target)!, ...slots]));
        this.live.delete(source.number);
        this.#reshape = undefined;
        this.done.merge++;
        this.check();
      }
    }
  }

  /** Every entry is in exactly one partition, as it was made to be. */
  check(): void {
    let entries = 0;
    const found = newHash();
    const sum = newHash();
    for (const [at, bytes] of this.#entries) addHash(sum, at, bytes);
    for (const trio of this.live.values()) {
      entries += trio.state.entries;
      hashAdd(found, trio.state.stateHash);
      trio.checkReads();
    }
    expect(entries).toBe(this.#entries.size);
    expect(hashToHex(found)).toBe(hashToHex(sum));
    for (const store of stores)
      for (const key of keys)
        expect([...this.live.values()].filter((trio) => this.#owns(trio, store, key))).toHaveLength(1);
  }

  end(): void {
    for (let i = 0; this.#reshape !== undefined && i < 10; i++) this.step();
    expect(this.#reshape).toBeUndefined();
    this.check();
    for (const trio of this.all) trio.checkReplay();
  }
}

function addHash(sum: Hash128, at: string, bytes: Uint8Array): void {
  const [store, key] = [at.slice(0, 1), at.slice(2)];
  const tally = newTally();
  tallyAdd(tally, keyspace.newStore(store).seed, key, bytes);
  hashAdd(sum, tally.hash);
}

/** About half of the slots that the tests' keys lie in; in one range or in many. */
function someOf(owned: readonly OwnedRange[], choice: number): OwnedRange[] {
  const used = stores.flatMap((store) => keys.map((key) => slotOf(store, key)));
  const here = [...new Set(used)].filter((slot) => slotRanges.containsSlot(owned, slot)).toSorted((a, b) => a - b);
  if (choice % 3 === 0)
    return slotRanges.joined(
      here.filter((_, i) => ((choice >> (i % 16)) & 1) === 1).map((s) => ({ start: s, end: s + 1 })),
    );
  const from = here[choice % Math.max(1, here.length)] ?? 0;
  const cut = [{ start: 0, end: from }];
  return slotRanges.without(owned, cut);
}

interface Given {
  readonly name: string;
  readonly entries: number;
  readonly bytes: number;
  readonly hash: BinaryString;
}

function givenOf({ clean: { state, records } }: Trio, slots: readonly OwnedRange[]): Given[] {
  return [...state.stores.values()]
    .filter(({ ordinal }) => ordinal !== 0)
    .map((store) => {
      const tally = newTally();
      for (const { key, value } of records.range(prefixRange(store.keyPrefix))) {
        const userKey = key.slice(keyspace.entryKeyPrefixLength);
        if (slotRanges.containsSlot(slots, slotOf(store.name, userKey))) tallyAdd(tally, store.seed, userKey, value);
      }
      const { entries, bytes, hash } = tally;
      return { name: store.name, entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
    });
}

/** The source's entries, which are foreign there by now, under the target's ordinals. */
function stagedFor({ clean: source }: Trio, into: Trio): Map<BinaryString, Uint8Array> {
  const writes = new Map<BinaryString, Uint8Array>();
  const given = source.state.ended!.fenced!.slots;
  for (const store of source.state.stores.values()) {
    if (store.ordinal === 0) continue;
    const ordinal = into.state.stores.get(store.name)?.ordinal ?? 0;
    for (const { key, value } of source.records.range(prefixRange(store.keyPrefix))) {
      const userKey = key.slice(keyspace.entryKeyPrefixLength);
      if (!slotRanges.containsSlot(given, slotOf(store.name, userKey))) continue;
      writes.set(keyspace.entryKeyPrefix(ordinal) + userKey, value);
      const expiresAtMs = keyspace.entryExpiry(value);
      if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, ordinal, userKey), new Uint8Array(0));
    }
  }
  return writes;
}
