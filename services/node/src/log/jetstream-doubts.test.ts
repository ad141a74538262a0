import type { StreamAnswer, StreamApi, StreamView } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { ManualTime, settled } from '../testing/manual-time.ts';
import type { JetStreamReader, ReadEnd } from './jetstream-reader.ts';
import type { FoundRecord } from './jetstream-record.ts';
import { JetStreamSubscription } from './jetstream-subscription.ts';
import type { LogRecord, SubscriptionEnd } from './log.ts';
import { TakenTimes } from './taken-times.ts';

const incarnation = '00000000-0000-4000-8000-000000000001';

function record(position: number, nanos: number): LogRecord {
  return { position: BigInt(position), timestampNanos: BigInt(nanos), bytes: new Uint8Array(3) };
}

describe('a subscriber whose log may not be what it was', () => {
  let time: ManualTime;
  let view: StreamView;
  /** Of the leader, by position; copies have nothing. */
  let stored: Map<bigint, LogRecord>;
  let leaderIsAway: boolean;
  let got: string[];
  let end: SubscriptionEnd | undefined;
  let subscription: JetStreamSubscription;

  beforeEach(async () => {
    time = new ManualTime();
    stored = new Map();
    leaderIsAway = false;
    got = [];
    end = undefined;
    const metadata = { 'statestore.incarnation': incarnation };
    view = { subjects: [], metadata, first: 1n, last: 5n, sizeBytes: 0, sealed: false, isCurrent: true };
    const info = async (): Promise<StreamAnswer<StreamView>> => ({ kind: 'answered', value: view });
    const readOne = async (at: bigint, onRecord: (found: FoundRecord) => void): Promise<ReadEnd> => {
      if (leaderIsAway) return 'failed';
      const found = stored.get(at);
      if (found === undefined) return 'empty';
      onRecord({ record: found, id: '' });
      return 'read';
    };
    const source = {
      incarnation,
      api: { info } as unknown as StreamApi,
      reader: { read: async () => 'empty', readOne } as unknown as JetStreamReader,
      time,
      onFound: () => undefined,
      onEnded: () => undefined,
    };
    const onRecords = (records: readonly LogRecord[]): void => {
      got.push(...records.map(({ position, timestampNanos }) => `${position}@${timestampNanos}`));
    };
    subscription = new JetStreamSubscription(source, { from: 6n, onRecords });
    void subscription.ended.then((why) => (end = why));
    await time.advance(10);
  });

  /** By its leader, as it stores it. */
  function tell(...records: readonly LogRecord[]): void {
    for (const each of records) {
      stored.set(each.position, each);
      view = { ...view, last: each.position };
      subscription.offer(each);
    }
  }

  test('takes nothing of what is told at positions that it took, stored at another time', async () => {
    tell(record(6, 60), record(7, 70));
    await settled();
    tell(record(6, 600), record(7, 700), record(8, 800));
    await settled();
    expect(end).toEqual({ kind: 'regressed', last: 6n, incarnation });
    expect(got).toEqual(['6@60', '7@70']);
  });

  test('does not mind what is told twice', async () => {
    tell(record(6, 60), record(7, 70), record(6, 60), record(7, 70), record(8, 80));
    await time.advance(1000);
    expect(got).toEqual(['6@60', '7@70', '8@80']);
    expect(end).toBeUndefined();
  });

  test('takes nothing of a log that grew again while nobody was told', async () => {
    tell(record(6, 60), record(7, 70));
    await settled();
    for (const each of [record(6, 600), record(7, 700)]) stored.set(each.position, each);
    subscription.lookAgain();
    tell(record(8, 800));
    await settled();
    expect(end).toEqual({ kind: 'regressed', last: 7n, incarnation });
    expect(got).toEqual(['6@60', '7@70']);
  });

  test('takes what is told meanwhile as soon as it knows that all is as it was', async () => {
    tell(record(6, 60));
    leaderIsAway = true;
    subscription.lookAgain();
    tell(record(7, 70), record(8, 80));
    await time.advance(2000);
    expect(got).toEqual(['6@60']);
    leaderIsAway = false;
    await time.advance(limits.logReadAgainMs * 2);
    expect(got).toEqual(['6@60', '7@70', '8@80']);
    expect(end).toBeUndefined();
    await subscription.close();
    expect(time.pending).toBe(0);
  });

  test('goes on where what it took last was trimmed', async () => {
    tell(record(6, 60), record(7, 70));
    await settled();
    stored.clear();
    view = { ...view, first: 8n };
    subscription.lookAgain();
    tell(record(8, 80));
    await time.advance(limits.logRegressedCheckMs * 2);
    expect(got).toEqual(['6@60', '7@70', '8@80']);
    expect(end).toBeUndefined();
  });

  test('does not call a log corrupt for what a leader without a majority says', async () => {
    view = { ...view, isCurrent: false };
    subscription.hint(7n);
    await time.advance(limits.logHoleConfirmMs * 4);
    expect(end).toBeUndefined();
    // A leader that others are heard by says the same.
    view = { ...view, last: 7n, isCurrent: true };
    await time.advance(limits.logHoleConfirmMs - 1000);
    expect(end).toBeUndefined();
    await time.advance(3000);
    expect(end?.kind).toBe('corrupt');
  });

  test('ends where a sealed log ends, once nothing more comes', async () => {
    tell(record(6, 60));
    view = { ...view, sealed: true };
    subscription.doubt();
    await time.advance(limits.logRegressedConfirmMs / 2);
    tell(record(7, 70));
    await time.advance(limits.logRegressedConfirmMs * 2);
    expect(got).toEqual(['6@60', '7@70']);
    expect(end).toEqual({ kind: 'regressed', last: 7n, incarnation, sealed: true });
  });
});

test('times of what was taken are known for the last ones', () => {
  const times = new TakenTimes(5n);
  const count = limits.logTakenTimesMax + 10;
  for (let position = 5; position < 5 + count; position++) times.took(record(position, position * 10));
  expect([4n, 5n, 14n, 15n, 16n].map((position) => times.at(position))).toEqual([
    undefined,
    undefined,
    undefined,
    150n,
    160n,
  ]);
  expect(times.at(BigInt(4 + count))).toBe(BigInt((4 + count) * 10));
  expect(times.at(BigInt(5 + count))).toBeUndefined();
  expect(times.contradicts(record(16, 161))).toBe(true);
  expect(times.contradicts(record(16, 160))).toBe(false);
  expect(times.contradicts(record(14, 1))).toBe(false);
});
