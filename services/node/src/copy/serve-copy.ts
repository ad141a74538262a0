// The giving side of a copied state: a snapshot of the engine, read in turns and handed out in parts. How
// many at once is bounded for the whole node, and so is the age of each snapshot: a held one lets an LMDB
// file grow with every commit. What travels how is the link's business; who takes it, copy-from-peer.ts.
import { limits, StateStoreError } from '@statestore/core';
import type { StatePart, StateRecord } from '@statestore/link';
import type { EngineEntry, EngineSnapshot } from '../engine/engine.ts';
import { systemTime, type Time, type Timer } from '../time.ts';
import { Turns } from './turns.ts';

export interface CopySource {
  /** Of the partition. */
  readonly number: number;
  /** A point in time in which everything is that was applied before the call. */
  snapshot(): Promise<EngineSnapshot>;
  /** Throws where the replica serves nothing any more: what it holds is not to be spread then. */
  serving(): void;
}

export interface CopyDeskOptions {
  readonly time?: Time;
  readonly copiesMax?: number;
  readonly stallMs?: number;
  readonly timeoutMs?: number;
}

/** Where the copies that a node gives are counted. */
export class CopyDesk {
  readonly #options: Required<CopyDeskOptions>;
  #underWay = 0;

  constructor(options: CopyDeskOptions = {}) {
    this.#options = {
      time: systemTime,
      copiesMax: limits.copiesMax,
      stallMs: limits.copyStallMs,
      timeoutMs: limits.copyTimeoutMs,
      ...options,
    };
  }

  get underWay(): number {
    return this.#underWay;
  }

  /**
   * The state in parts. Ends early, without a last part, when the signal aborts. Throws `overloaded`
   * where enough copies are under way, `unavailable` where this one was too slow.
   */
  async *serve(source: CopySource, signal: AbortSignal): AsyncGenerator<StatePart, void> {
    if (signal.aborted) return;
    const { copiesMax } = this.#options;
    if (this.#underWay >= copiesMax) {
      throw new StateStoreError(
        'overloaded',
        `this node gives ${this.#underWay} copies; it may give ${copiesMax} at once`,
        { retryAfterMs: 5000 },
      );
    }
    this.#underWay++;
    const copy = new Copy(source, this.#options, signal, () => this.#underWay--);
    try {
      yield* copy.parts();
    } finally {
      copy.free();
    }
  }
}

/** One copy, and what it holds: freed at the latest when its time is over, whether or not anybody asks for more. */
class Copy {
  readonly #source: CopySource;
  readonly #options: Required<CopyDeskOptions>;
  readonly #signal: AbortSignal;
  readonly #freed: () => void;
  readonly #beganMs: number;
  #progressMs: number;
  #timer: Timer;
  #snapshot: EngineSnapshot | undefined;
  #entries: IterableIterator<EngineEntry> | undefined;
  #free = false;
  #tooSlow: StateStoreError | undefined;

  constructor(source: CopySource, options: Required<CopyDeskOptions>, signal: AbortSignal, freed: () => void) {
    this.#source = source;
    this.#options = options;
    this.#signal = signal;
    this.#freed = freed;
    this.#beganMs = this.#progressMs = options.time.elapsedMs();
    this.#timer = options.time.after(Math.min(options.stallMs, options.timeoutMs), () => this.#look());
    signal.addEventListener('abort', this.free, { once: true });
  }

  async *parts(): AsyncGenerator<StatePart, void> {
    this.#source.serving();
    const snapshot = await this.#source.snapshot();
    if (this.#free) snapshot.close();
    else this.#snapshot = snapshot;
    if (!this.#mayGoOn()) return;
    const { position } = snapshot;
    const entries = (this.#entries = snapshot.range({}));
    const turns = new Turns(this.#options.time);
    let records: StateRecord[] = [];
    let bytes = 0;
    let total = 0;
    for (let step = entries.next(); step.done !== true; step = entries.next()) {
      records.push(step.value);
      total++;
      bytes += step.value.key.length + step.value.value.length;
      const full = bytes >= limits.copyPartBytes || records.length >= limits.copyPartRecords;
      if (full) {
        yield { position, records };
        this.#progressMs = this.#options.time.elapsedMs();
        records = [];
        bytes = 0;
      }
      // Whoever took the part had work with it in this turn.
      if (full || turns.over) await turns.next();
      if (!this.#mayGoOn()) return;
    }
    // Everything is read: however slowly the last part is taken, it holds nothing up.
    this.free();
    yield { position, records, total };
  }

  /** To be called after everything that may have let others run: the iterator must not be touched after it was freed. */
  #mayGoOn(): boolean {
    if (this.#tooSlow !== undefined) throw this.#tooSlow;
    if (this.#signal.aborted) return false;
    this.#source.serving();
    return true;
  }

  #look(): void {
    const { time, stallMs, timeoutMs } = this.#options;
    const now = time.elapsedMs();
    const stalledInMs = this.#progressMs + stallMs - now;
    const overInMs = this.#beganMs + timeoutMs - now;
    if (stalledInMs > 0 && overInMs > 0) {
      this.#timer = time.after(Math.min(stalledInMs, overInMs), () => this.#look());
      return;
    }
    const why = overInMs > 0 ? `nobody took a part for ${stallMs} ms` : `it took longer than ${timeoutMs} ms`;
    const message = `the copy of partition ${this.#source.number} was given up: ${why}`;
    this.#tooSlow = new StateStoreError('unavailable', message, { retryAfterMs: 1000 });
    this.free();
  }

  /** Idempotent. */
  readonly free = (): void => {
    if (this.#free) return;
    this.#free = true;
    this.#timer.cancel();
    this.#signal.removeEventListener('abort', this.free);
    this.#entries?.return?.();
    this.#snapshot?.close();
    this.#freed();
  };
}
