// The simulated world's clock and scheduler: one queue of events, one source of randomness, one thread.
// Nothing in a simulation may take time, wait or choose but through this; so one seed is one history.
import { hashBytes, hashChained, hashToHex, newHash } from '@statestore/core';
import { SeededRandom } from '../process/seeded-random.ts';

interface Event {
  readonly timeMs: number;
  /** Events of one time run in the order in which they were made. */
  readonly number: number;
  run: (() => void) | undefined;
}

/** Something that can die: what it scheduled does not happen then. Frozen, it happens later. */
export interface Life {
  alive: boolean;
  frozenUntilMs?: number;
}

export interface Scheduled {
  cancel(): void;
}

const startMs = 1_700_000_000_000;
const keptLines = 60;
const text = new TextEncoder();

export class World {
  readonly random: SeededRandom;
  /** From now on nothing fails any more. */
  calm = false;
  readonly #events: Event[] = [];
  readonly #history = newHash();
  readonly #lines: string[] = [];
  #made = 0;
  #steps = 0;
  #nowMs = startMs;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    hashBytes(text.encode(`seed ${seed}`), 0, this.#history);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that ran: the order in which things happened, finer than time. */
  get steps(): number {
    return this.#steps;
  }

  /** Hash of everything noted so far. */
  get history(): string {
    return hashToHex(this.#history);
  }

  /** The newest lines of the history. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  note(what: string): void {
    const line = `${this.#nowMs - startMs} ms, step ${this.#steps}: ${what}`;
    hashChained(text.encode(line), this.#history, this.#history);
    this.#lines.push(line);
    if (this.#lines.length > keptLines) this.#lines.shift();
  }

  /** Runs it after that many milliseconds, unless its owner is dead by then. */
  after(delayMs: number, life: Life | undefined, run: () => void): Scheduled {
    let event: Event = { timeMs: this.#nowMs + delayMs, number: this.#made++, run };
    const runIfAlive = (): void => {
      const thawsMs = life?.frozenUntilMs ?? 0;
      if (life?.alive === false) return;
      if (thawsMs <= this.#nowMs) return run();
      // In the order in which they were due.
      event = { timeMs: thawsMs, number: this.#made++, run: runIfAlive };
      this.#push(event);
    };
    if (life !== undefined) event.run = runIfAlive;
    this.#push(event);
    return { cancel: () => (event.run = undefined) };
  }

  /** Never resolves where its owner dies first. */
  sleep(delayMs: number, life?: Life): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, life, resolve));
  }

  /** Whole milliseconds, min ≤ n ≤ max. */
  between(min: number, max: number): number {
    return min + this.random.below(max - min + 1);
  }

  /** Runs events until `done`; false where it is not done after that many events. */
  async run(done: () => boolean, stepsMax: number): Promise<boolean> {
    for (let left = stepsMax; left > 0; left--) {
      if (done()) return true;
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.run === undefined) continue;
      this.#nowMs = event.timeMs;
      this.#steps++;
      event.run();
      // Lets every promise that the event settled have its way before the next event.
      await new Promise(setImmediate);
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#events;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.timeMs === b.timeMs ? a.number < b.number : a.timeMs < b.timeMs;
}
