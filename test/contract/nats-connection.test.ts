// The connection to NATS: it waits, gives up when told to, and leaves a server that is gone or frozen.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats, isConnected, onConnectionChange } from '@statestore/cluster';
import type { NatsConnection, NatsStatus } from '@statestore/cluster';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../servers/free-ports.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { NatsCluster, NatsServer } from '../servers/nats-cluster.ts';

describe('connection to NATS', () => {
  let directory = '';
  let nats: NatsCluster;
  let connection: NatsConnection | undefined;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
    nats = await startNatsCluster({ directory, servers: 3 });
  });
  afterEach(async () => {
    await connection?.close();
    connection = undefined;
    await nats.start();
  });
  afterAll(async () => {
    await nats.stop();
    await rm(directory, { recursive: true, force: true });
  });

  function serverOf(connected: NatsConnection): NatsServer {
    return nats.servers.find(({ port }) => connected.getServer().endsWith(`:${port}`))!;
  }

  /** Resolves with how long it took. */
  function changeOf(connected: NatsConnection, isSo: () => boolean): Promise<number> {
    const startMs = performance.now();
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isSo()) return;
        end();
        resolve(performance.now() - startMs);
      };
      const end = onConnectionChange(connected, look);
    });
  }

  test('a frozen server is left within two seconds, also where much was written to it', async () => {
    connection = await connectNats({ servers: nats.urls, name: 'test' });
    const server = serverOf(connection);
    server.pause();
    const megabyte = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 32; i++) connection.publish('much', megabyte);
    const lost = changeOf(connection, () => !isConnected(connection!));
    expect(await lost).toBeLessThan(3000);
    await changeOf(connection, () => isConnected(connection!));
    expect(serverOf(connection)).not.toBe(server);
    server.resume();
  });

  test('a killed server is left at once; subscriptions go on at another one', async () => {
    const statuses: NatsStatus[] = [];
    connection = await connectNats({ servers: nats.urls, name: 'test', onStatus: (status) => statuses.push(status) });
    let got = 0;
    connection.subscribe('ping', { callback: () => void got++ });
    const lost = changeOf(connection, () => !isConnected(connection!));
    await serverOf(connection).kill();
    await lost;
    await changeOf(connection, () => isConnected(connection!));
    connection.publish('ping');
    await connection.flush();
    expect(got).toBe(1);
    expect(statuses.map(({ kind }) => kind)).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('all servers gone for a while: it comes back', async () => {
    connection = await connectNats({ servers: nats.urls, name: 'test' });
    await Promise.all(nats.servers.map((server) => server.kill()));
    const back = changeOf(connection, () => isConnected(connection!));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await nats.start();
    expect(await back).toBeGreaterThan(1400);
  });

  test('it waits for its first server, one that is frozen among them', async () => {
    const [port = 0] = await freePorts(1);
    const waiting: NatsStatus[] = [];
    // Accepts, and says nothing.
    const silent: Server = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port: silentPort } = silent.address() as { port: number };
    const servers = [`nats://127.0.0.1:${port}`, `nats://127.0.0.1:${silentPort}`];
    const onStatus = (status: NatsStatus): void => void waiting.push(status);
    await expect(connectNats({ servers, name: 'test', waitMs: 3000, onStatus })).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(waiting.every(({ kind }) => kind === 'waiting')).toBe(true);
    connection = await connectNats({ servers: [...servers, nats.urls[0]!], name: 'test' });
    expect(isConnected(connection)).toBe(true);
    silent.close();
  });

  test('waiting can be given up', async () => {
    const [port = 0] = await freePorts(1);
    const giveUp = new AbortController();
    setTimeout(() => giveUp.abort(), 200);
    const servers = [`nats://127.0.0.1:${port}`];
    await expect(connectNats({ servers, name: 'test', signal: giveUp.signal })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  test.each([[[]], [['nats://']], [['']]])('settings that name no server are refused: %j', async (servers) => {
    await expect(connectNats({ servers, name: 'test' })).rejects.toMatchObject({ code: 'invalid_settings' });
  });
});
