import type { StreamAnswer, StreamApi, StreamView } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualTime } from '../testing/manual-time.ts';
import type { JetStreamReader, ReadEnd } from './jetstream-reader.ts';
import type { FoundRecord } from './jetstream-record.ts';
import { JetStreamSubscription } from './jetstream-subscription.ts';
import type { LogRecord, SubscriptionEnd } from './log.ts';

const incarnation = '00000000-0000-4000-8000-000000000001';

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function record(position: number, size = 10): LogRecord {
  return { position: BigInt(position), timestampNanos: BigInt(position), bytes: new Uint8Array(size) };
}

/** A stream of records 1 to last, read back in pieces of ten; and what its copies say beside that. */
class FakeStream {
  last = 0;
  first = 1;
  size = 10;
  /** How long a read of a copy takes. */
  turns = 1;
  answer: StreamAnswer<StreamView> | undefined;
  /** What the copy that is near has; undefined: all. */
  copyLast: number | undefined;
  copyFails: ReadEnd | undefined;
  readonly reads: string[] = [];

  readonly api = {
    info: async () => this.answer ?? { kind: 'answered', value: this.#view() },
  } as unknown as StreamApi;

  readonly reader = {
    read: async (from: bigint, onRecord: (found: FoundRecord) => void): Promise<ReadEnd> => {
      this.reads.push(`copy ${from}`);
      for (let i = 0; i < this.turns; i++) await turn();
      if (this.copyFails !== undefined) return this.copyFails;
      const end = Math.min(Number(from) + 9, this.copyLast ?? this.last);
      for (let at = Number(from); at <= end; at++) onRecord({ record: record(at, this.size), id: '' });
      if (end < Number(from)) return 'empty';
      return end < (this.copyLast ?? this.last) ? 'more' : 'read';
    },
    readOne: async (at: bigint, onRecord: (found: FoundRecord) => void): Promise<ReadEnd> => {
      this.reads.push(`leader ${at}`);
      await turn();
      if (at > BigInt(this.last)) return 'empty';
      onRecord({ record: record(Number(at), this.size), id: '' });
      return 'read';
    },
  } as unknown as JetStreamReader;

  #view(): StreamView {
    return {
      subjects: [],
      metadata: { 'statestore.incarnation': incarnation },
      first: BigInt(this.first),
      last: BigInt(this.last),
      sizeBytes: 0,
      sealed: false,
      isCurrent: true,
    };
  }
}

describe('subscription', () => {
  let stream: FakeStream;
  let time: ManualTime;
  let got: bigint[];
  let largestBytes: number;
  let end: SubscriptionEnd | undefined;
  let release: (() => void) | undefined;
  let held: boolean;
  let opened: JetStreamSubscription | undefined;

  beforeEach(() => {
    stream = new FakeStream();
    time = new ManualTime();
    got = [];
    largestBytes = 0;
    end = undefined;
    held = false;
  });

  afterEach(async () => {
    held = false;
    release?.();
    await opened?.close();
  });

  /** So much time; and turns for what is read and delivered meanwhile. */
  async function pass(ms: number): Promise<void> {
    await time.advance(ms);
    for (let i = 0; i < 50; i++) await turn();
  }

  function subscribe(from = 1): JetStreamSubscription {
    const source = {
      incarnation,
      api: stream.api,
      reader: stream.reader,
      time,
      onFound: () => undefined,
      onEnded: () => undefined,
    };
    const onRecords = (records: readonly LogRecord[]): void | Promise<void> => {
      got.push(...records.map(({ position }) => position));
      largestBytes = Math.max(
        largestBytes,
        records.reduce((sum, { bytes }) => sum + bytes.length, 0),
      );
      if (held) return new Promise((resolve) => (release = resolve));
    };
    const subscription = new JetStreamSubscription(source, { from: BigInt(from), onRecords });
    opened = subscription;
    void subscription.ended.then((why) => (end = why));
    return subscription;
  }

  /** Stored, and told by the leader. */
  function tell(subscription: JetStreamSubscription, ...positions: readonly number[]): void {
    for (const position of positions) {
      stream.last = Math.max(stream.last, position);
      subscription.offer(record(position, stream.size));
    }
  }

  function upTo(last: number, from = 1): bigint[] {
    return Array.from({ length: last - from + 1 }, (_, i) => BigInt(from + i));
  }

  test('reads back what there is, then follows without reading', async () => {
    stream.last = 35;
    const subscription = subscribe(3);
    await pass(10);
    expect(got).toEqual(upTo(35, 3));
    const reads = stream.reads.length;
    tell(subscription, 36, 37, 38);
    await pass(0);
    expect(got).toEqual(upTo(38, 3));
    expect(stream.reads.length).toBe(reads);
  });

  test('a gap in what is told is read back, and nothing is delivered before it is', async () => {
    const subscription = subscribe();
    await pass(10);
    tell(subscription, 1, 2, 5, 6);
    await Promise.resolve();
    expect(got).toEqual(upTo(2));
    await pass(10);
    expect(got).toEqual(upTo(6));
  });

  test('what is told while it reads back is not lost, nor given twice', async () => {
    stream.last = 30;
    stream.turns = 8;
    const subscription = subscribe();
    while (stream.reads.length === 0) await turn();
    for (let next = 31; next < 300; next += 3) {
      tell(subscription, next, next + 1, next + 2);
      tell(subscription, next);
      await turn();
    }
    await pass(10);
    expect(got).toEqual(upTo(300));
    expect(end).toBeUndefined();
    // What was told ahead was kept: it need not be read back.
    expect(stream.reads.length).toBeLessThan(12);
  });

  test('what is not told is found some time later, sooner where somebody knows of it', async () => {
    const subscription = subscribe();
    await pass(10);
    stream.last = 3;
    await pass(limits.logQuietPollMsMax + 10);
    expect(got).toEqual(upTo(3));
    stream.last = 4;
    subscription.hint(4n);
    await pass(limits.logHintWaitMs + 10);
    expect(got).toEqual(upTo(4));
  });

  test('hints that come all the time do not put the look off', async () => {
    const subscription = subscribe();
    await pass(10);
    for (let next = 1; next <= 10; next++) {
      stream.last = next;
      subscription.hint(BigInt(next));
      await pass(limits.logHintWaitMs / 2);
    }
    expect(got.length).toBeGreaterThan(5);
  });

  test('while it is held up, what waits is bounded, and read back afterwards', async () => {
    stream.size = 512 * 1024;
    held = true;
    const subscription = subscribe();
    await pass(10);
    for (let next = 1; next <= 100; next++) tell(subscription, next);
    await pass(10);
    // What one delivery may hold.
    expect(got).toEqual(upTo(limits.logSubscriberBufferBytesMax / stream.size));
    held = false;
    release?.();
    await pass(10);
    expect(got).toEqual(upTo(100));
    expect(largestBytes).toBeLessThanOrEqual(limits.logSubscriberBufferBytesMax + 10 * stream.size);
    const reads = stream.reads.length;
    tell(subscription, 101);
    await pass(0);
    expect(got).toEqual(upTo(101));
    expect(stream.reads.length).toBe(reads);
  });

  test('a copy that lags is left for the leader, and taken again', async () => {
    stream.last = 20;
    stream.copyLast = 10;
    const subscription = subscribe();
    await pass(10);
    expect(got).toEqual(upTo(10));
    subscription.hint(20n);
    await pass(1000);
    expect(got).toEqual(upTo(20));
    expect(stream.reads.filter((read) => read.startsWith('leader')).length).toBeLessThan(13);
  });

  test('nobody answers for a while', async () => {
    stream.last = 5;
    stream.copyFails = 'failed';
    subscribe();
    await pass(limits.logReadAgainMs);
    expect(got).toEqual([]);
    stream.copyFails = undefined;
    await pass(limits.logReadAgainMs * 2);
    expect(got).toEqual(upTo(5));
  });

  test('a record that is nowhere ends it, after some time', async () => {
    stream.last = 5;
    stream.copyLast = 5;
    const subscription = subscribe();
    await pass(10);
    stream.copyFails = 'hole';
    subscription.hint(7n);
    stream.answer = {
      kind: 'answered',
      value: {
        subjects: [],
        metadata: { 'statestore.incarnation': incarnation },
        first: 1n,
        last: 7n,
        sizeBytes: 0,
        sealed: false,
        isCurrent: true,
      },
    };
    await pass(limits.logHoleConfirmMs - 1000);
    expect(end).toBeUndefined();
    await pass(3000);
    expect(end?.kind).toBe('corrupt');
    expect(got).toEqual(upTo(5));
    expect(time.pending).toBe(0);
  });

  test('nothing is delivered before the log was found to have what is wanted', async () => {
    stream.last = 5;
    stream.answer = { kind: 'unanswered', cause: 0 };
    const subscription = subscribe();
    await pass(1000);
    tell(subscription, 1);
    await pass(1000);
    expect(got).toEqual([]);
    stream.answer = undefined;
    await pass(1000);
    expect(got).toEqual(upTo(5));
  });

  test('a log that is short for a moment ends nothing; one that stays so does', async () => {
    stream.last = 5;
    const subscription = subscribe();
    await pass(10);
    stream.last = 3;
    subscription.doubt();
    await pass(limits.logRegressedConfirmMs - 1000);
    stream.last = 5;
    await pass(limits.logCheckMs);
    expect(end).toBeUndefined();
    stream.last = 3;
    subscription.doubt();
    await pass(limits.logRegressedConfirmMs + 1500);
    expect(end).toEqual({ kind: 'regressed', last: 3n, incarnation });
    expect(time.pending).toBe(0);
  });

  test('a contradiction ends it at once; what it took it knows', async () => {
    stream.last = 5;
    const subscription = subscribe(3);
    await pass(10);
    expect([2n, 3n, 5n, 6n].map((position) => subscription.took(position))).toEqual([false, true, true, false]);
    subscription.contradicted(4n);
    await pass(0);
    expect(end).toEqual({ kind: 'regressed', last: 4n, incarnation });
  });

  test('closed, it gives nothing more and sets no timer', async () => {
    stream.last = 25;
    held = true;
    const subscription = subscribe();
    await pass(10);
    let closed = false;
    void subscription.close().then(() => (closed = true));
    await pass(0);
    expect(closed).toBe(false);
    release?.();
    await pass(10);
    expect([closed, end]).toEqual([true, { kind: 'closed' }]);
    const before = got.length;
    tell(subscription, 26);
    await pass(20_000);
    expect(got.length).toBe(before);
    expect(time.pending).toBe(0);
  });
});
