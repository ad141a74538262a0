import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';

describe('servers of the tests', () => {
  let directory = '';
  let nats: NatsCluster | undefined;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
  });
  afterEach(async () => {
    await nats?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  test('one alone starts, takes a connection, and comes back after a kill', async () => {
    nats = await startNatsCluster({ directory, servers: 1 });
    const [server] = nats.servers;
    const connection = await connect({ servers: nats.urls });
    expect(connection.info?.max_payload).toBe(8 * 1024 * 1024);
    expect(connection.info?.jetstream).toBe(true);
    await connection.close();
    await server?.kill();
    expect(server?.isRunning).toBe(false);
    await nats.start();
    expect(await nats.metaLeader()).toBe(server);
  });

  test('three have a leader, and another one when that is frozen', async () => {
    nats = await startNatsCluster({ directory, servers: 3 });
    const first = await nats.metaLeader();
    expect(first).toBeDefined();
    first?.pause();
    await nats.ready();
    expect(await nats.metaLeader()).not.toBe(first);
    first?.resume();
    await nats.ready();
  });
});
