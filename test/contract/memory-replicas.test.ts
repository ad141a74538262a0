// Replicas with the memory engine in a cluster: what a process held is gone with it, and yet nothing that was
// acknowledged is, since the next one has it from its snapshot and the log, or from a peer.
import { existsSync } from 'node:fs';
import { open as openFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { recoverLog } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
let cluster: NodeCluster;

beforeEach(async () => {
  cluster = await NodeCluster.open(new MemoryBackend(), { engine: 'memory' });
});
afterEach(async () => {
  const fatal = [...cluster.fatal];
  await cluster.close();
  expect(fatal).toEqual([]);
});

async function startAll(names: readonly string[] = three): Promise<void> {
  for (const node of names) await cluster.start(node);
}
async function stopAll(): Promise<void> {
  for (const node of cluster.names) await cluster.stop(node);
}
async function write(count: number, names: readonly string[] = three): Promise<Map<string, string>> {
  const written = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const key = `k${i}-${Math.random()}`;
    await cluster.put(names[i % names.length]!, key, `${i}`);
    written.set(key, `${i}`);
  }
  return written;
}
function snapshotOf(node: string): string {
  return join(cluster.dataPath(node), 'partitions', '0', 'data', 'snapshot');
}
async function lmdbFileOf(node: string): Promise<string> {
  const folder = join(cluster.dataPath(node), 'partitions', '0', 'data', 'lmdb');
  return join(folder, (await readFile(join(folder, 'current'), 'latin1')).trim(), 'data.mdb');
}
const copies = (node: string): number =>
  cluster.notices.filter((each) => each.node === node && each.notice === 'a replica was copied').length;
async function trimBelow(position: bigint, generation = 1): Promise<void> {
  const { log } = await cluster.placement(0);
  expect(log!.generation).toBe(generation);
  await (await cluster.openLog(0, log!)).trim(position);
}

test('one that restarts has everything again from the log', async () => {
  await startAll();
  await cluster.create(1, three);
  await cluster.running(three);
  const before = await write(30);
  await cluster.stop('b');
  const meanwhile = await write(10, ['a', 'c']);
  await cluster.start('b');
  await cluster.running(three);
  const after = await write(10);
  await cluster.converged(three);
  await cluster.expectAll(three, new Map([...before, ...meanwhile, ...after]));
  expect(copies('b')).toBe(0);
});

test('one that restarts is copied from a peer where the log begins later, and from its own snapshot then', async () => {
  await startAll();
  await cluster.create(1, three);
  await cluster.running(three);
  const before = await write(30);
  await cluster.converged(three);
  await cluster.stop('b');
  await trimBelow(25n);
  await cluster.start('b');
  await cluster.running(three);
  await cluster.expectAll(three, before);
  expect(copies('b')).toBe(1);
  // What it was copied is saved: nobody else is needed for the next start.
  expect((await stat(snapshotOf('b'))).size).toBeGreaterThan(0);
  await stopAll();
  await cluster.start('b');
  await cluster.running(['b']);
  await cluster.expectAll(['b'], before);
  expect(copies('b')).toBe(1);
});

test('all that restart at once after their log was recovered have everything', async () => {
  await startAll();
  await cluster.create(1, three);
  await cluster.running(three);
  const before = await write(30);
  await cluster.converged(three);
  await cluster.logStreams.remove(0, 1);
  for (const name of three) await cluster.halted(name, 'log_regressed');
  // Nobody knows whether one of them lost something at a restart: a person decides.
  await cluster.until('that is said', () =>
    cluster.notices.some(({ details }) => String(details['why']).includes('in memory only')),
  );
  const { incarnation, appliedPosition, chain } = cluster.report('a')!;
  const point = { partition: 0, incarnation, position: BigInt(appliedPosition), chain };
  await recoverLog(cluster, { ...point, decide: () => Promise.resolve(point) });
  await cluster.running(three);
  const after = await write(10);
  await cluster.converged(three);
  // The log of now knows nothing of what came before it, and no replica is left that does.
  await stopAll();
  await startAll();
  await cluster.running(three);
  await cluster.converged(three);
  await cluster.expectAll(three, new Map([...before, ...after]));
  const more = await write(10);
  await cluster.converged(three);
  await cluster.expectAll(three, more);
});

test('a snapshot is saved as it grows, and a start goes on from there', async () => {
  await cluster.start('a', { replicaSnapshotBytes: 2000 });
  await cluster.create(1, ['a']);
  await cluster.running(['a']);
  const written = await write(60, ['a']);
  await cluster.until('a snapshot is there', () => existsSync(snapshotOf('a')));
  await cluster.stop('a');
  // The position of its header: what came before is not needed any more.
  const file = await openFile(snapshotOf('a'));
  const { buffer } = await file.read(Buffer.alloc(16), 0, 16, 0);
  await file.close();
  const saved = buffer.readBigUInt64BE(8);
  expect(saved).toBeGreaterThan(1n);
  await trimBelow(saved + 1n);
  await cluster.start('a');
  await cluster.running(['a']);
  await cluster.expectAll(['a'], written);
});

test.each(['memory', 'lmdb'] as const)(
  '%s: one whose data cannot even be read is built anew from a peer',
  async (engine) => {
    for (const node of three) await cluster.start(node, { engine });
    await cluster.create(1, three);
    await cluster.running(three);
    const before = await write(30);
    await cluster.converged(three);
    await cluster.stop('b');
    await trimBelow(25n);
    await rm(cluster.dataPath('b'), { recursive: true });
    await cluster.start('b', { engine });
    await cluster.running(three);
    await cluster.stop('b');
    const file = await openFile(engine === 'memory' ? snapshotOf('b') : await lmdbFileOf('b'), 'r+');
    await file.write(Buffer.from('damaged'), 0, 7, engine === 'memory' ? 60 : 24);
    await file.close();
    await cluster.start('b', { engine });
    await cluster.until('b looked', () => cluster.report('b')?.state !== 'starting');
    // A restart makes nothing right.
    await cluster.stop('b');
    await cluster.start('b', { engine });
    await cluster.running(three);
    await cluster.converged(three);
    await cluster.expectAll(three, before);
    expect(copies('b')).toBe(2);
  },
);

test('engines may be mixed: either is copied from the other', async () => {
  await cluster.start('a', { engine: 'memory' });
  await cluster.create(1, ['a']);
  await cluster.running(['a']);
  const written = await write(30, ['a']);
  await trimBelow(25n);
  await cluster.start('b', { engine: 'lmdb' });
  await cluster.change(0, (placement) => ({ ...placement, replicas: ['a', 'b'] }));
  await cluster.running(['a', 'b']);
  await cluster.stop('a');
  await cluster.change(0, (placement) => ({ ...placement, replicas: ['b', 'c'] }));
  await cluster.start('c', { engine: 'memory' });
  await cluster.running(['b', 'c']);
  await cluster.converged(['b', 'c']);
  await cluster.expectAll(['b', 'c'], written);
  expect([copies('b'), copies('c')]).toEqual([1, 1]);
});
