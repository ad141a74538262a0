// Writes to keys whose slots lie evenly over all of them, a little each, all the time: what a client that writes to a slot
// waits while it goes from one partition to another. Beside the load, which is what makes that hard.
import { setTimeout as sleep } from 'node:timers/promises';
import { binaryFromText, limits, slotOf } from '@statestore/core';
import { Pool } from 'undici';

/** A write that was answered, or failed. Times by one clock that is never set. */
export interface ProbeWrite {
  readonly slot: number;
  readonly sentMs: number;
  readonly answeredMs: number;
  /** Undefined: the connection failed. */
  readonly status: number | undefined;
}

/** Each is written to so often, where it is answered that soon. */
const everyMs = 50;
const timeoutMs = 60_000;

/** One of each of `count` equal ranges of slots. */
export function keysOverSlots(
  store: string,
  count: number,
): readonly { readonly key: string; readonly slot: number }[] {
  const found = new Map<number, { readonly key: string; readonly slot: number }>();
  for (let n = 0; found.size < count; n++) {
    const key = `probe-${n}`;
    const slot = slotOf(store, binaryFromText(key));
    const range = Math.floor((slot * count) / limits.slotCount);
    if (!found.has(range)) found.set(range, { key, slot });
  }
  return [...found.entries()].toSorted(([a], [b]) => a - b).map(([, each]) => each);
}

export class SlotProbes {
  readonly writes: ProbeWrite[] = [];
  readonly #pool: Pool;
  readonly #store: string;
  readonly #running: Promise<unknown>;
  #over = false;

  constructor(url: string, store: string, count: number) {
    this.#store = store;
    this.#pool = new Pool(url, {
      connections: count,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    this.#running = Promise.all(
      keysOverSlots(store, count).map((each, at) => this.#write(each, (at * everyMs) / count)),
    );
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#running;
    await this.#pool.close();
  }

  async #write({ key, slot }: { readonly key: string; readonly slot: number }, phaseMs: number): Promise<void> {
    await sleep(phaseMs);
    while (!this.#over) {
      const sentMs = performance.now();
      const status = await this.#put(key);
      const answeredMs = performance.now();
      this.writes.push({ slot, sentMs, answeredMs, status });
      await sleep(Math.max(0, sentMs + everyMs - answeredMs));
    }
  }

  async #put(key: string): Promise<number | undefined> {
    try {
      const path = `/v1/stores/${this.#store}/keys/${key}`;
      const { statusCode, body } = await this.#pool.request({ method: 'PUT', path, body: 'probe' });
      await body.dump();
      return statusCode;
    } catch {
      return undefined;
    }
  }
}
