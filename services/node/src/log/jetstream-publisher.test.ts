import { limits } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeNats } from '../testing/fake-nats.ts';
import { ManualTime, settled } from '../testing/manual-time.ts';
import { JetStreamPublisher } from './jetstream-publisher.ts';
import type { AppendOutcome } from './log.ts';

const nobody = 'NATS/1.0 503\r\n\r\n';
const inProcess = '{"error":{"code":409,"err_code":10158},"stream":"log","seq":0}';
const noRoom = '{"error":{"code":503,"err_code":10023},"stream":"log","seq":0}';
const wrongStream = '{"error":{"code":400,"err_code":10060},"stream":"log","seq":0}';

function stored(seq: number, more = ''): string {
  return `{"stream":"log","seq":${seq}${more}}`;
}

describe('publisher', () => {
  let nats: FakeNats;
  let time: ManualTime;
  let publisher: JetStreamPublisher;
  let acknowledged: bigint[];
  let refused: number;

  beforeEach(() => {
    nats = new FakeNats();
    time = new ManualTime();
    acknowledged = [];
    refused = 0;
    publisher = new JetStreamPublisher({
      connection: nats.connection,
      time,
      stream: 'log',
      subject: 'a.log',
      recordBytesMax: 100,
      onAcknowledged: (position) => void acknowledged.push(position),
      onRefused: () => void refused++,
    });
  });

  function append(text: string): { outcome: AppendOutcome | undefined } {
    const seen: { outcome: AppendOutcome | undefined } = { outcome: undefined };
    void publisher.append(Buffer.from(text)).then((outcome) => (seen.outcome = outcome));
    return seen;
  }

  function answer(attempt: number, text: string, head = ''): void {
    nats.say(nats.published[attempt]!.reply, text, head);
  }

  const idOf = (attempt: number): string => /Nats-Msg-Id: (\S+)/.exec(nats.published[attempt]!.head)![1]!;

  test('what is acknowledged is appended, once whatever else is said', async () => {
    const one = append('one');
    answer(0, stored(7));
    answer(0, stored(8));
    await settled();
    expect(one.outcome).toEqual({ kind: 'appended', position: 7n });
    expect(acknowledged).toEqual([7n]);
    await time.advance(10_000);
    expect(nats.published.length).toBe(1);
    expect(time.pending).toBe(0);
  });

  test('what is not answered is published again, the very same; then its outcome is unknown', async () => {
    const one = append('one');
    await time.advance(limits.logAppendWaitMs - limits.logPublisherTickMs);
    expect(one.outcome).toBeUndefined();
    expect(nats.published.length).toBeGreaterThan(2);
    expect(new Set(nats.published.map((each) => JSON.stringify(each))).size).toBe(1);
    await time.advance(2 * limits.logPublisherTickMs);
    expect(one.outcome).toMatchObject({ kind: 'unknown' });
    expect(refused).toBe(0);
  });

  test('after an attempt that nobody answered a refusal is not believed', async () => {
    const one = append('one');
    await time.advance(limits.logResendMs + limits.logPublisherTickMs);
    expect(nats.published.length).toBe(2);
    answer(1, wrongStream);
    await time.advance(limits.logRefusedWaitMs * 2);
    expect(one.outcome).toBeUndefined();
    await time.advance(limits.logAppendWaitMs);
    expect(one.outcome).toMatchObject({ kind: 'unknown' });
  });

  test('where every attempt was refused it is', async () => {
    const one = append('one');
    await time.advance(limits.logResendMs + limits.logPublisherTickMs);
    answer(0, wrongStream);
    answer(1, wrongStream);
    await settled();
    expect(one.outcome).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    expect(refused).toBe(1);
  });

  test('a copy that is being stored may be stored: refusals after it are not believed', async () => {
    const one = append('one');
    answer(0, inProcess);
    await time.advance(limits.logPublisherTickMs);
    expect(one.outcome).toBeUndefined();
    publisher.resend();
    await time.advance(limits.logResendMs * 2);
    for (let i = 1; i < nats.published.length; i++) answer(i, '', nobody);
    await time.advance(limits.logAppendWaitMs);
    expect(one.outcome).toMatchObject({ kind: 'unknown' });
  });

  test('nobody listens: it is tried again for a while, and what comes after it waits behind it', async () => {
    const one = append('one');
    answer(0, '', nobody);
    const two = append('two');
    expect(nats.published.map(({ text }) => text)).toEqual(['one']);
    await time.advance(limits.logPublisherTickMs);
    expect(nats.published.map(({ text }) => text)).toEqual(['one', 'one', 'two']);
    answer(1, stored(1));
    answer(2, stored(2));
    await settled();
    expect([one.outcome, two.outcome]).toEqual([
      { kind: 'appended', position: 1n },
      { kind: 'appended', position: 2n },
    ]);
  });

  test.each([
    ['', nobody, 'unavailable'],
    [noRoom, '', 'disk_full'],
  ])('a refusal that lasts is one: %s', async (text, head, reason) => {
    const one = append('one');
    let answered = 0;
    for (let ms = 0; ms < limits.logRefusedWaitMs + 200; ms += limits.logPublisherTickMs) {
      while (answered < nats.published.length) answer(answered++, text, head);
      await time.advance(limits.logPublisherTickMs);
    }
    expect(one.outcome).toMatchObject({ kind: 'refused', reason });
    expect(answered).toBeGreaterThan(5);
    expect(time.pending).toBe(0);
  });

  test('a record that was seen is appended, of this publisher alone', async () => {
    const one = append('one');
    publisher.seen('somebody.0', 5n);
    publisher.seen('', 5n);
    await settled();
    expect(one.outcome).toBeUndefined();
    publisher.seen(idOf(0), 6n);
    await settled();
    expect(one.outcome).toEqual({ kind: 'appended', position: 6n });
    answer(0, stored(6));
    expect(acknowledged).toEqual([]);
  });

  test('a duplicate is where the first one is', async () => {
    const one = append('one');
    await time.advance(limits.logResendMs + limits.logPublisherTickMs);
    answer(1, stored(3, ',"duplicate": true'));
    await settled();
    expect(one.outcome).toEqual({ kind: 'appended', position: 3n });
  });

  test('what is told that a leader is new publishes what is open again, in order', async () => {
    append('one');
    append('two');
    await time.advance(limits.logPublisherTickMs * 2);
    publisher.resend();
    expect(nats.published.map(({ text }) => text)).toEqual(['one', 'two', 'one', 'two']);
  });

  test('an attempt that cannot be sent says nothing of one before it', async () => {
    const one = append('one');
    nats.refuses = new Error('the message is larger than this server takes');
    await time.advance(limits.logAppendWaitMs - limits.logPublisherTickMs);
    expect(one.outcome).toBeUndefined();
    await time.advance(2 * limits.logPublisherTickMs);
    expect(one.outcome).toMatchObject({ kind: 'unknown' });
  });

  test('a closed connection: what was published is unknown, what was not is refused', async () => {
    const one = append('one');
    nats.closed = true;
    nats.refuses = new Error('closed');
    const two = append('two');
    await time.advance(limits.logPublisherTickMs);
    expect(one.outcome).toMatchObject({ kind: 'unknown' });
    expect(two.outcome).toMatchObject({ kind: 'refused', reason: 'unavailable' });
  });

  test('a server that takes less than the one before', async () => {
    nats.refuses = new RangeError('payload');
    const one = append('one');
    await time.advance(limits.logPublisherTickMs);
    expect(one.outcome).toMatchObject({ kind: 'refused', reason: 'too_large' });
    expect(nats.published).toEqual([]);
  });

  test('closing takes nothing more and waits for what is open', async () => {
    const one = append('one');
    let closed = false;
    void publisher.close().then(() => (closed = true));
    const two = append('two');
    await settled();
    expect(two.outcome).toEqual({ kind: 'refused', reason: 'closed' });
    expect(closed).toBe(false);
    answer(0, stored(1));
    await settled();
    expect([one.outcome, closed]).toEqual([{ kind: 'appended', position: 1n }, true]);
    expect([time.pending, nats.listeners]).toEqual([0, 0]);
  });
});
