// Data of a replica that may be all that is left of something: a copy does not take their place without keeping them.
// Those that are only an earlier part of the same history go, so that nothing waits for a person without need.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptReport } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
const two = ['a', 'b'];
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  backend.recovers = false;
  cluster = await NodeCluster.open(backend);
  await Promise.all(three.map((name) => cluster.start(name)));
  await cluster.create(1, three);
  await cluster.running(three);
  await write(5, three);
  await cluster.converged(three);
});
afterEach(() => cluster.close());

async function write(count: number, names: readonly string[]): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.put(names[i % names.length]!, `k${i}`, 'v');
}

/** c alone has applied 6, which was acknowledged; then the log loses it, and a and b go on with another one. */
async function apart(): Promise<void> {
  await cluster.stop('a');
  await cluster.stop('b');
  expect(await cluster.put('c', 'only here', 'acknowledged')).toBe(6n);
  await cluster.stop('c');
  backend.logs.cut(0, 1, 5n);
  // Nobody remembers what c said.
  await backend.registry.remove('c');
  await behind();
}

/** a and b go on without c. */
async function behind(): Promise<void> {
  for (const name of two) await cluster.start(name);
  await cluster.running(two);
  await write(6, two);
  await cluster.converged(two);
}

/** As a person does who waits for nobody: the log is carried on from a. */
async function carryOn(): Promise<void> {
  const log = (await cluster.placement(0)).log!;
  const { appliedPosition, chain } = cluster.report('a')!;
  const continues = { incarnation: log.incarnation, position: BigInt(appliedPosition), chain };
  const first = continues.position + 1n;
  const generation = log.generation + 1;
  const next = await cluster.logStreams.create({ partition: 0, generation, replicas: 1, first, continues });
  await cluster.change(0, (placement) => ({ ...placement, log: next }));
}

async function carryOnTwice(): Promise<void> {
  await carryOn();
  const { incarnation } = (await cluster.placement(0)).log!;
  await cluster.until('both follow it', () => two.every((name) => cluster.report(name)?.incarnation === incarnation));
  await cluster.running(two);
  await write(2, two);
  await cluster.converged(two);
  await carryOn();
}

async function trim(below: bigint): Promise<void> {
  const log = await cluster.openLog(0, (await cluster.placement(0)).log!);
  await log.trim(below);
  await log.close();
}

async function rebuilt(): Promise<void> {
  await cluster.start('c');
  await cluster.running(three);
  await cluster.put('a', 'after', 'v');
  await cluster.converged(three);
}

async function keptByC(): Promise<KeptReport | undefined> {
  const reports = await cluster.registry.list();
  return reports.find(({ name }) => name === 'c')?.kept?.[0];
}

test('a replica of another history, behind the recovered log, is rebuilt, and what it had is kept and told', async () => {
  await apart();
  await carryOn();
  await cluster.running(two);
  await rebuilt();
  await cluster.until('it is told', async () => (await keptByC()) !== undefined);
  const kept = (await keptByC())!;
  expect(kept).toMatchObject({ partition: 0, path: 'partitions/0/aside-1' });
  expect(kept.why).toContain('at 6 with chain');
  expect(kept.bytes).toBeGreaterThan(0);
  expect(await cluster.at('c').metrics.metrics()).toContain('state_replica_kept_folders{partition="0"} 1');
  const engine = await openEngine('lmdb', join(cluster.dataPath('c'), kept.path));
  expect(engine.position).toBe(6n);
  await engine.close();
  // Not by a restart either.
  await cluster.stop('c');
  await rebuilt();
  expect(await readdir(join(cluster.dataPath('c'), 'partitions', '0'))).toEqual(['aside-1', 'data']);
});

test('and so is one that was away through two recoveries', async () => {
  await apart();
  await carryOnTwice();
  await cluster.running(two);
  await rebuilt();
  await cluster.until('it is told', async () => (await keptByC()) !== undefined);
  expect((await keptByC())?.why).toContain('at 6 with chain');
});

test('and so is one whose log was trimmed meanwhile', async () => {
  await apart();
  await trim(9n);
  await rebuilt();
  await cluster.until('it is told', async () => (await keptByC()) !== undefined);
  expect((await keptByC())?.why).toContain('at 6 with chain');
});

test.each([
  ['the log was recovered', carryOn],
  ['the log was recovered twice', carryOnTwice],
  ['the log was trimmed', () => trim(9n)],
])('one that is only behind leaves nothing aside, also where all processes are others since: %s', async (_, change) => {
  for (const name of three) await cluster.stop(name);
  await behind();
  await change();
  await cluster.running(two);
  for (const name of two) await cluster.stop(name);
  for (const name of two) await cluster.start(name);
  await cluster.running(two);
  await rebuilt();
  const copied = cluster.notices.filter(({ notice }) => notice === 'a replica was copied');
  expect(copied.map(({ node }) => node)).toEqual(['c']);
  await cluster.until('nothing is aside', async () => {
    const names = await readdir(join(cluster.dataPath('c'), 'partitions', '0'));
    return names.join() === 'data';
  });
});

test('one that may have to be kept, and has no room for it, waits with its data for a person', async () => {
  await apart();
  await carryOn();
  await cluster.running(two);
  const folder = join(cluster.dataPath('c'), 'partitions', '0');
  for (let i = 1; i <= limits.asideFoldersMax; i++) {
    await mkdir(join(folder, `aside-${i}`), { recursive: true });
    await writeFile(join(folder, `aside-${i}`, 'kept.json'), '{"why":"earlier"}');
  }
  await cluster.start('c');
  await cluster.until('it says why', () =>
    cluster.notices.some(
      ({ node, details }) => node === 'c' && String(details['error']).includes('set aside and kept'),
    ),
  );
  expect(cluster.report('c')).toMatchObject({ state: 'copying', appliedPosition: '6' });
  await rm(join(folder, 'aside-1'), { recursive: true });
  await cluster.running(three);
  await cluster.converged(three);
});
