// The streams of logs against real servers: made once, described, removed, and what goes wrong.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import { connectNats, jetStreamLogStreams, logStream, logSubject, StreamApi } from '@statestore/cluster';
import type { LogStreams, NatsConnection } from '@statestore/cluster';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe.each([1, 3] as const)('streams of logs, %d servers', (servers) => {
  let directory = '';
  let nats: NatsCluster;
  let connection: NatsConnection;
  let streams: LogStreams;
  const replicas = servers;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
    nats = await startNatsCluster({ directory, servers });
    connection = await connectNats({ servers: nats.urls, name: 'test' });
    streams = jetStreamLogStreams(connection, 'c1');
  });
  afterAll(async () => {
    await connection.close();
    await nats.stop();
    await rm(directory, { recursive: true, force: true });
  });

  test('a new one is empty, has an incarnation, and is described', async () => {
    const log = await streams.create({ partition: 1, generation: 1, replicas });
    expect(log).toEqual({ generation: 1, incarnation: expect.stringMatching(uuid) });
    const created = expect.stringMatching(/^20\d\d-.*Z$/) as string;
    expect(await streams.describe(1, 1)).toEqual({ log, first: 1n, last: 0n, sizeBytes: 0, created });
  });

  test('one that carries another on says so, and begins where that ended', async () => {
    const continues = { incarnation: '00000000-0000-4000-8000-000000000001', position: 41n, chain: 'ab'.repeat(16) };
    const log = await streams.create({ partition: 2, generation: 7, replicas, first: 42n, continues });
    expect(log.continues).toEqual(continues);
    expect(await streams.describe(2, 7)).toMatchObject({ log, first: 42n, last: 41n, sizeBytes: 0 });
  });

  test('nothing takes its place', async () => {
    const log = await streams.create({ partition: 3, generation: 1, replicas });
    await expect(streams.create({ partition: 3, generation: 1, replicas })).rejects.toMatchObject({
      code: 'data_format',
    });
    expect((await streams.describe(3, 1))?.log).toEqual(log);
  });

  test('making the very same one again is no failure', async () => {
    await streams.create({ partition: 4, generation: 1, replicas });
    const api = new StreamApi(connection, 'again');
    const config = { subjects: ['again'], num_replicas: replicas, metadata: { a: 'b' }, first_seq: 7 };
    expect((await api.add(config)).kind).toBe('answered');
    expect((await api.add(config)).kind).toBe('answered');
    expect(await api.add({ ...config, metadata: { a: 'c' } })).toMatchObject({ kind: 'refused', code: 10058 });
    await api.remove();
  });

  test('one whose name was drawn before is made once', async () => {
    const incarnation = '00000000-0000-4000-8000-000000000009';
    const made = { generation: 3, incarnation };
    expect(await streams.create({ partition: 9, replicas, ...made })).toEqual(made);
    expect(await streams.create({ partition: 9, replicas, ...made })).toEqual(made);
    const other = { ...made, incarnation: '00000000-0000-4000-8000-000000000008' };
    await expect(streams.create({ partition: 9, replicas, ...other })).rejects.toMatchObject({ code: 'data_format' });
  });

  test('it begins where it is told to, once and again, and not behind what it has', async () => {
    const { incarnation } = await streams.create({ partition: 10, generation: 2, replicas });
    const log = { partition: 10, generation: 2, incarnation };
    await Promise.all([streams.startAt(log, 1000n), streams.startAt(log, 1000n), streams.startAt(log, 1000n)]);
    expect(await streams.describe(10, 2)).toMatchObject({ first: 1000n, last: 999n });
    await streams.startAt(log, 1002n);
    await expect(streams.startAt(log, 1001n)).rejects.toMatchObject({ code: 'data_format' });
    await expect(streams.startAt({ ...log, incarnation: 'x' }, 2000n)).rejects.toMatchObject({ code: 'data_format' });
    const subject = logSubject('c1', 10, log);
    expect((await jetstream(connection).publish(subject, 'a')).seq).toBe(1002);
    await streams.startAt(log, 1002n);
    await expect(streams.startAt(log, 1000n)).rejects.toMatchObject({ code: 'data_format' });
    expect(await streams.describe(10, 2)).toMatchObject({ first: 1002n, last: 1002n });
    await expect(streams.startAt({ ...log, generation: 77 }, 5n)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('what is removed is gone; what is not there can be removed', async () => {
    await streams.create({ partition: 5, generation: 1, replicas });
    await streams.remove(5, 1);
    expect(await streams.describe(5, 1)).toBeUndefined();
    await streams.remove(5, 1);
  });

  test('one that took its place meanwhile stays', async () => {
    const { incarnation } = await streams.create({ partition: 8, generation: 1, replicas });
    await streams.remove(8, 1, 'of another one');
    expect((await streams.describe(8, 1))?.log.incarnation).toBe(incarnation);
    await streams.remove(8, 1, incarnation);
    expect(await streams.describe(8, 1)).toBeUndefined();
    await streams.remove(8, 1, incarnation);
  });

  test('two clusters do not see each other', async () => {
    const other = jetStreamLogStreams(connection, 'c2');
    await streams.create({ partition: 6, generation: 1, replicas });
    expect(await other.describe(6, 1)).toBeUndefined();
    await other.create({ partition: 6, generation: 1, replicas });
  });

  test('its settings let nothing leave it', async () => {
    await streams.create({ partition: 7, generation: 1, replicas });
    const answer = await connection.request(`$JS.API.STREAM.INFO.${logStream('c1', 7, 1)}`);
    expect(answer.json()).toMatchObject({
      config: {
        retention: 'limits',
        discard: 'new',
        storage: 'file',
        num_replicas: replicas,
        max_age: 0,
        max_bytes: -1,
        max_msgs: -1,
        max_msgs_per_subject: -1,
        deny_delete: true,
        allow_rollup_hdrs: false,
        allow_msg_ttl: false,
      },
    });
  });

  test('copies that cannot be are refused', async () => {
    await expect(streams.create({ partition: 8, generation: 1, replicas: 2 })).rejects.toMatchObject({
      code: 'invalid_settings',
    });
  });
});
