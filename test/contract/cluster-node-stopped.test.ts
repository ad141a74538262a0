// A batch in the middle of which one replica stops, since its own data are damaged: it tells of the position before, and
// comes back from another replica that got past it. Where nobody gets past it, it is the log, and nobody is rebuilt.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReplicaReport } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
let cluster: NodeCluster;
/** What each replica reported when it halted. */
let halted: Map<string, ReplicaReport>;

beforeEach(async () => {
  halted = new Map();
  cluster = await NodeCluster.open(new MemoryBackend());
  await Promise.all(three.map((name) => start(name)));
  await cluster.create(1, three);
  await cluster.running(three);
  for (let i = 0; i < 5; i++) await cluster.put('a', `k${i}`, 'v');
  await cluster.converged(three);
});
afterEach(() => cluster.close());

async function start(name: string): Promise<void> {
  await cluster.start(name, {
    onNotice: (notice, details) => {
      cluster.notices.push({ node: name, notice, details });
      if (notice === 'a replica halted') halted.set(name, cluster.report(name)!);
    },
  });
}

/** What c has of this key cannot be read any more. */
async function damage(key: string): Promise<void> {
  await cluster.stop('c');
  const engine = await openEngine('lmdb', join(cluster.dataPath('c'), 'partitions', '0', 'data'));
  const found = [...engine.range({})].filter((entry) => entry.key.endsWith(key));
  expect(found).not.toEqual([]);
  await engine.commit(new Map(found.map((entry) => [entry.key, new Uint8Array([255])])), engine.position);
  await engine.sync();
  await engine.close();
}

const copied = () => cluster.notices.filter(({ notice }) => notice === 'a replica was copied');

test.each([
  ['while it runs', true],
  ['while it catches up', false],
])('a replica that stops in the middle of a batch %s is built anew from one that got past it', async (_, runs) => {
  await damage('k3');
  const { appliedPosition, chain, stateHash, entries } = cluster.report('a')!;
  if (runs) {
    await start('c');
    await cluster.running(three);
  }
  await cluster.put('a', 'k3', 'new');
  if (!runs) await start('c');
  await cluster.until('c has halted', () => halted.has('c'));
  expect(halted.get('c')).toMatchObject({ haltCause: 'log_corrupt', appliedPosition, chain, stateHash, entries });
  await cluster.running(three);
  await cluster.put('b', 'k4', 'new');
  await cluster.converged(three);
  await cluster.expectAll(
    three,
    new Map([
      ['k2', 'v'],
      ['k3', 'new'],
      ['k4', 'new'],
    ]),
  );
  expect(copied().map(({ node }) => node)).toEqual(['c']);
  // Its data were an earlier part of the same history: nobody has to look at them.
  await cluster.until('nothing is aside', async () => {
    return (await readdir(join(cluster.dataPath('c'), 'partitions', '0'))).join() === 'data';
  });
});

test('one that is alone waits for another one', async () => {
  await damage('k3');
  await cluster.put('a', 'k3', 'new');
  await cluster.stop('a');
  await cluster.stop('b');
  await start('c');
  await cluster.halted('c', 'log_corrupt');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(cluster.report('c')).toMatchObject({ state: 'halted', haltCause: 'log_corrupt' });
  await start('a');
  await cluster.running(['a', 'c']);
});

test('a batch that nobody can apply halts all of them, and none is built anew', async () => {
  const { appliedPosition, chain } = cluster.report('a')!;
  const log = await cluster.openLog(0, (await cluster.placement(0)).log!);
  expect((await log.append(new Uint8Array([255]))).kind).toBe('appended');
  await log.close();
  for (const name of three) await cluster.halted(name, 'log_corrupt');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  for (const name of three) {
    expect(cluster.report(name)).toMatchObject({ state: 'halted', haltCause: 'log_corrupt', appliedPosition, chain });
  }
  expect(copied()).toEqual([]);
});
