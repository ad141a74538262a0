// Builds a split's child beside its source, and completes it when the source's slots are fenced. What is built depends on
// the state at the fence alone, whatever rounds there were before: children of all replicas are equal, byte for byte.
// Until the last commit it is no state, and what a crash leaves is made equal to the source again before it counts.
import type { Fenced, GivenStore, keyspace, Split } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  childOf,
  hashToBytes,
  hashToHex,
  incarnationKey,
  limits,
  slotRanges,
  stateRecords,
  StateStoreError,
  storesAtFence,
} from '@statestore/core';
import type { CheckpointTurns } from '../checkpoint/checkpoint-turns.ts';
import type { Engine } from '../engine/engine.ts';
import type { Time } from '../time.ts';
import { ChildEngine } from './child-engine.ts';
import { childIncarnation } from './child-incarnation.ts';
import { RememberedCopy } from './remembered-copy.ts';
import type { BuiltChild, ReshapeSource, RoundDone, SplitWork } from './reshape-work.ts';
import { SlotsCopy } from './slots-copy.ts';
import { type WorkTurn, WorkTurns } from './work-turns.ts';

export interface SplitWorkOptions {
  readonly split: Split;
  readonly source: ReshapeSource;
  /** The caller's to close. What is in it is made the child's, or removed. */
  readonly engine: Engine;
  readonly time: Time;
  /** Default: turns of its own. */
  readonly turns?: CheckpointTurns;
}

export async function openSplitWork(options: SplitWorkOptions): Promise<SplitWork> {
  return new SlotsSplit(options, await ChildEngine.open(options.engine, options.source.state.position));
}

type StoreState = keyspace.StoreState;

/** What can be read only while the fence is in force. */
interface AtFence {
  readonly fenced: Fenced;
  readonly stores: readonly StoreState[];
}

class SlotsSplit implements SplitWork {
  readonly #split: Split;
  readonly #source: ReshapeSource;
  readonly #child: ChildEngine;
  readonly #copy: SlotsCopy;
  readonly #remembered: RememberedCopy;
  readonly #turns: WorkTurns;
  #atFence: AtFence | undefined;
  #isNamed = false;

  constructor({ split, source, time, turns }: SplitWorkOptions, child: ChildEngine) {
    this.#split = split;
    this.#source = source;
    this.#child = child;
    this.#copy = new SlotsCopy({ source, target: child, slots: split.slots });
    this.#remembered = new RememberedCopy(source, child);
    this.#turns = new WorkTurns(time, turns);
  }

  round(signal: AbortSignal, onProgress?: (done: RoundDone) => void): Promise<RoundDone> {
    return this.#turns.polite(signal, (turn) => this.#round(turn, onProgress));
  }

  async #round(turn: WorkTurn, onProgress: ((done: RoundDone) => void) | undefined): Promise<RoundDone> {
    this.#atFence = undefined;
    await this.#unname();
    await this.#remembered.round(turn);
    const total = Math.max(1, this.#source.state.entries);
    const onPart = (): void => onProgress?.(this.#done(0n, Math.min(0.99, this.#copy.passed / total)));
    return this.#done(await this.#copy.round({ ...turn, onPart }), 1);
  }

  #done(position: bigint, part: number): RoundDone {
    const { passed: records, entries, bytes } = this.#copy;
    return { position, records, entries, bytes, part };
  }

  finish(fenced: Fenced, signal: AbortSignal): Promise<BuiltChild> {
    return this.#turns.urgent(signal, (turn) => this.#finish(fenced, turn));
  }

  async #finish(fenced: Fenced, turn: WorkTurn): Promise<BuiltChild> {
    const { slots, target, log, slotsEpoch } = this.#split;
    if (!slotRanges.isSameSlots(slotRanges.joined(slots), fenced.slots))
      throw new StateStoreError('invalid_parameter', `partition ${this.#source.partition} is fenced for other slots`);
    await this.#unname();
    const stores = await this.#readAtFence(fenced, turn);
    const byName = new Map(stores.map((store) => [store.name, store]));
    await this.#copy.round({ ...turn, stores: byName, fencedAt: fenced.position, keepsWrites: true });
    const copied = this.#copy.stores();
    const counted = stores.map((store): StoreState => {
      const { entries, bytes, hash } = copied.get(store.name)?.tally ?? store;
      return { ...store, entries, bytes, hash };
    });
    const state = childOf(fenced, { partition: target, generation: log.generation, slotsEpoch }, counted);
    const incarnation = childIncarnation(target, hashToBytes(state.chain));
    this.#isNamed = true;
    // The clients of the slots wait: what changed last, and what makes it a state, are one commit.
    const records = new Map([
      ...this.#remembered.takeWrites(),
      ...this.#copy.takeWrites(),
      ...stateRecords(state),
      [incarnationKey, bytesFromBinary(incarnation)] as const,
    ]);
    await this.#child.name(records, fenced.position);
    return {
      position: fenced.position,
      chain: hashToHex(state.chain),
      stateHash: hashToHex(state.stateHash),
      incarnation,
      entries: state.entries,
      bytes: state.bytes,
      stores: counted.filter(({ entries }) => entries > 0).map(given),
    };
  }

  async #unname(): Promise<void> {
    if (!this.#isNamed) return;
    await this.#child.unname();
    this.#isNamed = false;
  }

  /** Stores, and what is remembered: after the slots were handed over they go on changing, unlike the entries. */
  async #readAtFence(fenced: Fenced, { turn, signal }: WorkTurn): Promise<readonly StoreState[]> {
    const known = this.#atFence;
    if (known !== undefined && isSameFence(known.fenced, fenced)) return known.stores;
    this.#requireFence(fenced);
    const stores = storesAtFence(this.#source.state, fenced);
    const check = (): Promise<void> | undefined => {
      this.#requireFence(fenced);
      return turn()?.then(() => this.#requireFence(fenced));
    };
    const untilMs = Number(fenced.clockNanos / 1_000_000n) + limits.deduplicationWindowMs;
    await this.#remembered.round({ turn: check, signal, untilMs, keepsWrites: true });
    this.#atFence = { fenced, stores };
    return stores;
  }

  #requireFence(fenced: Fenced): void {
    const now = this.#source.state.fenced;
    if (now !== undefined && isSameFence(now, fenced)) return;
    throw new StateStoreError(
      'unavailable',
      `partition ${this.#source.partition}: the fence at ${fenced.position} is not in force any more`,
      { hint: 'the child is built from another replica of it' },
    );
  }

  close(): Promise<void> {
    return this.#turns.close();
  }
}

function isSameFence(a: Fenced, b: Fenced): boolean {
  return a.reshape === b.reshape && a.position === b.position;
}

function given({ name, entries, bytes, hash }: StoreState): GivenStore {
  return { name, entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
}
