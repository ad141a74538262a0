// What time readers of a node take it to be that was away: no entry is shown again whose time passed meanwhile.
import { noCondition } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
const ttlMs = 500;
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend);
});
afterEach(() => cluster.close());

const startAll = (): Promise<unknown> => Promise.all(three.map((name) => cluster.start(name)));

async function putExpiring(): Promise<void> {
  const value = Buffer.from('v');
  const ttl = { kind: 'after', ms: ttlMs } as const;
  const operation = { kind: 'put', key: 'k', value, contentType: '', condition: noCondition, ttl } as const;
  const body = { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } as const;
  await cluster.at('a').node.propose(0, { body });
}

async function allAway(): Promise<void> {
  await startAll();
  await cluster.create(1, three);
  await cluster.running(three);
  await putExpiring();
  await cluster.converged(three);
  for (const name of three) await cluster.stop(name);
  await new Promise((resolve) => setTimeout(resolve, ttlMs + 100));
}

async function lastOf(): Promise<bigint> {
  return (await cluster.logStreams.describe(0, 1))!.last;
}

test('as soon as replicas run again, what expired while all were away is gone, and one record told it', async () => {
  await allAway();
  const before = await lastOf();
  await startAll();
  await cluster.running(three);
  for (const name of three) expect(await cluster.get(name, 'k')).toBeUndefined();
  const told = (await lastOf()) - before;
  expect(told).toBeGreaterThan(0n);
  // Those that come a moment later need not ask any more.
  expect(told).toBeLessThan(3n);
});

test('a log that takes nothing keeps no replica from being read; it is asked until it does', async () => {
  await allAway();
  const open = backend.logs.open.bind(backend.logs);
  let takes = false;
  backend.logs.open = async (...named) => {
    const log = await open(...named);
    const append = log.append.bind(log);
    log.append = (bytes) => (takes ? append(bytes) : Promise.resolve({ kind: 'refused', reason: 'unavailable' }));
    return log;
  };
  await startAll();
  await cluster.running(three);
  await cluster.get('a', 'k');
  takes = true;
  await cluster.until('it is gone', async () => (await cluster.get('a', 'k')) === undefined);
});
