// Data of a replica that the topology has elsewhere now, of which more is known than how far they came: that they are
// of another history, or that a crash left them between two folders. Neither is lost when the node lets go of them.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TopologyStore } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Time, systemTime } from '../../services/node/src/time.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
const two = ['a', 'b'];
const why = 'of another history';
const looksEveryMs = 200;
let cluster: NodeCluster;
/** Of the replica on c. */
let folder: string;
let looks: number;

/** Retention is judged many times while a test runs. */
const time: Time = {
  ...systemTime,
  after: (ms, run) => {
    if (ms !== limits.retentionCheckMs) return systemTime.after(ms, run);
    return systemTime.after(looksEveryMs, () => {
      looks++;
      run();
    });
  },
};

beforeEach(async () => {
  const backend = new MemoryBackend();
  backend.recovers = false;
  looks = 0;
  cluster = await NodeCluster.open(backend);
  folder = join(cluster.dataPath('c'), 'partitions', '0');
  await Promise.all(three.map((name) => cluster.start(name)));
  await cluster.create(1, three);
  await cluster.running(three);
  for (let i = 0; i < 5; i++) await cluster.put('a', `k${i}`, 'v');
  await cluster.converged(three);
  await cluster.stop('c');
});
afterEach(() => cluster.close());

/** Before c is started again. */
async function takeAway(): Promise<void> {
  await cluster.change(0, (placement) => ({ ...placement, replicas: two }));
}

async function condemn(kept: boolean): Promise<void> {
  await writeFile(join(folder, 'data', 'condemned.json'), JSON.stringify({ cause: 'diverged', why, kept }));
}

async function damage(): Promise<void> {
  const engine = join(folder, 'data', 'lmdb');
  const current = (await readFile(join(engine, 'current'), 'latin1')).trim();
  await writeFile(join(engine, current, 'data.mdb'), 'damaged');
}

/** As a crash leaves it between the two renames that put a copy in force. */
async function interruptReplacement(): Promise<void> {
  await rename(join(folder, 'data'), join(folder, 'building'));
  await writeFile(join(folder, 'building', 'complete.json'), '{}\n');
}

function names(): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

function gone(): Promise<void> {
  return cluster.until('c lets go of its data', () => !existsSync(join(folder, 'data')));
}

test.each([
  { what: 'they are of another history', kept: true, damaged: false },
  { what: 'they are of another history and cannot be read', kept: true, damaged: true },
  { what: 'they were only wrong and cannot be read', kept: false, damaged: true },
])('condemned data are set aside where $what', async ({ kept, damaged }) => {
  await condemn(kept);
  if (damaged) await damage();
  await takeAway();
  await cluster.start('c', { time });
  await gone();
  expect(await names()).toEqual(['aside-1']);
  expect(JSON.parse(await readFile(join(folder, 'aside-1', 'kept.json'), 'utf8'))).toEqual({ why });
});

test('those whose state was only wrong go like others', async () => {
  await condemn(false);
  await takeAway();
  await cluster.start('c', { time });
  await gone();
  await cluster.until('nothing is left', async () => (await names()).length === 0);
});

test('condemned data stay where they are while there is no room for them aside', async () => {
  for (let i = 1; i <= limits.asideFoldersMax; i++) {
    await mkdir(join(folder, `aside-${i}`));
    await writeFile(join(folder, `aside-${i}`, 'kept.json'), '{"why":"earlier"}');
  }
  await condemn(true);
  await takeAway();
  const before = await names();
  await cluster.start('c', { time });
  await cluster.until('c says why, or they are gone', () => {
    const says = cluster.notices.some(({ details }) => String(details['error']).includes('set aside and kept'));
    return says || !existsSync(join(folder, 'data'));
  });
  expect(await names()).toEqual(before);
});

test('a copy that a crash left complete is judged as data, and goes only when others have all of it', async () => {
  for (const name of two) await cluster.stop(name);
  await interruptReplacement();
  await takeAway();
  await cluster.start('c', { time });
  await cluster.until('c has looked', () => looks > 3);
  expect(await names()).toEqual(['data']);
  for (const name of two) await cluster.start(name);
  await cluster.until('nothing is left', async () => (await names()).length === 0);
  const removed = cluster.notices.filter(({ notice }) => notice.includes('were removed'));
  expect(removed.map(({ node }) => node)).toEqual(['c']);
});

test('nothing is touched before the topology is known', async () => {
  await interruptReplacement();
  const nobody = (): Promise<never> => Promise.reject(new StateStoreError('unavailable', 'nobody answers'));
  const silent: TopologyStore = {
    read: nobody,
    watch: () => ({ close: () => Promise.resolve() }),
    replace: nobody,
    restore: nobody,
    secret: nobody,
  };
  await cluster.start('c', { time, topologyStore: silent });
  await cluster.until('c would have looked', () => looks > 3);
  expect(await names()).toEqual(['building']);
  expect(cluster.notices.filter(({ node, notice }) => node === 'c' && notice.includes('elsewhere'))).toEqual([]);
  await cluster.stop('c');
  await cluster.start('c', { time });
  await cluster.running(three);
  expect(cluster.notices.filter(({ notice }) => notice === 'a replica was copied')).toEqual([]);
});
