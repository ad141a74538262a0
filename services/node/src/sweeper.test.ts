// What a partition's sweeps forget, over a log whose clock jumps: the commands that it proposes, and what
// they come to.
import type { Command } from '@statestore/core';
import { decodeBatch, defaultTtl, limits, noCondition } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import { MemoryEngine } from './engine/memory-engine.ts';
import type { LogRecord } from './log/log.ts';
import { Partition } from './partition.ts';
import { TestLog } from './testing/controlled-replica.ts';
import type { Time } from './time.ts';

const startMs = 1_700_000_000_000;
const hour = 3_600_000;

/** Driven by hand; timers run when they are due. */
class DrivenTime implements Time {
  elapsed = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  nowMs(): number {
    return startMs + this.elapsed;
  }
  elapsedMs(): number {
    return this.elapsed;
  }
  after(ms: number, run: () => void) {
    const timer = { atMs: this.elapsed + ms, run };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  defer(run: () => void): void {
    setImmediate(run);
  }
  async pass(ms: number): Promise<void> {
    const endMs = this.elapsed + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.elapsed = Math.max(this.elapsed, next.atMs);
      next.run();
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    this.elapsed = endMs;
  }
}

/** Stamps by a clock of its own, which may be wrong. */
class SkewedLog extends TestLog {
  override exclusive = false;
  aheadMs = 0;
  readonly #time: DrivenTime;

  constructor(time: DrivenTime) {
    super();
    this.#time = time;
  }

  override deliver(records: readonly LogRecord[]): void {
    const timestampNanos = BigInt(startMs + this.#time.elapsed + this.aheadMs) * 1_000_000n;
    super.deliver(records.map((record) => ({ ...record, timestampNanos })));
  }
}

let opened: Partition | undefined;
afterEach(() => opened?.close());

async function open(sweeps: () => boolean = () => true) {
  const time = new DrivenTime();
  const log = new SkewedLog(time);
  const engine = new MemoryEngine();
  const partition = await Partition.open({ partition: 0, log, engine, time, proposer: 'P'.repeat(16), sweeps });
  opened = partition;
  /** Of the sweeps in the log. */
  const forgotten = (): (number | undefined)[] =>
    log.records
      .flatMap(({ bytes }) => decodeBatch(bytes).commands)
      .flatMap(({ body }) => (body.kind === 'sweep' ? [body.forgetBeforeMs] : []));
  return { time, log, partition, forgotten };
}

const increment: Command = {
  idempotency: { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) },
  stamp: { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true },
  body: {
    kind: 'mutate',
    store: 's',
    atomic: false,
    checks: [],
    operations: [{ kind: 'increment', key: 'k', delta: 1n, condition: noCondition, ttl: defaultTtl }],
  },
};
const other = { body: { kind: 'barrier' } } as const;
const byKey = ({ idempotency, body }: Command): Command => ({ idempotency: idempotency!, body });
const number = async (partition: Partition, command: Command) =>
  (await partition.propose(command)).operations[0]!.number;

test('a leader whose clock is an hour ahead forgets nothing before its window has passed', async () => {
  const { time, log, partition } = await open();
  await time.pass(10 * 60_000);
  expect(await number(partition, increment)).toBe(1n);
  log.aheadMs = hour;
  for (let passed = 0; passed < limits.deduplicationWindowMs - 10_000; passed += 10_000) {
    await partition.propose(other);
    await time.pass(10_000);
    // An idempotency key alone leaves the session idle.
    expect(await number(partition, byKey(increment))).toBe(1n);
  }
  expect(await number(partition, increment)).toBe(1n);
});

test('nor does one that is an hour behind, whose time stands still', async () => {
  const { time, log, partition } = await open();
  await time.pass(10 * 60_000);
  await partition.propose(other);
  log.aheadMs = -hour;
  await time.pass(limits.deduplicationWindowMs);
  expect(await number(partition, increment)).toBe(1n);
  await time.pass(limits.deduplicationWindowMs - 10_000);
  await partition.propose(other);
  expect(await number(partition, increment)).toBe(1n);
});

test('after the window it is forgotten, also by a replica that begins to sweep only then', async () => {
  let mine = false;
  const { time, partition, forgotten } = await open(() => mine);
  expect(await number(partition, increment)).toBe(1n);
  await time.pass(1000);
  await partition.propose(other);
  await time.pass(limits.deduplicationWindowMs + limits.seenClockStepMs + 2000);
  expect(forgotten()).toEqual([]);
  mine = true;
  await time.pass(2000);
  expect(forgotten()).toEqual([startMs + 1000]);
  expect(await number(partition, byKey(increment))).toBe(2n);
});

test('what another wrote into a sweep does not count', async () => {
  const { time, log, partition, forgotten } = await open(() => false);
  expect(await number(partition, increment)).toBe(1n);
  await time.pass(1000);
  const body = { kind: 'sweep', limit: 1000, changesKeptBytes: 1e9, countStore: '' } as const;
  log.aheadMs = hour;
  expect((await partition.propose({ body })).removed).toBe(0);
  expect((await partition.propose({ body: { ...body, forgetBeforeMs: startMs + hour } })).removed).toBe(0);
  expect(forgotten()).toEqual([0, 0]);
  expect(await number(partition, increment)).toBe(1n);
});
