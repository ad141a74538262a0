// When a reshape's work has the node's thread: politely while nobody waits for it, and in longer turns when slots are
// fenced. One call after the other; closing ends the one that is under way.
import type { Turn } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import { CheckpointTurns } from '../checkpoint/checkpoint-turns.ts';
import { Turns } from '../copy/turns.ts';
import type { Time } from '../time.ts';

export interface WorkTurn {
  readonly turn: Turn;
  readonly signal: AbortSignal;
}

export class WorkTurns {
  readonly #time: Time;
  readonly #turns: CheckpointTurns;
  readonly #closing = new AbortController();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(time: Time, turns = new CheckpointTurns(time)) {
    this.#time = time;
    this.#turns = turns;
  }

  polite<T>(signal: AbortSignal, work: (turn: WorkTurn) => Promise<T>): Promise<T> {
    return this.#next(signal, (all) => work({ turn: this.#turns.part(), signal: all }));
  }

  urgent<T>(signal: AbortSignal, work: (turn: WorkTurn) => Promise<T>): Promise<T> {
    return this.#next(signal, (all) => {
      const turns = new Turns(this.#time);
      return work({ turn: () => (turns.over ? turns.next() : undefined), signal: all });
    });
  }

  #next<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const all = AbortSignal.any([signal, this.#closing.signal]);
    const result = this.#tail.then(() => {
      all.throwIfAborted();
      return work(all);
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closing.abort(new StateStoreError('shutting_down', 'the work on a reshape was closed'));
    await this.#tail;
  }
}
