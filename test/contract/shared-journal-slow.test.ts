// The shared journal under one partition that is behind while the others go on and trim: the records
// that it wants are all there, and it must get them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { limits } from '@statestore/core';
import { SharedJournal } from '../../services/node/src/log/shared-journal.ts';
import { appendAll, Collector, payload, payloads } from './log-collector.ts';

let directory: string;
let journal: SharedJournal;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-journal-'));
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  journal = await SharedJournal.open({ directory, partitions: 2, now, segmentBytes: 256 * 1024 });
});

afterEach(async () => {
  await journal.close();
  await rm(directory, { recursive: true, force: true });
});

test('a partition that was held up while the others trimmed goes on with its own next record', async () => {
  const [slow, busy] = [journal.logOf(0), journal.logOf(1)];
  const gate = Promise.withResolvers<void>();
  const collector = new Collector(slow, 1n, () => gate.promise);
  await slow.append(payload(1));
  await appendAll(busy, payloads(Math.ceil((limits.logSubscriberBufferBytesMax * 1.5) / 10_000), 10_000));
  await slow.append(payload(2));
  // As after a flush: the first record is stored, though its delivery has not ended yet.
  await slow.trim(2n);
  const { last } = await busy.bounds();
  const before = await journal.sizeBytes();
  await busy.trim(last + 1n);
  expect(await journal.sizeBytes()).toBeLessThan(before);
  gate.resolve();
  await collector.reached(2n);
  await slow.append(payload(3));
  await collector.reached(3n);
  expect(collector.positions).toEqual([1n, 2n, 3n]);
  expect(collector.end).toBeUndefined();
});

test('a partition that wants what was trimmed is told so, and not asked to wait for ever', async () => {
  const [slow, busy] = [journal.logOf(0), journal.logOf(1)];
  const gate = Promise.withResolvers<void>();
  const collector = new Collector(slow, 1n, () => gate.promise);
  await slow.append(payload(1));
  await appendAll(busy, payloads(Math.ceil((limits.logSubscriberBufferBytesMax * 1.5) / 20_000), 10_000));
  await slow.append(payload(2));
  await appendAll(busy, payloads(Math.ceil((limits.logSubscriberBufferBytesMax * 1.5) / 20_000), 10_000));
  await slow.trim(3n);
  await busy.trim((await busy.bounds()).last + 1n);
  gate.resolve();
  expect(await collector.subscription.ended).toMatchObject({ kind: 'trimmed' });
});
