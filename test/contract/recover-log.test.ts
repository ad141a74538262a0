// Recovering a log, over memory and over real servers; and what only servers do: their leader goes meanwhile.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NatsConnection } from '@statestore/cluster';
import {
  connectNats,
  jetStreamLogStreams,
  jetStreamTopologyStore,
  logStream,
  MemoryTopologyStore,
  recoverLog,
} from '@statestore/cluster';
import { evenTopology } from '@statestore/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openJetStreamLog } from '../../services/node/src/log/jetstream-log.ts';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { recoverLogContract } from './recover-log-contract.ts';
import { recoverLogFenceContract } from './recover-log-fence-contract.ts';
import type { RecoveryWorld } from './recover-log-fixture.ts';
import { hurriedClock } from './recover-log-fixture.ts';

function inMemory(): Promise<RecoveryWorld> {
  const logStreams = new MemoryLogs();
  const openLog: RecoveryWorld['openLog'] = (partition, log) => logStreams.open(partition, log);
  const clock = hurriedClock;
  return Promise.resolve({ topologyStore: new MemoryTopologyStore(), logStreams, clock, openLog });
}

recoverLogContract('memory', 1, inMemory);
recoverLogFenceContract('memory', 1, inMemory);

describe.each([1, 3] as const)('%d servers', (servers) => {
  let directory = '';
  let nats: NatsCluster;
  let connection: NatsConnection;
  let worlds = 0;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-recover-'));
    nats = await startNatsCluster({ directory, servers });
    connection = await connectNats({ servers: nats.urls, name: 'test' });
  }, 120_000);
  afterAll(async () => {
    await connection?.close();
    await nats?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function makeWorld(cluster = `c${++worlds}`): Promise<RecoveryWorld> {
    return {
      topologyStore: await jetStreamTopologyStore(connection, cluster, { replicas: servers }),
      logStreams: jetStreamLogStreams(connection, cluster),
      clock: hurriedClock,
      openLog: (partition, log) => openJetStreamLog({ connection, cluster, partition, log }),
    };
  }

  recoverLogContract(`${servers} servers`, servers, makeWorld);
  recoverLogFenceContract(`${servers} servers`, servers, makeWorld);

  if (servers === 1) return;

  test('the leader of the old stream is killed once it is sealed: it stays sealed', { timeout: 180_000 }, async () => {
    const world = await makeWorld('killed');
    const lost = await world.logStreams.create({ partition: 0, generation: 1, replicas: 3 });
    const spec = { replicationFactor: 1, logReplicas: 3, drained: [] };
    const [placement] = evenTopology(1, ['a']).partitions;
    await world.topologyStore.replace({ epoch: 1n, spec, partitions: [{ ...placement!, log: lost }] });
    const opened = await world.openLog(0, lost);
    expect((await opened.append(Buffer.from('a'))).kind).toBe('appended');
    let sealed = false;
    const stop = new AbortController();
    const late: string[] = [];
    const publishing = (async () => {
      while (!stop.signal.aborted) {
        const isLate = sealed;
        const { kind } = await opened.append(Buffer.from('b'));
        if (isLate) late.push(kind);
      }
    })();
    const leader = await nats.waitForLeader(logStream('killed', 0, 1));
    const logStreams: RecoveryWorld['logStreams'] = {
      create: (log) => world.logStreams.create(log),
      startAt: (...args) => world.logStreams.startAt(...args),
      describe: (...args) => world.logStreams.describe(...args),
      remove: (...args) => world.logStreams.remove(...args),
      async seal(...args) {
        await world.logStreams.seal(...args);
        sealed = true;
        await leader.kill();
      },
    };
    const from = { partition: 0, incarnation: lost.incarnation, position: 1_000_000n, chain: 'ab'.repeat(16) };
    const decide = () => Promise.resolve(from);
    const log = await recoverLog({ ...world, logStreams }, { ...from, decide });
    await leader.start();
    await nats.ready();
    stop.abort();
    await publishing;
    expect(late.filter((kind) => kind === 'appended')).toEqual([]);
    expect((await opened.append(Buffer.from('c'))).kind).toBe('refused');
    await opened.close();
    const next = await world.openLog(0, log);
    expect((await next.append(Buffer.from('d'))).kind).toBe('appended');
    await next.close();
  });
});
