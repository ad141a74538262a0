// The archive of the real `statestore dev`, by the real commands: killed, told of, verified, and made into data folders of
// any moment; gaps and damage; what is refused.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DevServer } from './dev-server.ts';
import { type Ended, statestore } from './run-statestore.ts';

const patient = { timeout: 20_000, interval: 100 };
let folder: string;
let server: DevServer | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-archive-data-'));
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const place = (): string[] => ['--repository', `file://${join(folder, 'repository')}`];
const start = async (data: string): Promise<DevServer> =>
  (server = await DevServer.start({
    folder: join(folder, data),
    partitions: 2,
    args: [...place(), '--archive-interval', '100ms'],
  }));

async function put(from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    const { status } = await fetch(`${server!.url}/v1/stores/s/keys/k${i}`, { method: 'PUT', body: `v${i}` });
    expect(status).toBe(201);
  }
}

async function keys(): Promise<number> {
  const listed = await fetch(`${server!.url}/v1/stores/s/keys?limit=1000`);
  return ((await listed.json()) as { entries: unknown[] }).entries.length;
}

/** Resolves when nothing waits any more. */
async function archived(): Promise<void> {
  const waiting = async (): Promise<unknown> => {
    const text = await (await fetch(`${server!.url}/metrics`)).text();
    const of = (name: string): number[] =>
      [...text.matchAll(new RegExp(`^${name}\\{partition="\\d+"[^}]*\\} (.*)$`, 'gm'))].map(([, n]) => Number(n));
    return [of('state_archive_position'), of('state_archive_age_seconds')];
  };
  const applied = async (): Promise<number[]> => {
    const text = await (await fetch(`${server!.url}/metrics`)).text();
    return [...text.matchAll(/^state_applied_position\{.*\} (.*)$/gm)].map(([, n]) => Number(n));
  };
  await expect.poll(waiting, patient).toEqual([await applied(), [0, 0]]);
}

const momentNow = (): string => new Date().toISOString();

test('killed, told of, verified, and restored to any moment', { timeout: 120_000 }, async () => {
  await start('data');
  await put(0, 10);
  await statestore('checkpoint', 'create', '--url', server!.url, '--wait');
  await put(10, 20);
  await sleep(20);
  const middle = momentNow();
  await sleep(20);
  await put(20, 30);
  await archived();
  await server!.kill();

  const list = await statestore('checkpoint', 'list', ...place());
  expect([list.code, list.err]).toEqual([0, '']);
  expect(list.out).toMatch(/\nembedded: any moment from \S+Z to \S+Z can be restored\n$/);
  const { moments } = JSON.parse((await statestore('checkpoint', 'show', 'latest', ...place(), '--json')).out);
  expect(moments).toHaveLength(1);
  expect(moments[0].from < middle && middle < moments[0].through).toBe(true);
  const good = await statestore('checkpoint', 'verify', 'latest', ...place());
  expect([good.code, good.err]).toEqual([0, '']);
  expect(good.out).toMatch(/\narchive is good: \d+ segments, \d+ batches after it/);

  const restore = (data: string, ...more: string[]): Promise<Ended> =>
    statestore('restore', '--data', join(folder, data), ...place(), ...more);
  const made = await restore('then', '--to', middle);
  expect([made.code, made.err]).toEqual([0, '']);
  expect(made.out).toMatch(/ has the state up to .*: 2 partitions, 20 entries\./);
  await start('then');
  expect(await keys()).toBe(20);
  await put(100, 103);
  await archived();
  await server!.stop();
  server = undefined;
  // By then the history is that of the restored one.
  expect((await restore('newest')).out).toContain('2 partitions, 23 entries');
  const future = await restore('future', '--to', new Date(Date.now() + 3600_000).toISOString());
  expect([future.code, future.err]).toEqual([2, expect.stringContaining('has not come yet') as string]);
});

test('a gap is told by position and time, and nothing is made of it', { timeout: 60_000 }, async () => {
  await start('data');
  await put(0, 4);
  await statestore('checkpoint', 'create', '--url', server!.url, '--wait');
  for (let i = 0; i < 4; i++) {
    await put(10 + i * 4, 14 + i * 4);
    await archived();
  }
  await server!.stop();
  server = undefined;
  const archive = join(folder, 'repository', 'archive');
  const [log] = (await readdir(archive)).toSorted();
  const segments = (await readdir(join(archive, log!))).filter((name) => name !== 'log').toSorted();
  // Neither the first one nor the last one after the checkpoint.
  const name = segments.at(-2)!;
  await writeFile(join(archive, log!, name), 'damaged');
  const found = await statestore('checkpoint', 'verify', 'latest', ...place());
  expect([found.code, found.err]).toEqual([3, '']);
  const [first, last] = name.split('-').map(Number);
  expect(found.out).toContain(`${log!}/${name}`);
  expect(found.out).toMatch(new RegExp(`partition \\d has a gap: ${first} to ${last}, after \\S+Z, until \\S+Z`));
  expect((await statestore('checkpoint', 'verify', 'latest', ...place(), '--without-archive')).code).toBe(0);
  await mkdir(join(folder, 'broken'));
  const made = await statestore('restore', '--data', join(folder, 'broken'), ...place());
  expect([made.code, made.err]).toEqual([1, expect.stringContaining(name) as string]);
  expect(await readdir(join(folder, 'broken'))).not.toContain('statestore.json');
});

test('where nobody asked for checkpoints nothing is archived', { timeout: 60_000 }, async () => {
  server = await DevServer.start({ folder: join(folder, 'data'), partitions: 1 });
  await put(0, 3);
  await sleep(500);
  expect(await readdir(join(folder, 'data', 'checkpoints')).catch(() => [])).not.toContain('archive');
  expect(await (await fetch(`${server.url}/metrics`)).text()).not.toContain('state_archive_position');
});
