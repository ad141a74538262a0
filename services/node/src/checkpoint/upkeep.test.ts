// What a conductor does beside making checkpoints: blocks that broke are found before a log is trimmed because of them,
// and what stands in the way of one step does not keep the others from being done.
import type { ObjectName, Proven, RepositoryCall } from '@statestore/checkpoint';
import { blocksPrefix, collectedName, listCheckpoints, MemoryRepository, reservePrefix } from '@statestore/checkpoint';
import { newRunId, requestCheckpoint, type CheckpointRun } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import type { ConductorOptions } from './conductor.ts';
import { ConductorWorld } from './conductor.testing.ts';

const patient = { timeout: 20_000, interval: 10 };
const cluster = 'test';

/** Of so many bytes at most. */
class SmallRepository extends MemoryRepository {
  maxBytes = Infinity;
  refuses: ((name: ObjectName) => boolean) | undefined;
  manifestsRead: ObjectName[] = [];

  get bytes(): number {
    return [...this.objects.values()].reduce((sum, { bytes }) => sum + bytes.length + 100, 0);
  }

  override async get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    if (/^checkpoints\/[^/]+$/.test(name)) this.manifestsRead.push(name);
    return super.get(name, call);
  }

  override async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    this.#require(bytes);
    return super.put(name, bytes, call);
  }

  override async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    this.#require(bytes);
    return super.create(name, bytes, call);
  }

  override async *list(prefix: string, call?: RepositoryCall) {
    if (this.refuses?.(prefix) === true) throw new StateStoreError('unavailable', 'no listing now');
    yield* super.list(prefix, call);
  }

  #require(bytes: Uint8Array): void {
    if (this.bytes + bytes.length + 100 > this.maxBytes) throw new StateStoreError('disk_full', 'no room');
  }
}

let world: ConductorWorld;
let repository: SmallRepository;
let proven: (Proven | undefined)[];
afterEach(() => world.close());

async function open(settings: object = {}, more: Partial<ConductorOptions> = {}): Promise<void> {
  repository = new SmallRepository();
  world = await new ConductorWorld(repository).fill(1, ['n1']);
  proven = [];
  const afterwards = async (_: AbortSignal, now: Proven | undefined): Promise<void> => void proven.push(now);
  world.conductor('n1', settings, { marginMs: 0, proofMs: 0, upkeepMs: 100_000, afterwards, ...more });
}

async function run(): Promise<CheckpointRun> {
  const nowMs = Date.now();
  const id = newRunId(nowMs);
  const asked = { id, trigger: 'manual', requestedBy: 'test', nowMs } as const;
  await expect.poll(async () => (await requestCheckpoint(world.runs, asked)).outcome, patient).toBe('requested');
  const before = proven.length;
  const now = async () => (await world.runs.run())!.document;
  await expect.poll(async () => ['completed', 'failed'].includes((await now()).state), patient).toBe(true);
  await expect.poll(() => proven.length, patient).toBeGreaterThan(before);
  return now();
}

const goodOf = (one: Proven | undefined): string[] | undefined => one?.good.map(({ manifest }) => manifest.id);
const damaged = async () => (await world.runs.catalog())!.document.damaged;

test('a block that broke leaves nothing to trim by, is told, and is not used again', async () => {
  await open();
  const first = (await run()).checkpoint!;
  const second = (await run()).checkpoint!;
  expect(goodOf(proven.at(-1))).toEqual([second, first]);
  expect((await world.runs.catalog())!.document.provenAtMs).toBeGreaterThan(0);
  const name = [...repository.objects.keys()].find((each) => each.startsWith(blocksPrefix))!;
  const stored = repository.objects.get(name)!;
  repository.objects.set(name, { ...stored, bytes: stored.bytes.map((byte, at) => (at === 12 ? byte ^ 1 : byte)) });
  const third = (await run()).checkpoint!;
  // It was made before anybody knew.
  expect(goodOf(proven.at(-1))).toEqual([]);
  expect((await damaged())!.map(({ id, read }) => [id, read])).toEqual([third, second, first].map((id) => [id, true]));
  expect((await damaged())![0]!.why).toContain(name);
  await expect.poll(() => world.notices.join(), patient).toContain('a checkpoint is damaged');
  const fourth = (await run()).checkpoint!;
  expect(goodOf(proven.at(-1))).toEqual([fourth]);
  expect((await damaged())!.map(({ id }) => id)).not.toContain(fourth);
  const fifth = (await run()).checkpoint!;
  expect(goodOf(proven.at(-1))).toEqual([fifth, fourth]);
  // Mended, all are good again.
  repository.objects.set(name, stored);
  await run();
  expect(await damaged()).toEqual([]);
});

test('a manifest is read as often after a run as steps rely on it, and not for each that tells of what it did', async () => {
  await open({}, { marginMs: 1e9 });
  const { checkpoint } = await run();
  for (let i = 0; i < 3; i++) await run();
  repository.manifestsRead = [];
  await run();
  const reads = repository.manifestsRead.filter((name) => name.endsWith(checkpoint!)).length;
  // Catalogue, retention, garbage, proof; one for the catalogue of a node that looks just then.
  expect(reads).toBeLessThanOrEqual(5);
  expect(reads).toBeGreaterThan(0);
});

test('one step that fails does not keep the others from being done', async () => {
  await open({ maxCheckpoints: 2 });
  await run();
  await run();
  repository.refuses = (prefix) => prefix === 'started/';
  await run();
  expect(world.notices.join()).toContain('garbage of checkpoints could not be collected');
  expect(goodOf(proven.at(-1))).toHaveLength(2);
  expect(await listCheckpoints({ repository, cluster })).toHaveLength(2);
});

test('what is not whole when nothing can be read is not known, and the rest is told so', async () => {
  await open();
  await run();
  repository.refuses = (prefix) => prefix === 'checkpoints/';
  await run();
  expect(proven.at(-1)).toBeUndefined();
});

test('a full repository comes out of it: what failed is removed, and old ones are deleted', async () => {
  await open({ maxCheckpoints: 2 });
  await run();
  await run();
  expect([...repository.objects.keys()].filter((name) => name.startsWith(reservePrefix))).toHaveLength(8);
  repository.maxBytes = repository.bytes + 200;
  // More than the room that is kept for deleting has.
  for (let i = 0; i < 30; i++) await world.replicas[0]!.put(`big ${i}`, 'x'.repeat(100_000) + i);
  const before = repository.bytes;
  for (let i = 0; i < 3; i++) {
    expect(await run()).toMatchObject({ state: 'failed', error: { code: 'disk_full' } });
    expect(repository.bytes).toBeLessThanOrEqual(repository.maxBytes);
  }
  // Nothing of the failed ones is left.
  expect(repository.bytes).toBeLessThan(before + 2000);
  const [newest] = await listCheckpoints({ repository, cluster });
  repository.maxBytes = Infinity;
  expect((await run()).state).toBe('completed');
  const listed = await listCheckpoints({ repository, cluster });
  expect(listed.map(({ id }) => id)).toContain(newest!.id);
  expect(listed).toHaveLength(2);
});

test('however few are kept and however often one is made, two become old enough for logs to be trimmed', async () => {
  const margin = { marginMs: 600, proofMs: 1e9 };
  const most = async (trims: boolean): Promise<number> => {
    await open({ maxCheckpoints: 2 }, { ...margin, trims });
    const endMs = performance.now() + 2500;
    while (performance.now() < endMs) await run();
    const counts = proven.map((one) => one!.good.length);
    expect((await listCheckpoints({ repository, cluster })).length).toBeLessThanOrEqual(trims ? 6 : 2);
    return Math.max(...counts);
  };
  expect(await most(true)).toBe(2);
  await world.close();
  // Where nothing waits for them, as many are kept as was asked for.
  expect(await most(false)).toBeLessThan(2);
});

test('a repository that hangs does not hold up a node that stops', async () => {
  await open();
  await run();
  const put = repository.put.bind(repository);
  repository.put = (name, ...more) => (name === collectedName ? new Promise(() => {}) : put(name, ...more));
  const before = proven.length;
  await requestCheckpoint(world.runs, { id: newRunId(0), trigger: 'manual', requestedBy: 'test', nowMs: Date.now() });
  await expect.poll(() => world.ended.length, patient).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await world.conductors[0]!.close();
  expect(proven).toHaveLength(before);
});

test('it is done now and then, too, by the node that conducted last', async () => {
  await open({}, { upkeepMs: 50 });
  await run();
  const before = proven.length;
  await expect.poll(() => proven.length, patient).toBeGreaterThan(before + 1);
  const others = { marginMs: 0, upkeepMs: 20, afterwards: () => Promise.reject(new Error('not mine')) };
  world.conductor('n2', {}, others);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(world.notices.join()).not.toContain('not mine');
  expect(repository.objects.has(collectedName)).toBe(true);
});
