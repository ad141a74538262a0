// Appends at a steady rate while servers fail, and the count afterwards: what was acknowledged is in the log
// once, at its position; what was refused is not there; what nobody knows is there at most once.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AppendOutcome, Log, LogRecord } from '../../services/node/src/log/log.ts';
import { Collector, range } from './log-collector.ts';

const tickMs = 50;

export class Traffic {
  readonly outcomes = new Map<string, AppendOutcome>();
  readonly #log: Log;
  readonly #name: string;
  #count = 0;
  #stopped = false;
  readonly #open = new Set<Promise<void>>();
  readonly #running: Promise<void>;

  /** 20 appends each second, until `stop`. */
  constructor(log: Log, name = 'a') {
    this.#log = log;
    this.#name = name;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const appending = this.#append();
      this.#open.add(appending);
      void appending.then(() => this.#open.delete(appending));
      await sleep(tickMs);
    }
    await Promise.all(this.#open);
  }

  async #append(): Promise<void> {
    const id = `${this.#name}-${this.#count++}`;
    this.outcomes.set(id, await this.#log.append(Buffer.from(id)));
  }

  count(kind: AppendOutcome['kind']): number {
    return this.outcomes
      .values()
      .filter((outcome) => outcome.kind === kind)
      .toArray().length;
  }

  /** Resolves when so many more were acknowledged: how long that took. */
  async more(count: number): Promise<number> {
    const startMs = performance.now();
    const wanted = this.count('appended') + count;
    while (this.count('appended') < wanted) await sleep(10);
    return performance.now() - startMs;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

/** Reads the whole log, from its beginning, and compares. Returns what is in it. */
export async function expectHonest(log: Log, ...traffics: readonly Traffic[]): Promise<readonly LogRecord[]> {
  const { first, last } = await log.bounds();
  const reader = new Collector(log, first);
  if (last >= first) await reader.reached(last);
  expect(reader.positions.slice(0, Number(last - first) + 1)).toEqual(range(first, last));
  const found = new Map<string, bigint[]>();
  for (const { position, bytes } of reader.records) {
    const id = Buffer.from(bytes).toString();
    found.set(id, [...(found.get(id) ?? []), position]);
  }
  for (const [id, outcome] of traffics.flatMap(({ outcomes }) => [...outcomes])) {
    const positions = found.get(id) ?? [];
    if (outcome.kind === 'appended') expect({ id, positions }).toEqual({ id, positions: [outcome.position] });
    if (outcome.kind === 'refused') expect({ id, positions }).toEqual({ id, positions: [] });
    if (outcome.kind === 'unknown') expect(positions.length, id).toBeLessThanOrEqual(1);
  }
  await reader.subscription.close();
  return reader.records;
}
