// The entries of some slots of a partition that is written to, copied in rounds. The first round makes both sides equal,
// keyspace by keyspace, whatever was there; each further one takes the keys that changed, as they are then, by the
// change records behind the position that the round before began at. What is copied is counted along, and what a round
// copied whole is read back once, at its end. Where the source stands still, the copy is complete after a round.
import type { BinaryString, Change, Tally } from '@statestore/core';
import { changeKey, changePrefix, decodeChanges, limits, parseChangeKey, prefixEnd } from '@statestore/core';
import type { Turn } from '@statestore/checkpoint';
import { CopiedKeyspace, copyKey, copyPart, type CopyParts } from './copied-keyspace.ts';
import { type Proof, proveCopies } from './copy-proof.ts';
import { type CopyTarget, CopyWrites, type SourceStore, type Writes } from './copy-target.ts';
import type { ReshapeSource } from './reshape-work.ts';
import { SlotSet } from './slot-set.ts';

export interface SlotsCopyOptions {
  readonly source: ReshapeSource;
  readonly target: CopyTarget;
  readonly slots: readonly { readonly start: number; readonly end: number }[];
}

export interface CopyRound {
  readonly turn: Turn;
  readonly signal: AbortSignal;
  /** Where they are not those of now. */
  readonly stores?: ReadonlyMap<string, SourceStore>;
  /** Nothing in the slots changed after it: the round ends when everything is taken. Undefined: where the source was when it began. */
  readonly fencedAt?: bigint;
  /** The last writes are taken by the caller, who commits them together with others. */
  readonly keepsWrites?: boolean;
  readonly onPart?: () => void;
}

export interface CopiedStore {
  /** In the target. */
  readonly ordinal: number;
  readonly tally: Tally;
}

const changesEnd = prefixEnd(changePrefix)!;

export class SlotsCopy {
  readonly #source: ReshapeSource;
  readonly #target: CopyTarget;
  readonly #slots: SlotSet;
  #parts: CopyParts;
  #stores: ReadonlyMap<string, SourceStore>;
  /** By ordinal in the target. */
  readonly #copies = new Map<number, CopiedKeyspace>();
  /** The first position whose changes are not taken; undefined: begin anew. */
  #next: bigint | undefined;
  #changes: readonly Change[] = [];
  #changesAt = 0;
  /** Records of the source that were read in this round. */
  passed = 0;

  constructor({ source, target, slots }: SlotsCopyOptions) {
    this.#source = source;
    this.#target = target;
    this.#slots = new SlotSet(slots);
    this.#stores = source.state.stores;
    this.#parts = this.#newParts();
  }

  /** Resolves with the position that everything is taken up to. Rejects with the signal's reason, and with what either side says; the next one begins anew then. */
  async round(round: CopyRound): Promise<bigint> {
    const next = this.#next;
    // Whatever ends this in the middle leaves counts behind that say nothing.
    this.#next = undefined;
    this.#stores = round.stores ?? this.#source.state.stores;
    this.passed = 0;
    this.#next = await this.#round(round, next);
    return this.#next - 1n;
  }

  async #round(round: CopyRound, from: bigint | undefined): Promise<bigint> {
    const until = round.fencedAt ?? this.#source.state.position;
    let next = from;
    for (;;) {
      if (next === undefined || this.#source.state.changesFrom > next) next = this.#beginAnew();
      for (const copied of this.#toCopy()) await this.#copy(copied, round);
      next = await this.#takeChanges(next, until, round);
      if (next === undefined) continue;
      const whole = [...this.#copies.values()].filter(({ isWhole }) => isWhole);
      if (round.keepsWrites !== true || whole.some(({ isProven }) => !isProven))
        await this.#writeAndProve(whole, round);
      if (round.fencedAt === undefined || this.#toCopy().length === 0) return next;
    }
  }

  async #writeAndProve(whole: readonly CopiedKeyspace[], round: CopyRound): Promise<void> {
    await this.#parts.writes.flush();
    await proveCopies(this.#proof(round), whole);
    await this.#parts.writes.flush();
  }

  /** After a round that kept them. */
  takeWrites(): Writes {
    return this.#parts.writes.take();
  }

  #proof(round: CopyRound): Proof {
    const proof = { target: this.#target, slots: this.#slots, pause: () => pause(round) };
    if (this.#target.isOwn) return proof;
    return { ...proof, stray: (indexKey) => this.#parts.writes.set(indexKey, undefined) };
  }

  /** What of each store is there, by name. */
  stores(): ReadonlyMap<string, CopiedStore> {
    const stores = new Map<string, CopiedStore>();
    for (const { store, ordinal, sourceOrdinal, tally, isWhole } of this.#copies.values())
      if (store !== undefined && sourceOrdinal !== 0 && isWhole) stores.set(store, { ordinal, tally });
    return stores;
  }

  get entries(): number {
    let sum = 0;
    for (const { tally } of this.#copies.values()) sum += tally.entries;
    return sum;
  }

  get bytes(): number {
    let sum = 0;
    for (const { tally } of this.#copies.values()) sum += tally.bytes;
    return sum;
  }

  #newParts(): CopyParts {
    return {
      source: this.#source,
      target: this.#target,
      slots: this.#slots,
      writes: new CopyWrites(this.#target),
      passed: () => void this.passed++,
    };
  }

  #beginAnew(): bigint {
    this.#copies.clear();
    this.#changes = [];
    this.#changesAt = 0;
    this.#parts = this.#newParts();
    for (const { ordinal, store } of this.#target.found())
      this.#copies.set(ordinal, new CopiedKeyspace(ordinal, store, undefined));
    return this.#source.state.position + 1n;
  }

  /** Those that are not whole, or whose stores have other keyspaces by now, on either side. */
  #toCopy(): readonly CopiedKeyspace[] {
    const wanted = new Map<number, SourceStore>();
    for (const store of this.#stores.values()) {
      const ordinal = store.ordinal === 0 ? 0 : this.#target.ordinalOf(store);
      if (ordinal !== 0) wanted.set(ordinal, store);
    }
    const copies = this.#copies;
    for (const [ordinal, copied] of copies) {
      const source = wanted.get(ordinal);
      if (!this.#target.isLive(ordinal)) copies.delete(ordinal);
      else if ((source?.ordinal ?? 0) !== copied.sourceOrdinal)
        copies.set(ordinal, new CopiedKeyspace(ordinal, copied.store, source));
    }
    for (const [ordinal, source] of wanted)
      if (!copies.has(ordinal)) copies.set(ordinal, new CopiedKeyspace(ordinal, undefined, source));
    return [...copies.values()].filter(({ isWhole }) => !isWhole).sort((a, b) => a.ordinal - b.ordinal);
  }

  #isCurrent({ ordinal, store, sourceOrdinal }: CopiedKeyspace): boolean {
    if (!this.#target.isLive(ordinal)) return false;
    if (sourceOrdinal === 0) return true;
    const known = this.#stores.get(store!);
    return known?.ordinal === sourceOrdinal && this.#target.ordinalOf(known) === ordinal;
  }

  /** Makes the keyspace what the source's is. Leaves it where either became another one meanwhile. */
  async #copy(copied: CopiedKeyspace, round: CopyRound): Promise<void> {
    const { writes } = this.#parts;
    // What is read of the target is to be what was written.
    await writes.flush();
    for (let from: BinaryString | undefined = ''; from !== undefined;) {
      if (!this.#isCurrent(copied)) return;
      from = copyPart(this.#parts, copied, from);
      await this.#betweenParts(round);
    }
    copied.isWhole = true;
  }

  async #betweenParts(round: CopyRound): Promise<void> {
    if (this.#parts.writes.isFull) await this.#parts.writes.flush();
    round.onPart?.();
    await pause(round);
  }

  /** Resolves with the first position whose changes are not taken; undefined: there are no records of some. */
  async #takeChanges(from: bigint, until: bigint, round: CopyRound): Promise<bigint | undefined> {
    let next = from;
    for (;;) {
      if (this.#changesAt === this.#changes.length) {
        if (next > until) return next;
        if (this.#source.state.changesFrom > next) return undefined;
        next = this.#readChanges(next);
      }
      for (let left = limits.reshapeTurnRecords; left > 0 && this.#changesAt < this.#changes.length; left--)
        this.#takeChange(this.#changes[this.#changesAt++]!);
      await this.#betweenParts(round);
    }
  }

  /** Returns the first position whose changes were not read. */
  #readChanges(from: bigint): bigint {
    const changes: Change[] = [];
    this.#changes = changes;
    this.#changesAt = 0;
    for (const { key, value } of this.#source.reader.range({ start: changeKey(from), end: changesEnd })) {
      for (const change of decodeChanges(value).changes) changes.push(change);
      if (changes.length >= limits.reshapeTurnRecords) return parseChangeKey(key) + 1n;
    }
    return this.#source.state.position + 1n;
  }

  #takeChange({ kind, store: name, key }: Change): void {
    // A store that was cleared has another keyspace, or none: the next round sees that.
    if (kind === 'clear') return;
    const store = this.#stores.get(name);
    if (store === undefined || store.ordinal === 0) return;
    const copied = this.#copies.get(this.#target.ordinalOf(store));
    if (copied !== undefined && copied.isWhole && copied.sourceOrdinal === store.ordinal)
      copyKey(this.#parts, copied, key);
  }
}

function pause({ turn, signal }: CopyRound): Promise<void> | undefined {
  signal.throwIfAborted();
  return turn()?.then(() => signal.throwIfAborted());
}
