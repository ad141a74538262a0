// What people and scripts are told of checkpoints of a real cluster: the run that is under way, what failed and why, a
// damaged checkpoint, a repository that is away, one that was deleted by hand; and the final checkpoint of nodes that stop.
import { execFile } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { listCheckpoints, manifestName } from '@statestore/checkpoint';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';

const launcher = join(import.meta.dirname, '../../services/cli/statestore');

let world: ClusterWithRepository;
let files: string;
beforeAll(async () => {
  world = await ClusterWithRepository.start({
    // Each node lacks some partitions: alone it can make no checkpoint.
    replicas: 2,
    nodeArgs: ['--checkpoint-look-interval', '1s', '--checkpoint-on-shutdown', '--checkpoint-level', '3'],
  });
  files = join(world.folder, 'repository');
  await world.put(Array.from({ length: 200 }, (_, i) => [`k${i}`, 'x'.repeat(200)]));
});
afterAll(async () => {
  for (const node of world?.cluster.nodes ?? []) node.resume();
  await world?.close();
});

interface Listed {
  readonly checkpoints: readonly { readonly id: string; readonly trigger: string; readonly state: string }[];
  readonly damaged: readonly { readonly id: string; readonly why: string }[];
  readonly clearing: { readonly blockedBy: readonly string[] };
  readonly statistics: { readonly created: number };
}

const told = (): Promise<Listed> => world.json<Listed>('/v1/checkpoints');
const idsTold = async (): Promise<string[]> => (await told()).checkpoints.map(({ id }) => id);
const status = (...args: readonly string[]) => world.cluster.statestore(['status', ...args]);

async function inRepository(): Promise<Listed['checkpoints']> {
  const { stdout } = await world.statestoreCheckpoint('list', '--json');
  return (JSON.parse(stdout) as Listed).checkpoints;
}

test('asked for by command; status says how old it is, and which one is under way', async () => {
  const created = await promisify(execFile)(launcher, ['checkpoint', 'create', '--url', world.url, '--wait']);
  expect(created.stdout).toMatch(/^checkpoint \S+ is complete: 200 entries/);
  const { code, stdout } = await status();
  expect([code, stdout]).toEqual([0, expect.stringContaining('No problems.') as string]);
  expect(stdout).toMatch(
    /^Checkpoints in .*: 1 created, 0 failed; the last one complete [\d.]+ m?s ago, [\d.]+ KiB\.$/m,
  );
  const ages = await world.values('state_checkpoint_age_seconds');
  expect(ages.length).toBeGreaterThan(0);
  // One that stands still is seen as it is; it goes on before another node takes it over.
  for (let seen = ''; !seen.includes('one is made, conducted by node-');) {
    await world.put([[`changed ${Math.random()}`, 'x']]);
    const id = await world.askForCheckpoint();
    await expect.poll(async () => (await world.run(id)).conductor, { ...patient, interval: 1 }).toBeDefined();
    const conductor = world.node((await world.run(id)).conductor);
    conductor.pause();
    // It may have been quicker.
    if ((await world.run(id)).state === 'running') seen = (await status()).stdout;
    conductor.resume();
    await world.completed(id);
  }
});

test('a damaged one is a problem that is named everywhere, until it is deleted by hand', async () => {
  const [first, second] = (await idsTold()).toReversed();
  expect(first).toBeDefined();
  const path = join(files, manifestName(first!));
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length - 1));
  const third = await world.checkpoint();
  await expect.poll(told, patient).toMatchObject({
    damaged: [{ id: first }],
    clearing: { blockedBy: [expect.stringContaining(first!) as string] },
  });
  expect(await idsTold()).toEqual(expect.arrayContaining([third.checkpoint, second]));
  const { code, stdout } = await status();
  expect([code, stdout]).toEqual([3, expect.stringContaining(`checkpoint ${first} is damaged: `) as string]);
  const listed = await world.statestoreCheckpoint('list');
  expect([listed.code, listed.stdout]).toEqual([3, expect.stringContaining('1 checkpoint is damaged') as string]);
  for (const node of world.cluster.nodes)
    await expect.poll(() => world.metric(node, 'state_checkpoints_damaged'), patient).toBe(1);
  await expect
    .poll(async () => Math.max(...(await world.values('state_checkpoint_clearing_blocked'))), patient)
    .toBe(1);
  expect((await world.statestoreCheckpoint('delete', first!)).code).toBe(0);
  expect((await world.statestoreCheckpoint('delete', second!)).code).toBe(0);
  // With no checkpoint made since.
  await expect.poll(async () => (await told()).damaged, patient).toEqual([]);
  await expect.poll(idsTold, patient).not.toContain(second);
});

test('a repository that is away is a problem of each node, and none once it is back', async () => {
  const away = `${files}-away`;
  await rename(files, away);
  const problems = async (): Promise<string[]> =>
    (JSON.parse((await status('--json')).stdout) as { readonly problems: string[] }).problems;
  const named = (all: readonly string[]): string[] =>
    all.flatMap((each) => /has not answered node (\S+) since/.exec(each)?.[1] ?? []);
  await expect.poll(async () => named(await problems()), patient).toEqual(['node-1', 'node-2', 'node-3']);
  const run = await world.ended(await world.askForCheckpoint());
  expect(run).toMatchObject({ state: 'failed', error: { retryable: true } });
  const { stdout } = await status();
  expect(stdout).toMatch(/^ {2}the last one failed [\d.]+ m?s ago: .*repository/m);
  await rename(away, files);
  await expect.poll(async () => named(await problems()), patient).toEqual([]);
  expect(Math.max(...(await world.values('state_repository_answer_age_seconds')))).toBeLessThan(10);
});

test('one node that stops makes a final one; all that stop at once make one', async () => {
  const [first] = world.cluster.nodes;
  const known = async (): Promise<string[]> => (await inRepository()).map(({ id }) => id);
  const newSince = async (before: readonly string[]): Promise<string[]> =>
    (await inRepository()).filter(({ id }) => !before.includes(id)).map(({ trigger }) => trigger);
  const before = await known();
  await first!.stop();
  expect(await newSince(before)).toEqual(['shutdown']);
  await first!.start();
  await world.cluster.ready();
  const between = await known();
  await world.put([['last', 'entry']]);
  await Promise.all(world.cluster.nodes.map((node) => node.stop()));
  expect(await newSince(between)).toEqual(['shutdown']);
  const { repository, cluster } = world;
  const [last] = await listCheckpoints({ repository, cluster: cluster.name });
  expect(last).toMatchObject({ state: 'complete', totals: { entries: expect.any(BigInt) as bigint } });
});
