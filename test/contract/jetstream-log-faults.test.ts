// The log over JetStream while its servers fail: three of them, killed, frozen, away, one by one and together.
import { setTimeout as sleep } from 'node:timers/promises';
import { connectNats } from '@statestore/cluster';
import type { NatsConnection } from '@statestore/cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Log } from '../../services/node/src/log/log.ts';
import { FaultyProxy } from './faulty-proxy.ts';
import { JetStreamServers } from './jetstream-fixture.ts';
import type { MadeLog } from './jetstream-fixture.ts';
import { expectHonest, Traffic } from './jetstream-traffic.ts';
import { Collector, payload, positionOf, range } from './log-collector.ts';

describe('the log over JetStream, three servers', () => {
  let running: JetStreamServers;
  let made: MadeLog;
  /** Of the log that is written: its own. */
  let connection: NatsConnection;
  let log: Log;
  /** Of another process. */
  let otherConnection: NatsConnection;
  let other: Log;

  beforeAll(async () => {
    running = await JetStreamServers.start({ servers: 3 });
  });
  beforeEach(async () => {
    made = await running.make();
    connection = await connectNats({ servers: running.nats.urls, name: 'writer' });
    otherConnection = await connectNats({ servers: running.nats.urls, name: 'reader' });
    log = await made.open(connection);
    other = await made.open(otherConnection);
  });
  afterEach(async () => {
    for (const server of running.nats.servers) server.resume();
    await running.nats.start();
    await Promise.all([log.close(), other.close()]);
    await Promise.all([connection.close(), otherConnection.close()]);
  });
  afterAll(() => running.stop());

  /** Both follow; after `disturb` all goes on, and nothing was lost or doubled. */
  async function survives(disturb: (traffic: Traffic) => Promise<void>): Promise<Traffic> {
    const readers = [new Collector(log, 1n), new Collector(other, 1n)];
    const traffic = new Traffic(log);
    await traffic.more(10);
    await disturb(traffic);
    await traffic.more(10);
    await traffic.stop();
    await running.nats.ready();
    const records = await expectHonest(other, traffic);
    const last = BigInt(records.length);
    for (const reader of readers) {
      await reader.reached(last);
      expect(reader.positions).toEqual(range(1n, last));
      expect(reader.records.map(({ timestampNanos }) => timestampNanos)).toEqual(
        records.map(({ timestampNanos }) => timestampNanos),
      );
      expect(reader.end).toBeUndefined();
    }
    return traffic;
  }

  test('the leader is killed', async () => {
    await survives(async (traffic) => {
      const leader = await running.nats.waitForLeader(made.stream);
      await leader.kill();
      await traffic.more(5);
      await leader.start();
    });
  });

  test('the leader is frozen, and thaws after another one was elected', async () => {
    await survives(async (traffic) => {
      const leader = await running.nats.waitForLeader(made.stream);
      leader.pause();
      await traffic.more(5);
      await sleep(500);
      leader.resume();
    });
  });

  test('the leader gives up its place again and again', async () => {
    await survives(async (traffic) => {
      for (let i = 0; i < 5; i++) {
        await running.connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${made.stream}`, '', { timeout: 5000 });
        await traffic.more(3);
      }
    });
  });

  test('two of three are away: nothing is promised, and all goes on when they are back', async () => {
    await survives(async (traffic) => {
      const leader = await running.nats.waitForLeader(made.stream);
      const away = running.nats.servers.filter((server) => server !== leader);
      await Promise.all(away.map((server) => server.kill()));
      await sleep(300);
      const before = traffic.count('appended');
      await sleep(2000);
      expect(traffic.count('appended')).toBe(before);
      await Promise.all(away.map((server) => server.start()));
    });
  });

  test('all three are killed at once and started again', async () => {
    await survives(async () => {
      await Promise.all(running.nats.servers.map((server) => server.kill()));
      await sleep(1500);
      await running.nats.start();
    });
  });

  test('nobody is there: appends are refused before long', async () => {
    await Promise.all(running.nats.servers.map((server) => server.kill()));
    await sleep(100);
    const startMs = performance.now();
    expect(await log.append(payload(1))).toMatchObject({ kind: 'refused', reason: 'unavailable' });
    expect(performance.now() - startMs).toBeLessThan(3000);
  });

  test('all are frozen: an append is not called refused; nothing waits for ever', async () => {
    const reader = new Collector(log, 1n);
    positionOf(await log.append(payload(1)));
    await reader.reached(1n);
    for (const server of running.nats.servers) server.pause();
    const startMs = performance.now();
    const appending = log.append(payload(2));
    const [outcome, asked] = await Promise.allSettled([appending, other.bounds(), log.close()]);
    expect(outcome).toMatchObject({ value: { kind: 'unknown' } });
    expect(asked).toMatchObject({ reason: { code: 'unavailable' } });
    expect(performance.now() - startMs).toBeLessThan(20_000);
    expect(reader.end).toEqual({ kind: 'closed' });
  });

  test.each([
    ['cut', (proxy: FaultyProxy) => proxy.cutAll()],
    ['silent', (proxy: FaultyProxy) => proxy.silence()],
  ])('the connection is %s while it is used', async (_, disturb) => {
    const [server] = running.nats.servers;
    const proxy = await FaultyProxy.open({ targetPort: server!.port });
    await log.close();
    await connection.close();
    connection = await connectNats({ servers: [`nats://127.0.0.1:${proxy.port}`], name: 'writer' });
    log = await made.open(connection);
    await survives(async (traffic) => {
      for (let i = 0; i < 3; i++) {
        disturb(proxy);
        await sleep(100);
        proxy.cutAll();
        proxy.speak();
        await traffic.more(2);
      }
    });
    await log.close();
    await connection.close();
    await proxy.close();
  });

  test('a connection that is cut at any byte', async () => {
    const [server] = running.nats.servers;
    let places = 0;
    const cutAfterBytes = (): number => 3000 + ((++places * 7919) % 4001);
    const proxy = await FaultyProxy.open({ targetPort: server!.port, cutAfterBytes });
    await log.close();
    await connection.close();
    connection = await connectNats({ servers: [`nats://127.0.0.1:${proxy.port}`], name: 'writer' });
    log = await made.open(connection);
    const traffic = new Traffic(log);
    while (proxy.accepted < 12) await sleep(50);
    await traffic.stop();
    expect(traffic.count('appended')).toBeGreaterThan(10);
    await expectHonest(other, traffic);
    await Promise.all([log.close(), connection.close()]);
    await proxy.close();
  });

  test('several writers, the leader killed: one order for all', async () => {
    const second = new Traffic(other, 'b');
    await survives(async (traffic) => {
      await (await running.nats.waitForLeader(made.stream)).kill();
      await Promise.all([traffic.more(5), second.more(5)]);
      await second.stop();
    });
    await expectHonest(other, second);
  });

  test('a follower is away for long, and comes back while it is read from', async () => {
    const leader = await running.nats.waitForLeader(made.stream);
    const follower = running.nats.servers.find((server) => server !== leader)!;
    await follower.kill();
    const bytes = payload(1, 100_000);
    for (let i = 0; i < 100; i++) positionOf(await log.append(bytes));
    await follower.start();
    const near = await connectNats({ servers: [follower.url], name: 'near' });
    const nearLog = await made.open(near);
    const reader = new Collector(nearLog, 1n);
    await reader.reached(100n);
    expect(reader.positions).toEqual(range(1n, 100n));
    await nearLog.close();
    await near.close();
  });
});
