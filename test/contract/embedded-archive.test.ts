// A node on its own whose logs are archived: what its journal keeps for the archive, and for how long; data folders that are
// restored to any moment, and go on from there; what is refused.
import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { listArchive, openRepository } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import type { EmbeddedNode } from '@statestore/node';
import { openEmbeddedNode } from '@statestore/node';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ArchivedNode, hashesOf, keysOf, positionsOf, putOf, restoredNode } from './embedded-archive-fixture.ts';
import { withCreate } from './repository-with-create.ts';

const patient = { timeout: 20_000, interval: 20 };
let directory = '';
let repository: Repository;
const open: { close(): Promise<void> }[] = [];
const openPlace = (): Promise<Repository> =>
  openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-embedded-archive-'));
  repository = await openPlace();
});
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
  await repository.close();
  await rm(directory, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof ArchivedNode.open>[0]> = {}): Promise<ArchivedNode> {
  const node = await ArchivedNode.open({
    dataPath: join(directory, 'data'),
    repository: await openPlace(),
    ...options,
  });
  open.push(node);
  return node;
}

async function restored(...wanted: Parameters<typeof restoredNode>): Promise<EmbeddedNode> {
  const node = await restoredNode(...wanted);
  open.push(node);
  return node;
}

async function stop(node: { close(): Promise<void> }): Promise<void> {
  open.splice(open.indexOf(node), 1);
  await node.close();
}

const firstOf = async ({ embedded }: ArchivedNode, partition: number): Promise<bigint> =>
  (await embedded.archiveSources[partition]!.source.bounds()).first;
const value = 'x'.repeat(2000);

describe('the journal', () => {
  /** One whose segments are not stored while it is away. */
  async function absent(): Promise<{ readonly place: Repository; back: () => void }> {
    const place = await openPlace();
    let isAway = true;
    const create: Repository['create'] = (name, bytes, call) =>
      isAway ? Promise.reject(new StateStoreError('unavailable', 'away')) : place.create(name, bytes, call);
    return { place: withCreate(place, create), back: () => (isAway = false) };
  }

  test('waits for the archive, and goes when that has it: also what a partition holds that nobody writes to', async () => {
    const { place, back } = await absent();
    const node = await start({ repository: place });
    await node.embedded.node.propose(1, putOf('idle', 'v'));
    for (let i = 0; i < 600; i++) await node.embedded.node.propose(0, putOf(`k${i}`, value));
    await vi.waitFor(async () => expect(await node.metric('state_archive_age_seconds', 0)).toBeGreaterThan(1), patient);
    expect(await firstOf(node, 0)).toBe(1n);
    back();
    await node.archived();
    await vi.waitFor(async () => expect(await firstOf(node, 0)).toBeGreaterThan(1n), patient);
    expect(await node.metric('state_archive_gap_positions', 0)).toBe(0);
    await vi.waitFor(async () => expect(await node.metric('state_archive_age_seconds', 0)).toBe(0), patient);
  });

  test('that takes more than it may is trimmed all the same: writes go on, and the gap is told', async () => {
    const { place, back } = await absent();
    const node = await start({ repository: place, journalBytesMax: 1024 * 1024 });
    for (let i = 0; i < 1200; i++) await node.embedded.node.propose(i % 2, putOf(`k${i}`, value));
    await vi.waitFor(async () => expect(await firstOf(node, 0)).toBeGreaterThan(1n), patient);
    expect(node.notices).toContain('the log takes too much of the disk and is trimmed, although it is not archived');
    back();
    await node.archived();
    await node.embedded.node.propose(0, putOf('after', 'v'));
    await node.archived();
    // What is archived begins after it; a checkpoint that is made now leads on.
    await node.checkpoint();
    await node.embedded.node.propose(0, putOf('more', 'v'));
    await node.archived();
    const again = await restored({ dataPath: join(directory, 'restored'), source: repository });
    expect(await keysOf(again)).toEqual(await keysOf(node.embedded));
  });

  test('that was archived and then was not, has a gap that is told', async () => {
    const node = await start();
    await node.fill(0, 20);
    await node.archived();
    await stop(node);
    const unarchived = await openEmbeddedNode({
      dataPath: join(directory, 'data'),
      version: 'test',
      journalSegmentBytes: 256 * 1024,
      onHalted: (reason) => expect.fail(reason.message),
    });
    for (let i = 0; i < 600; i++) await unarchived.node.propose(i % 2, putOf(`k${i}`, value));
    await unarchived.node.sync(0);
    await unarchived.node.sync(1);
    await unarchived.close();
    const again = await start();
    await again.fill(20, 40);
    await again.archived();
    expect(await again.metric('state_archive_gap_positions', 0)).toBeGreaterThan(0);
    expect(again.notices).toContain('a part of the log is not archived, and cannot be any more');
  });
});

test('a stop archives what is left, and does not wait for a repository that is away', async () => {
  const node = await start({ intervalMs: 60_000 });
  await node.checkpoint();
  await node.fill(0, 20);
  const positions = await positionsOf(node.embedded);
  await stop(node);
  const { logs } = await listArchive({ repository });
  const ends = logs.map(({ log, segments }) => [log.partition, segments.at(-1)?.last]);
  expect(ends.toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual(positions.map((position, at) => [at, position]));
  const place = await openPlace();
  const stuck = withCreate(place, (name, bytes, call) => {
    if (name.endsWith('/log')) return place.create(name, bytes, call);
    return new Promise((_, reject) =>
      call?.signal?.addEventListener('abort', () => reject(call.signal!.reason as Error), { once: true }),
    );
  });
  const again = await start({ repository: stuck, intervalMs: 60_000 });
  await again.fill(20, 30);
  const before = performance.now();
  await stop(again);
  expect(performance.now() - before).toBeLessThan(15_000);
});

describe('a data folder', () => {
  test('is restored to any moment, goes on from there, and is archived and restored again', async () => {
    const node = await start();
    await node.fill(0, 20);
    await node.checkpoint();
    await node.fill(20, 60);
    const middle = { keys: await keysOf(node.embedded), hashes: await hashesOf(node.embedded) };
    const positions = new Map((await positionsOf(node.embedded)).entries());
    await node.fill(60, 90);
    await node.archived();
    const then = await restored({
      dataPath: join(directory, 'then'),
      source: repository,
      moment: { kind: 'position', positions },
    });
    expect(await keysOf(then)).toEqual(middle.keys);
    expect(await hashesOf(then)).toEqual(middle.hashes);
    await stop(then);
    await stop(node);

    const archived = { dataPath: join(directory, 'then') };
    const second = await start(archived);
    await second.fill(200, 260);
    await second.archived();
    const branched = { keys: await keysOf(second.embedded), hashes: await hashesOf(second.embedded) };
    expect(branched.keys).toHaveLength(120);
    await stop(second);
    // Through both logs, from the checkpoint of the first one.
    const { logs } = await listArchive({ repository });
    expect(logs).toHaveLength(4);
    expect(logs.filter(({ log }) => log.continues !== undefined)).toHaveLength(2);
    const again = await restored({ dataPath: join(directory, 'again'), source: repository });
    expect(await keysOf(again)).toEqual(branched.keys);
    expect(await hashesOf(again)).toEqual(branched.hashes);

    // The other engine, and another start.
    const third = await start({ ...archived, engine: 'memory' });
    expect(await hashesOf(third.embedded)).toEqual(branched.hashes);
    await third.fill(300, 310);
    await third.archived();
    expect(await third.metric('state_archive_gap_positions', 0)).toBe(0);
    await stop(third);
    const fourth = await start({ ...archived, engine: 'lmdb' });
    expect(await keysOf(fourth.embedded)).toHaveLength(130);
  });

  test('is restored into other partitions', async () => {
    const node = await start();
    await node.fill(0, 20);
    await node.checkpoint();
    await node.fill(20, 60);
    await node.archived();
    const dataPath = join(directory, 'three');
    const three = await restored({ dataPath, source: repository, partitions: 3 });
    expect(three.topology.partitions).toHaveLength(3);
    expect(await keysOf(three)).toEqual(await keysOf(node.embedded));
    await stop(three);
    const again = await start({ dataPath, partitions: 3 });
    expect(await keysOf(again.embedded)).toHaveLength(60);
    expect(await readdir(dataPath)).not.toContain('restoring');
  });

  test('that was never written to has a beginning, too', async () => {
    const node = await start();
    await node.checkpoint();
    const empty = await restored({ dataPath: join(directory, 'empty'), source: repository });
    expect(await keysOf(empty)).toEqual([]);
    await empty.node.propose(0, putOf('k', 'v'));
    expect(await keysOf(empty)).toEqual(['k=v']);
  });

  test('that holds something is refused; one that an interrupted restore left is begun anew, and no node starts on it', async () => {
    const node = await start();
    await node.fill(0, 20);
    await node.checkpoint();
    const refused = restoredNode({ dataPath: join(directory, 'other'), source: repository });
    await (await refused).close();
    const again = restoredNode({ dataPath: join(directory, 'other'), source: repository });
    await expect(again).rejects.toMatchObject({ code: 'invalid_settings' });

    const dataPath = join(directory, 'half');
    for (const each of ['restoring/partitions/0', 'partitions/0', 'checkpoints'])
      await mkdir(join(dataPath, each), { recursive: true });
    await writeFile(join(dataPath, 'partitions/0/left'), 'over');
    const started = openEmbeddedNode({ dataPath, version: 'test', onHalted: () => undefined });
    await expect(started).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining('was not finished') as string,
    });
    const whole = await restored({ dataPath, source: repository });
    expect(await keysOf(whole)).toHaveLength(20);
    expect(await readdir(join(dataPath, 'partitions/0'))).not.toContain('left');
    expect(await readdir(dataPath)).toContain('checkpoints');
  });

  test('is not restored to what is not archived: nothing is there then, and what is missing is named', async () => {
    const node = await start();
    await node.fill(0, 20);
    await node.checkpoint();
    await node.fill(20, 40);
    await node.archived();
    const positions = new Map([
      [0, 1000n],
      [1, 1000n],
    ]);
    const dataPath = join(directory, 'none');
    const beyond = restoredNode({ dataPath, source: repository, moment: { kind: 'position', positions } });
    await expect(beyond).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining('wanted up to 1000') as string,
    });
    const started = openEmbeddedNode({ dataPath, version: 'test', onHalted: () => undefined });
    await expect(started).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await keysOf(await restored({ dataPath, source: repository }))).toHaveLength(40);
  });
});
