// Stages the entries of a partition that ends in the replica that takes its slots, and completes that when they are fenced.
// They are foreign there, and count for nothing, until every replica applies that they were absorbed; what lay there of
// the slots before, left by a split or by another attempt, is replaced.
import type { Fenced, GivenStore, keyspace, Merge } from '@statestore/core';
import {
  binaryFromBytes,
  hashAdd,
  hashToBytes,
  hashToHex,
  limits,
  newHash,
  prefixRange,
  StateStoreError,
} from '@statestore/core';
import { keyspace as records } from '@statestore/core';
import type { CheckpointTurns } from '../checkpoint/checkpoint-turns.ts';
import type { Time } from '../time.ts';
import { RememberedList } from './remembered-list.ts';
export { isStaged } from './stage-proof.ts';
import type { MergeWork, ReshapeSource, ReshapeTarget, RoundDone, StagedMerge } from './reshape-work.ts';
import { type CopiedStore, SlotsCopy } from './slots-copy.ts';
import { StageTarget } from './stage-target.ts';
import { type WorkTurn, WorkTurns } from './work-turns.ts';

export interface MergeWorkOptions {
  readonly merge: Pick<Merge, 'id' | 'source' | 'target' | 'slots'>;
  readonly source: ReshapeSource;
  readonly target: ReshapeTarget;
  readonly time: Time;
  /** Default: turns of its own. */
  readonly turns?: CheckpointTurns;
}

export function openMergeWork(options: MergeWorkOptions): MergeWork {
  return new SlotsMerge(options);
}

type StoreState = keyspace.StoreState;
type StagedStore = StagedMerge['stores'][number];

/** As read while the fence was in force. */
interface AtFence {
  readonly fenced: Fenced;
  /** With what they came to. */
  readonly stores: ReadonlyMap<string, StoreState>;
}

class SlotsMerge implements MergeWork {
  readonly #source: ReshapeSource;
  readonly #target: ReshapeTarget;
  readonly #staging: StageTarget;
  readonly #copy: SlotsCopy;
  readonly #remembered: RememberedList;
  readonly #turns: WorkTurns;
  #atFence: AtFence | undefined;

  constructor({ merge, source, target, time, turns }: MergeWorkOptions) {
    this.#source = source;
    this.#target = target;
    this.#staging = new StageTarget(target, merge.slots);
    this.#copy = new SlotsCopy({ source, target: this.#staging, slots: merge.slots });
    this.#remembered = new RememberedList(source);
    this.#turns = new WorkTurns(time, turns);
  }

  unprepared(): readonly string[] {
    const names: string[] = [];
    for (const { name, entries } of this.#source.state.stores.values())
      if (entries > 0 && this.#staging.ordinalOf({ name }) === 0) names.push(name);
    return names.sort();
  }

  round(signal: AbortSignal, onProgress?: (done: RoundDone) => void): Promise<RoundDone> {
    return this.#turns.polite(signal, (turn) => this.#round(turn, onProgress));
  }

  async #round(turn: WorkTurn, onProgress: ((done: RoundDone) => void) | undefined): Promise<RoundDone> {
    this.#atFence = undefined;
    await this.#remembered.round(turn);
    const total = Math.max(1, this.#source.state.entries);
    const onPart = (): void => onProgress?.(this.#done(0n, Math.min(0.99, this.#copy.passed / total)));
    // Where it cannot tell what is its own, nothing can be beside it.
    if (!this.#staging.isPrepared) return this.#done(0n, 0);
    return this.#done(await this.#copy.round({ ...turn, onPart }), this.unprepared().length === 0 ? 1 : 0.99);
  }

  #done(position: bigint, part: number): RoundDone {
    const { passed, entries, bytes } = this.#copy;
    return { position, records: passed, entries, bytes, part };
  }

  finish(fenced: Fenced, signal: AbortSignal): Promise<StagedMerge> {
    return this.#turns.urgent(signal, (turn) => this.#finish(fenced, turn));
  }

  async #finish(fenced: Fenced, turn: WorkTurn): Promise<StagedMerge> {
    const atFence = await this.#readAtFence(fenced, turn);
    const stores = atFence?.stores ?? new Map(this.#source.state.stores);
    if (this.#staging.isPrepared) {
      await this.#copy.round({ ...turn, stores, fencedAt: fenced.position });
      await this.#target.sync();
    }
    const copied = this.#copy.stores();
    if (atFence !== undefined) for (const store of stores.values()) this.#compare(store, copied.get(store.name));
    const all = [...stores.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const unprepared = all
      .filter((store) => !copied.has(store.name))
      .filter((store) => (atFence === undefined ? this.#hasEntries(store) : store.entries > 0))
      .map(({ name }) => name);
    if (atFence === undefined && unprepared.length === 0) this.#compareAll([...copied.values()]);
    return {
      stores: all.map((store) => staged(store, copied.get(store.name))),
      unprepared,
      remembered: this.#remembered.list(),
      revision: fenced.revision,
      clockNanos: fenced.clockNanos,
    };
  }

  /** Undefined where the slots were handed over before: the entries are still as they were, but what they come to was taken off. */
  async #readAtFence(fenced: Fenced, { turn, signal }: WorkTurn): Promise<AtFence | undefined> {
    const known = this.#atFence;
    if (known !== undefined && isSameFence(known.fenced, fenced)) return known;
    const { state, partition } = this.#source;
    if (state.fenced === undefined || !isSameFence(state.fenced, fenced)) {
      if (state.ended?.reshape === fenced.reshape && state.ended.position === fenced.position) return undefined;
      throw new StateStoreError(
        'unavailable',
        `partition ${partition}: the fence at ${fenced.position} is not in force`,
      );
    }
    const stores = new Map<string, StoreState>();
    for (const [name, store] of state.stores) stores.set(name, { ...store, hash: store.hash.slice() });
    const untilMs = Number(fenced.clockNanos / 1_000_000n) + limits.deduplicationWindowMs;
    await this.#remembered.round({ turn, signal, untilMs });
    const now = this.#source.state.fenced;
    // What was remembered is whole only where nothing was forgotten meanwhile.
    if (now !== undefined && isSameFence(now, fenced)) this.#atFence = { fenced, stores };
    return { fenced, stores };
  }

  /** All of the partition's entries are in its slots: what it says itself that there are must be there. */
  #compare({ name, entries, bytes, hash }: StoreState, copied: CopiedStore | undefined): void {
    if (copied === undefined) return;
    const { tally } = copied;
    if (tally.entries === entries && tally.bytes === bytes && hashToHex(tally.hash) === hashToHex(hash)) return;
    throw new StateStoreError(
      'data_corrupt',
      `store ${name} of partition ${this.#source.partition} has ${entries} entries of ${bytes} bytes with hash ${hashToHex(hash)}; ` +
        `${tally.entries} of ${tally.bytes} with ${hashToHex(tally.hash)} were found`,
    );
  }

  /**
   * After the hand-over the entries are not the source's own any more: a replica of it that came from a checkpoint since
   * then has none of them, and must not say that there were none.
   */
  #compareAll(copied: readonly CopiedStore[]): void {
    const given = this.#source.state.ended?.given;
    if (given === undefined) return;
    const hash = newHash();
    let entries = 0;
    for (const { tally } of copied) {
      entries += tally.entries;
      hashAdd(hash, tally.hash);
    }
    if (entries === given.entries && binaryFromBytes(hashToBytes(hash)) === given.hash) return;
    throw new StateStoreError(
      'unavailable',
      `partition ${this.#source.partition} handed ${given.entries} entries over; ${entries} of them are here, or others`,
    );
  }

  #hasEntries({ ordinal }: StoreState): boolean {
    if (ordinal === 0) return false;
    const range = prefixRange(records.entryKeyPrefix(ordinal));
    for (const _ of this.#source.reader.keys({ ...range, limit: 1 })) return true;
    return false;
  }

  close(): Promise<void> {
    return this.#turns.close();
  }
}

function isSameFence(a: Fenced, b: Fenced): boolean {
  return a.reshape === b.reshape && a.position === b.position;
}

function staged({ name, expired }: StoreState, copied: CopiedStore | undefined): StagedStore {
  const { entries, bytes, hash } = copied?.tally ?? { entries: 0, bytes: 0, hash: new Uint32Array(4) };
  const given: GivenStore = { name, entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
  return { ...given, ordinal: entries === 0 ? 0 : copied!.ordinal, expired };
}
