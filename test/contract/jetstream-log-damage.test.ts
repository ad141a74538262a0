// The log over JetStream when what it is made of goes wrong: its stream deleted, replaced, cut, with a hole,
// full or overfull, or its leader silent. On one server, where each of these can be done at will.
import type { StreamConfig } from '@nats-io/jetstream';
import { headers } from '@nats-io/nats-core';
import { logDeliverySubject, logSubject, StreamApi } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openJetStreamLog } from '../../services/node/src/log/jetstream-log.ts';
import type { AppendOutcome, Log } from '../../services/node/src/log/log.ts';
import { cluster, JetStreamServers } from './jetstream-fixture.ts';
import type { MadeLog } from './jetstream-fixture.ts';
import { appendAll, Collector, expectRecords, payload, payloads, positionOf, range } from './log-collector.ts';

describe('the log over JetStream, its stream', () => {
  let running: JetStreamServers;
  let made: MadeLog;
  let api: StreamApi;
  let log: Log;

  beforeAll(async () => {
    running = await JetStreamServers.start({ servers: 1 });
  });
  beforeEach(async () => {
    made = await running.make();
    api = new StreamApi(running.connection, made.stream);
    log = await made.open();
  });
  afterEach(async () => {
    await log.close();
    await made.dispose();
  });
  afterAll(() => running.stop());

  async function configuration(): Promise<StreamConfig> {
    const answer = await running.connection.request(`$JS.API.STREAM.INFO.${made.stream}`);
    return answer.json<{ config: StreamConfig }>().config;
  }

  /** As somebody might who restores it from elsewhere. */
  async function replace(change: Partial<StreamConfig> = {}): Promise<void> {
    const config = await configuration();
    expect(await api.remove()).toMatchObject({ kind: 'answered' });
    expect(await api.add({ ...config, ...change })).toMatchObject({ kind: 'answered' });
  }

  test('deleted: readers are told, appends are refused', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    await api.remove();
    expect(await log.append(payload(1))).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    expect(await reader.subscription.ended).toEqual({ kind: 'regressed', last: 0n, incarnation: '' });
  });

  test('made again under its name with another incarnation: readers are told, nothing is appended to it', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    await api.remove();
    const { partition } = made;
    const replacement = await running.streams.create({ partition, generation: 1, replicas: 1, first: 6n });
    const replaced = await openJetStreamLog({ connection: running.connection, cluster, partition, log: replacement });
    expect(positionOf(await replaced.append(payload(6)))).toBe(6n);
    expect(await log.append(payload(1))).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    const { incarnation } = replacement;
    expect(await reader.subscription.ended).toEqual({ kind: 'regressed', last: 6n, incarnation });
    // Nor is anything of it taken for this log's, although it is at the very next position.
    expect(reader.positions).toEqual(range(1n, 5n));
    expect(await replaced.bounds()).toEqual({ first: 6n, last: 6n });
    await replaced.close();
  });

  test('made again from an older copy of itself: readers are told', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    await replace();
    const end = reader.subscription.ended;
    expect(positionOf(await log.append(payload(1)))).toBe(1n);
    expect(await end).toMatchObject({ kind: 'regressed', incarnation: made.log.incarnation });
    expect(reader.positions).toEqual(range(1n, 5n));
  });

  test('made again from an older copy of itself, and silent: readers are told by what is acknowledged', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    const { republish: _, ...silent } = await configuration();
    await api.remove();
    await api.add(silent);
    expect(positionOf(await log.append(payload(1)))).toBe(1n);
    const startMs = performance.now();
    expect(await reader.subscription.ended).toMatchObject({ kind: 'regressed', last: 1n });
    // At once, and not when it was asked a few times: two records have the same position.
    expect(performance.now() - startMs).toBeLessThan(limits.logRegressedConfirmMs / 2);
  });

  test('made again from an older copy while nobody appends: readers are told', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    await replace();
    // As a process that was started then would see it; this one looks each 10 s.
    const again = await made.open();
    const { ended } = again.subscribe({ from: 6n, onRecords: () => undefined });
    expect(await ended).toEqual({ kind: 'regressed', last: 0n, incarnation: made.log.incarnation });
    await again.close();
    expect(await reader.subscription.ended).toEqual({
      kind: 'regressed',
      last: 0n,
      incarnation: made.log.incarnation,
    });
  });

  test('made again from an older copy, and grown beyond it unheard: nothing of it is taken', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(5));
    await reader.reached(5n);
    const { republish: _, ...silent } = await configuration();
    await api.remove();
    // Its advisory comes later than this, so that whoever looks finds a log that is long enough.
    await api.add(silent);
    const others = await made.open();
    const appended = await Promise.all(payloads(9).map((bytes) => others.append(bytes)));
    expect(appended.every(({ kind }) => kind === 'appended')).toBe(true);
    expect(await reader.subscription.ended).toMatchObject({ kind: 'regressed', incarnation: made.log.incarnation });
    expect(reader.positions).toEqual(range(1n, 5n));
    await others.close();
  });

  test('sealed: it is read to its end, and readers are told; an append that is refused finds it out', async () => {
    await appendAll(log, payloads(5));
    await running.streams.seal(made.partition, 1, made.log.incarnation);
    const reader = new Collector(log, 1n);
    await reader.reached(5n);
    expect(await log.append(payload(1))).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    const startMs = performance.now();
    const end = { kind: 'regressed', last: 5n, incarnation: made.log.incarnation, sealed: true };
    expect(await reader.subscription.ended).toEqual(end);
    expect(performance.now() - startMs).toBeLessThan(limits.logRegressedConfirmMs + 2000);
    expect(reader.positions).toEqual(range(1n, 5n));
  });

  test('trimmed beyond a reader that is held up', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const bytes = payload(1, 256 * 1024);
    const slow = new Collector(log, 1n, () => gate);
    const count = Math.ceil((limits.logSubscriberBufferBytesMax * 2) / bytes.length);
    positionOf(await log.append(bytes));
    await slow.reached(1n);
    for (let i = 1; i < count; i++) positionOf(await log.append(bytes));
    await log.trim(BigInt(count));
    release();
    const end = await slow.subscription.ended;
    expect(end).toEqual({ kind: 'trimmed', first: BigInt(count) });
    const taken = slow.positions;
    expect(taken).toEqual(range(1n, BigInt(taken.length)));
    expect(taken.length).toBeLessThan(count - 1);
  });

  test('with a hole: what comes before it is delivered, and nothing after', async () => {
    await replace({ deny_delete: false });
    await appendAll(log, payloads(20));
    const request = JSON.stringify({ seq: 11, no_erase: true });
    await running.connection.request(`$JS.API.STREAM.MSG.DELETE.${made.stream}`, request);
    const reader = new Collector(log, 1n);
    expect(await reader.subscription.ended).toMatchObject({ kind: 'corrupt' });
    expect(reader.positions).toEqual(range(1n, 10n));
  });

  test('with a hole that its reader has passed: nothing is wrong', async () => {
    await replace({ deny_delete: false });
    const all = payloads(40);
    await appendAll(log, all.slice(0, 20));
    await running.connection.request(`$JS.API.STREAM.MSG.DELETE.${made.stream}`, JSON.stringify({ seq: 11 }));
    const reader = new Collector(log, 12n);
    await appendAll(log, all.slice(20));
    await reader.reached(40n);
    expectRecords(reader.records, 12n, all);
  });

  test('silent, told by nobody: what is stored is found all the same', async () => {
    const { republish: _, ...silent } = await configuration();
    await api.remove();
    await api.add(silent);
    const all = payloads(30);
    const reader = new Collector(log, 1n);
    const quiet = await made.open();
    const elsewhere = new Collector(quiet, 1n);
    await appendAll(log, all);
    await reader.reached(30n);
    await elsewhere.reached(30n);
    expectRecords(elsewhere.records, 1n, all);
    await quiet.close();
  });

  test('not readable by direct get: its leader is asked', async () => {
    await replace({ allow_direct: false });
    const all = payloads(30);
    await appendAll(log, all);
    const reader = new Collector(log, 1n);
    // Known to be there, since another one is told.
    await log.append(payload(30));
    await reader.reached(31n);
    expectRecords(reader.records.slice(0, 30), 1n, all);
  });

  test('spoken for by strangers: what they say is not taken, and harms nothing', async () => {
    const reader = new Collector(log, 1n);
    await appendAll(log, payloads(3));
    const subject = logDeliverySubject(cluster, made.partition, made.log);
    running.connection.publish(subject, 'no headers');
    for (const [sequence, time] of [
      ['x', '2026-11-21T11:16:32Z'],
      ['4', 'today'],
      ['-1', '2026-11-21T11:16:32Z'],
    ]) {
      const forged = headers();
      forged.set('Nats-Subject', logSubject(cluster, made.partition, made.log));
      forged.set('Nats-Sequence', sequence!);
      forged.set('Nats-Time-Stamp', time!);
      running.connection.publish(subject, 'forged', { headers: forged });
    }
    await running.connection.flush();
    await appendAll(log, payloads(3));
    await reader.reached(6n);
    expect(reader.records.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).toEqual(
      [...payloads(3), ...payloads(3)].map((bytes) => Buffer.from(bytes).toString('hex')),
    );
  });

  test('of a later generation begins where the one before it ended', async () => {
    const continues = { incarnation: made.log.incarnation, position: 41n, chain: '0'.repeat(32) };
    const { partition } = made;
    const next = await running.streams.create({ partition, generation: 2, replicas: 1, first: 42n, continues });
    const successor = await openJetStreamLog({ connection: running.connection, cluster, partition, log: next });
    expect(await successor.bounds()).toEqual({ first: 42n, last: 41n });
    const reader = new Collector(successor, 42n);
    expect(positionOf(await successor.append(payload(1)))).toBe(42n);
    await reader.reached(42n);
    const tooEarly = successor.subscribe({ from: 41n, onRecords: () => undefined });
    expect(await tooEarly.ended).toEqual({ kind: 'trimmed', first: 42n });
    await successor.close();
    await running.streams.remove(partition, 2);
  });
});

describe('the log over JetStream, a server with little', () => {
  function kinds(outcomes: readonly AppendOutcome[]): Set<string> {
    return new Set(outcomes.map((outcome) => (outcome.kind === 'refused' ? outcome.reason : outcome.kind)));
  }

  test('room: disk_full, nothing of it is in the log, and it goes on after a trim', async () => {
    const running = await JetStreamServers.start({ servers: 1, fileBytesMax: 4 * 1024 * 1024 });
    const made = await running.make();
    const log = await made.open();
    const bytes = payload(1, 256 * 1024);
    const outcomes: AppendOutcome[] = [];
    while (outcomes.length < 40 && outcomes.at(-1)?.kind !== 'refused') outcomes.push(await log.append(bytes));
    expect(outcomes.at(-1)).toMatchObject({ kind: 'refused', reason: 'disk_full' });
    const { last } = await log.bounds();
    expect(last).toBe(BigInt(outcomes.length - 1));
    await log.trim(last);
    await expect.poll(async () => (await log.append(payload(2))).kind, { timeout: 20_000 }).toBe('appended');
    await log.close();
    await running.stop();
  });

  test('patience: what it will not queue is tried again or refused, and then not in the log', async () => {
    const running = await JetStreamServers.start({ servers: 1, bufferedMessagesMax: 4 });
    const made = await running.make();
    const log = await made.open();
    const writers = await Promise.all(Array.from({ length: 4 }, () => made.open()));
    const outcomes: AppendOutcome[] = [];
    for (let round = 0; round < 4; round++) {
      const all = writers.flatMap((writer) =>
        payloads(limits.logInFlightMax, 2000).map((bytes) => writer.append(bytes)),
      );
      outcomes.push(...(await Promise.all(all)));
    }
    expect([...kinds(outcomes)].every((kind) => kind === 'appended' || kind === 'overloaded')).toBe(true);
    const positions = outcomes.flatMap((outcome) => (outcome.kind === 'appended' ? [outcome.position] : []));
    expect(positions.toSorted((a, b) => Number(a - b))).toEqual(range(1n, BigInt(positions.length)));
    expect((await log.bounds()).last).toBe(BigInt(positions.length));
    // It did say so.
    expect(running.nats.servers[0]!.logTail()).toContain('excessive stream ingest');
    for (const open of [log, ...writers]) await open.close();
    await running.stop();
  });

  test('payload: its limit is the largest record', async () => {
    const running = await JetStreamServers.start({ servers: 1, payloadBytesMax: 64 * 1024 });
    const made = await running.make();
    const log = await made.open();
    expect(log.recordBytesMax).toBe(64 * 1024 - limits.logHeaderBytes);
    const reader = new Collector(log, 1n);
    positionOf(await log.append(payload(1, log.recordBytesMax)));
    await reader.reached(1n);
    const late = new Collector(log, 1n);
    await late.reached(1n);
    expect(await log.append(payload(1, log.recordBytesMax + 1))).toMatchObject({ reason: 'too_large' });
    await log.close();
    await running.stop();
  });
});
