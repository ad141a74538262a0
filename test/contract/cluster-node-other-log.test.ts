// Cluster nodes whose log looks whole and is not: it was sealed by somebody who recovers it and died, or it lost
// its end and grew again beyond what replicas had.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StreamConfig } from '@nats-io/jetstream';
import { connectNats, logStream, StreamApi } from '@statestore/cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LogRecord } from '../../services/node/src/log/log.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { ClusterBackend } from './cluster-node-fixture.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { NatsBackend } from './cluster-node-nats.ts';

interface Backend {
  readonly backend: ClusterBackend;
  /** The log loses everything after this position, and keeps its name and incarnation. */
  readonly cut: (last: bigint) => Promise<void>;
}

let nats: NatsCluster;
let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
  nats = await startNatsCluster({ directory, servers: 1 });
});

afterAll(async () => {
  await nats.stop();
  await rm(directory, { recursive: true, force: true });
});

function inMemory(): Backend {
  const backend = new MemoryBackend();
  return { backend, cut: async (last) => backend.logs.cut(0, 1, last) };
}

let clusters = 0;

function onNats(): Backend {
  const name = `other${clusters++}`;
  return { backend: new NatsBackend(nats, name, 1), cut: (last) => replaceStream(logStream(name, 0, 1), last) };
}

/** As from an older copy of the server's disk. */
async function replaceStream(stream: string, last: bigint): Promise<void> {
  const connection = await connectNats({ servers: nats.urls, name: 'replace' });
  try {
    const answer = await connection.request(`$JS.API.STREAM.INFO.${stream}`);
    const { config } = answer.json<{ config: StreamConfig }>();
    const api = new StreamApi(connection, stream);
    const kept: Uint8Array[] = [];
    for (let at = 1n; at <= last; at++) {
      const found = await api.message(at);
      if (found.kind === 'answered') kept.push(found.value!.data);
    }
    await api.remove();
    expect((await api.add(config)).kind).toBe('answered');
    for (const bytes of kept) await connection.request(config.subjects[0]!, bytes);
  } finally {
    await connection.close();
  }
}

const three = ['a', 'b', 'c'];

describe.each([
  ['in memory', inMemory],
  ['on a nats-server', onNats],
])('nodes %s', (_, make) => {
  let cluster: NodeCluster;
  let cut: Backend['cut'];

  beforeEach(async () => {
    const made = make();
    cut = made.cut;
    cluster = await NodeCluster.open(made.backend);
  });
  afterEach(() => cluster.close());

  const startAll = (): Promise<unknown> => Promise.all(three.map((name) => cluster.start(name)));

  async function write(count: number): Promise<Map<string, string>> {
    const written = new Map<string, string>();
    for (let i = 0; i < count; i++) {
      await cluster.put(three[i % 3]!, `k${i}`, 'v');
      written.set(`k${i}`, 'v');
    }
    await cluster.converged(three);
    return written;
  }

  async function seal(): Promise<void> {
    const { log } = await cluster.placement(0);
    await cluster.logStreams.seal(0, 1, log!.incarnation);
  }

  async function isRecovered(written: ReadonlyMap<string, string>): Promise<void> {
    await cluster.until('it is another log', async () => (await cluster.placement(0)).log?.generation === 2);
    await cluster.running(three);
    await cluster.put('b', 'after', 'v');
    await cluster.converged(three);
    await cluster.expectAll(three, new Map([...written, ['after', 'v']]));
  }

  test('whose log is sealed, and not carried on, stop and carry it on', async () => {
    await startAll();
    await cluster.create(1, three);
    await cluster.running(three);
    const written = await write(10);
    await seal();
    await isRecovered(written);
  });

  test('that start on a log that is sealed read it to its end, and carry it on', async () => {
    await startAll();
    await cluster.create(1, three);
    await cluster.running(three);
    const written = await write(10);
    await cluster.stop('c');
    await cluster.put('a', 'more', 'v');
    await cluster.stop('a');
    await cluster.stop('b');
    await seal();
    await startAll();
    await isRecovered(new Map([...written, ['more', 'v']]));
  });

  test('do not follow a log that lost its end and grew again while they were away', async () => {
    await cluster.start('a', { recoverLog: () => new Promise(() => undefined) });
    await cluster.create(1, ['a']);
    await cluster.running(['a']);
    for (let i = 0; i < 6; i++) await cluster.put('a', `k${i}`, 'v');
    const { chain } = cluster.report('a')!;
    const { log } = await cluster.placement(0);
    const opened = await cluster.openLog(0, log!);
    const records = await recordsOf(opened, 6);
    await cluster.stop('a');
    await cut(3n);
    for (const { bytes } of [...records, ...records]) {
      expect((await opened.append(bytes)).kind).toBe('appended');
    }
    await opened.close();
    await cluster.start('a', { recoverLog: () => Promise.reject(new Error('nobody recovers it')) });
    await cluster.halted('a', 'log_regressed');
    expect(cluster.report('a')?.reason).toContain('another batch');
    // Nor later, when it is asked whether that is over.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(cluster.report('a')).toMatchObject({ state: 'halted', appliedPosition: '6', chain });
  });
});

async function recordsOf(
  log: Awaited<ReturnType<NodeCluster['openLog']>>,
  count: number,
): Promise<readonly LogRecord[]> {
  const found: LogRecord[] = [];
  const all = Promise.withResolvers<void>();
  const subscription = log.subscribe({
    from: 1n,
    onRecords: (records) => {
      found.push(...records);
      if (found.length >= count) all.resolve();
    },
  });
  await all.promise;
  await subscription.close();
  return found;
}

test('a node that was cut off does not follow a log that lost its end and grew again meanwhile', async () => {
  const backend = new MemoryBackend();
  backend.recovers = false;
  const cluster = await NodeCluster.open(backend);
  try {
    await cluster.start('a');
    await cluster.create(1, ['a']);
    await cluster.running(['a']);
    for (let i = 0; i < 6; i++) await cluster.put('a', `k${i}`, 'v');
    const { chain } = cluster.report('a')!;
    const { log } = await cluster.placement(0);
    const opened = await cluster.openLog(0, log!);
    const records = await recordsOf(opened, 6);
    backend.connections.get('a')!.set(false);
    const grown = [...records, ...records].map(({ bytes }) => bytes);
    backend.logs.cut(0, 1, 3n, grown);
    backend.connections.get('a')!.set(true);
    await cluster.halted('a', 'log_regressed');
    expect(cluster.report('a')?.reason).toContain('another batch');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(cluster.report('a')).toMatchObject({ state: 'halted', appliedPosition: '6', chain });
    await opened.close();
  } finally {
    await cluster.close();
  }
});
