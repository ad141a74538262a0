// What every log must do, whatever it is made of. Run by embedded-log.test.ts and jetstream-log.test.ts, so
// nothing here knows of files or of servers.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '@statestore/core';
import type { AppendOutcome, Log } from '../../services/node/src/log/log.ts';
import type { LogFixture } from './log-collector.ts';
import { appendAll, Collector, expectRecords, payload, payloads, positionOf, range } from './log-collector.ts';
import { logPropertyTest } from './log-model.ts';

export function logContract(name: string, make: () => Promise<LogFixture>): void {
  describe(`log contract: ${name}`, () => {
    let fixture: LogFixture;
    let log: Log;

    beforeEach(async () => {
      fixture = await make();
      log = await fixture.open();
    });
    afterEach(async () => {
      await log.close();
      await fixture.dispose();
    });

    async function reopen(): Promise<void> {
      await log.close();
      log = await fixture.open();
    }

    test('a new log is empty and has an incarnation', async () => {
      expect(await log.bounds()).toEqual({ first: 1n, last: 0n });
      expect(log.incarnation).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      const other = await make();
      const otherLog = await other.open();
      expect(otherLog.incarnation).not.toBe(log.incarnation);
      await otherLog.close();
      await other.dispose();
    });

    test('appends in flight get consecutive positions in the order of the calls', async () => {
      const all = payloads(300);
      expect(await appendAll(log, all)).toEqual(range(1n, 300n));
      expect(await log.bounds()).toEqual({ first: 1n, last: 300n });
      const collector = new Collector(log, 1n);
      await collector.reached(300n);
      expectRecords(collector.records, 1n, all);
    });

    test('many callers in a loop: every position once, the bytes of the call that got it', async () => {
      const byPosition = new Map<bigint, Uint8Array>();
      const appender = async (id: number): Promise<void> => {
        for (let i = 0; i < 25; i++) {
          const bytes = payload(id * 1000 + i, 1 + ((id * 37 + i) % 500));
          byPosition.set(positionOf(await log.append(bytes)), bytes);
        }
      };
      const live = new Collector(log, 1n);
      await Promise.all(Array.from({ length: 32 }, (_, id) => appender(id)));
      const all = range(1n, 800n).map((position) => byPosition.get(position) ?? new Uint8Array(0));
      expect(byPosition.size).toBe(800);
      await live.reached(800n);
      expectRecords(live.records, 1n, all);
      const late = new Collector(log, 1n);
      await late.reached(800n);
      expectRecords(late.records, 1n, all);
      // Each record has one timestamp, however it is read.
      expect(late.records.map((r) => r.timestampNanos)).toEqual(live.records.map((r) => r.timestampNanos));
      expect(late.records.every((r) => r.timestampNanos > 0n)).toBe(true);
    });

    test('what was acknowledged is there after opening again, and the log goes on', async () => {
      const all = payloads(100);
      await appendAll(log, all.slice(0, 60));
      const { incarnation } = log;
      await reopen();
      expect(log.incarnation).toBe(incarnation);
      expect(await log.bounds()).toEqual({ first: 1n, last: 60n });
      expect(await appendAll(log, all.slice(60))).toEqual(range(61n, 100n));
      await reopen();
      const collector = new Collector(log, 1n);
      await collector.reached(100n);
      expectRecords(collector.records, 1n, all);
    });

    test('a subscription starts at the beginning, in the middle, at the end, and follows', async () => {
      const all = payloads(120);
      await appendAll(log, all.slice(0, 100));
      const collectors = [1n, 50n, 100n, 101n].map((from) => ({ from, collector: new Collector(log, from) }));
      await appendAll(log, all.slice(100));
      for (const { from, collector } of collectors) {
        await collector.reached(120n);
        expectRecords(collector.records, from, all);
        expect(collector.records.length).toBe(120 - Number(from) + 1);
      }
    });

    test('subscribing while appends are in flight misses none and repeats none', async () => {
      const all = payloads(64);
      const collectors: Collector[] = [];
      const outcomes: Promise<AppendOutcome>[] = [];
      for (const bytes of all) {
        outcomes.push(log.append(bytes));
        collectors.push(new Collector(log, 1n));
        await Promise.resolve();
      }
      await Promise.all(outcomes);
      for (const collector of collectors) {
        await collector.reached(64n);
        expectRecords(collector.records, 1n, all);
      }
    });

    test('a record is durable when it is delivered', async () => {
      const seen: Promise<boolean>[] = [];
      const collector = new Collector(log, 1n, (records) => {
        const last = records.at(-1)?.position ?? 0n;
        seen.push(log.bounds().then((bounds) => bounds.last >= last));
      });
      await appendAll(log, payloads(50));
      await collector.reached(50n);
      expect((await Promise.all(seen)).every(Boolean)).toBe(true);
    });

    test('nothing is delivered while onRecords is pending, and everything afterwards', async () => {
      const all = payloads(400, 300);
      let underWay = 0;
      let overlapping = 0;
      let release = (): void => undefined;
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const slow = new Collector(log, 1n, async () => {
        overlapping = Math.max(overlapping, ++underWay);
        await gate;
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
      });
      const fast = new Collector(log, 1n);
      await appendAll(log, all.slice(0, 1));
      await slow.reached(1n);
      await appendAll(log, all.slice(1));
      // The other subscriber is not held up.
      await fast.reached(400n);
      const before = slow.records.length;
      await new Promise((resolve) => setImmediate(resolve));
      expect(slow.records.length).toBe(before);
      expect(before).toBeLessThan(400);
      release();
      await slow.reached(400n);
      expectRecords(slow.records, 1n, all);
      expect(overlapping).toBe(1);
    });

    test('a subscriber that falls far behind still gets everything once', async () => {
      const bytes = new Uint8Array(Math.min(256 * 1024, log.recordBytesMax)).fill(5);
      const count = Math.ceil((limits.logSubscriberBufferBytesMax * 2) / bytes.length) + 5;
      let release = (): void => undefined;
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      let largestBytes = 0;
      const slow = new Collector(log, 1n, (records) => {
        largestBytes = Math.max(
          largestBytes,
          records.reduce((sum, record) => sum + record.bytes.length, 0),
        );
        return gate;
      });
      await appendAll(log, [bytes]);
      await slow.reached(1n);
      for (let i = 1; i < count; i++) await appendAll(log, [bytes]);
      release();
      await slow.reached(BigInt(count));
      expect(slow.positions).toEqual(range(1n, BigInt(count)));
      // What waited for it in memory was bounded.
      expect(largestBytes).toBeLessThanOrEqual(limits.logSubscriberBufferBytesMax);
      // And is live again.
      await appendAll(log, [bytes]);
      await slow.reached(BigInt(count + 1));
    });

    test('a subscriber may append and subscribe from within a delivery', async () => {
      let inner: Collector | undefined;
      const outer = new Collector(log, 1n, async (records) => {
        if (records.some(({ position }) => position === 1n)) {
          inner = new Collector(log, 1n);
          await log.append(payload(2));
        }
      });
      await log.append(payload(1));
      await outer.reached(2n);
      await inner?.reached(2n);
      expect(inner?.positions).toEqual([1n, 2n]);
    });

    test('a closed subscription delivers nothing more', async () => {
      await appendAll(log, payloads(10));
      const collector = new Collector(log, 1n);
      await collector.reached(10n);
      await collector.subscription.close();
      await collector.subscription.close();
      await appendAll(log, payloads(10));
      expect(await collector.subscription.ended).toEqual({ kind: 'closed' });
      expect(collector.records.length).toBe(10);
    });

    test.each([
      [
        'throws',
        () => {
          throw new Error('mine');
        },
      ],
      ['rejects', () => Promise.reject(new Error('mine'))],
    ])('a subscriber that %s ends its subscription, and no other', async (_, onRecords) => {
      const bad = new Collector(log, 1n, onRecords);
      const good = new Collector(log, 1n);
      await appendAll(log, payloads(3));
      const end = await bad.subscription.ended;
      expect(end.kind === 'corrupt' && end.cause).toMatchObject({ message: 'mine' });
      await appendAll(log, payloads(3));
      await good.reached(6n);
      expect(bad.records.length).toBeLessThan(6);
    });

    test('closing the log ends its subscriptions, also one that is waited for', async () => {
      await appendAll(log, payloads(3));
      const idle = new Collector(log, 1n);
      const stuck = new Collector(log, 1n, () => new Promise<void>(() => undefined));
      await idle.reached(3n);
      await stuck.reached(1n);
      await log.close();
      expect(await idle.subscription.ended).toEqual({ kind: 'closed' });
      expect(await stuck.subscription.ended).toEqual({ kind: 'closed' });
      expect(await log.subscribe({ from: 1n, onRecords: () => undefined }).ended).toEqual({ kind: 'closed' });
    });

    test('trim drops no record at or above its position', async () => {
      const all = payloads(400, 1024);
      await appendAll(log, all);
      const reader = new Collector(log, 1n);
      await reader.reached(400n);
      await log.trim(301n);
      const { first, last } = await log.bounds();
      expect(first).toBeLessThanOrEqual(301n);
      expect(last).toBe(400n);
      const kept = new Collector(log, first);
      await kept.reached(400n);
      expectRecords(kept.records, first, all);
      if (first > 1n) {
        const end = await log.subscribe({ from: first - 1n, onRecords: () => undefined }).ended;
        expect(end).toEqual({ kind: 'trimmed', first });
      }
      // Positions go on, and the bounds stay, over another opening.
      await reopen();
      expect(await log.bounds()).toEqual({ first, last: 400n });
      expect(positionOf(await log.append(payload(1)))).toBe(401n);
    });

    test('trim of everything and beyond leaves a log that goes on', async () => {
      await appendAll(log, payloads(100, 1024));
      await log.trim(1000n);
      await log.trim(1n);
      const { first, last } = await log.bounds();
      expect(last).toBe(100n);
      expect(first).toBeLessThanOrEqual(101n);
      expect(positionOf(await log.append(payload(1)))).toBe(101n);
      const collector = new Collector(log, 101n);
      await collector.reached(101n);
    });

    test('position 0 was never there', async () => {
      expect(await log.subscribe({ from: 0n, onRecords: () => undefined }).ended).toEqual({
        kind: 'trimmed',
        first: 1n,
      });
    });

    test('a subscriber that has seen more than the log holds is told that it regressed', async () => {
      await appendAll(log, payloads(5));
      const { incarnation } = log;
      const onRecords = (): void => undefined;
      expect(await log.subscribe({ from: 7n, onRecords }).ended).toEqual({ kind: 'regressed', last: 5n, incarnation });
      const fine = log.subscribe({ from: 6n, incarnation, onRecords });
      expect(await Promise.race([fine.ended, Promise.resolve('live')])).toBe('live');
      await fine.close();
    });

    test('a subscriber of another incarnation is told at once, and is given nothing', async () => {
      await appendAll(log, payloads(5));
      let delivered = 0;
      const other = '00000000-0000-4000-8000-000000000000';
      const subscription = log.subscribe({ from: 1n, incarnation: other, onRecords: () => void delivered++ });
      expect(await subscription.ended).toEqual({ kind: 'regressed', last: 5n, incarnation: log.incarnation });
      expect(delivered).toBe(0);
    });

    test('a record over the largest size is refused, the largest and an empty one are kept', async () => {
      const largest = new Uint8Array(log.recordBytesMax).fill(9);
      expect(await log.append(new Uint8Array(log.recordBytesMax + 1))).toMatchObject({
        kind: 'refused',
        reason: 'too_large',
      });
      expect(await appendAll(log, [new Uint8Array(0), largest, new Uint8Array(0)])).toEqual([1n, 2n, 3n]);
      const collector = new Collector(log, 1n);
      await collector.reached(3n);
      expect(collector.records.map(({ bytes }) => bytes.length)).toEqual([0, largest.length, 0]);
      expect(Buffer.compare(collector.records[1]?.bytes ?? largest.subarray(1), largest)).toBe(0);
    });

    test('more in flight than the limit is refused, and takes no position', async () => {
      const outcomes = await Promise.all(payloads(limits.logInFlightMax + 3).map((bytes) => log.append(bytes)));
      const refused = outcomes.slice(limits.logInFlightMax);
      expect(refused).toEqual(refused.map(() => ({ kind: 'refused', reason: 'overloaded' })));
      expect(outcomes.slice(0, limits.logInFlightMax).map(positionOf)).toEqual(
        range(1n, BigInt(limits.logInFlightMax)),
      );
      expect(positionOf(await log.append(payload(1)))).toBe(BigInt(limits.logInFlightMax) + 1n);
    });

    test('delivered bytes stay as they are when the appender uses its buffer again', async () => {
      const collector = new Collector(log, 1n);
      const bytes = payload(1);
      await log.append(bytes);
      bytes.fill(0);
      await log.append(bytes);
      await collector.reached(2n);
      expect(Buffer.compare(collector.records[0]?.bytes ?? bytes, payload(1))).toBe(0);
    });

    test('close finishes what is in flight, is idempotent, and nothing is appended afterwards', async () => {
      const inFlight = payloads(20).map((bytes) => log.append(bytes));
      await Promise.all([log.close(), log.close()]);
      expect((await Promise.all(inFlight)).map(positionOf)).toEqual(range(1n, 20n));
      expect(await log.append(payload(1))).toEqual({ kind: 'refused', reason: 'closed' });
      await log.close();
      await reopen();
      expect(await log.bounds()).toEqual({ first: 1n, last: 20n });
    });

    test('size grows with what is kept', async () => {
      await appendAll(log, payloads(100, 2048));
      expect(await log.sizeBytes()).toBeGreaterThan(100 * 2048);
    });
  });

  logPropertyTest(name, make);
}
