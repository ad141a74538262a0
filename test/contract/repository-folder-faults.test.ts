// A repository in a folder whose process is killed, whose disk is full, broken or gone, and beside other processes; and
// one in an S3 server whose disk is full.
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FolderFiles } from '../../services/checkpoint/src/folder-files.ts';
import { realFiles } from '../../services/checkpoint/src/folder-files.ts';
import { FolderRepository } from '../../services/checkpoint/src/folder-repository.ts';
import { childContent, racedObjects } from './repository-child.ts';
import { namesOf } from './repository-contract.ts';

const childPath = join(import.meta.dirname, 'repository-child.ts');
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-folder-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function open(files: Partial<FolderFiles> = {}, path = folder): Promise<FolderRepository> {
  return FolderRepository.open({ type: 'folder', path, concurrency: 16 }, { files: { ...realFiles, ...files } });
}

function fails(code: string): () => Promise<never> {
  return () => Promise.reject(Object.assign(new Error('by the test'), { code }));
}

/** All files below the folder, drafts too. */
async function filesBelow(path = folder): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

interface Ended {
  readonly told: string[];
  readonly signal: NodeJS.Signals | null;
  readonly complaints: string;
}

function runChild(args: readonly string[], killAfterMs?: number): Promise<Ended> {
  const child = spawn(process.execPath, [childPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, complaints] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (out === '' && killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  return new Promise((resolve) => {
    // A kill may come in the middle of a line: what lacks its end was not told.
    child.on('close', (_, signal) => resolve({ told: out.split('\n').slice(0, -1), signal, complaints }));
  });
}

describe('kill -9', () => {
  test('in the middle of writes: each object is whole or not there, and what was told is there', async () => {
    const told: string[] = [];
    for (let run = 0; run < 12; run++) {
      const ended = await runChild(['create', folder, String(run)], 5 + run * 7);
      expect(ended).toMatchObject({ signal: 'SIGKILL', complaints: '' });
      expect(ended.told.length).toBeGreaterThan(0);
      told.push(...ended.told);
    }
    const repository = await open();
    const listed = await namesOf(repository, '');
    expect(told.filter((name) => !listed.includes(name))).toEqual([]);
    for (const name of listed) {
      expect(Buffer.compare((await repository.get(name))!, childContent(name)), name).toBe(0);
    }
    const left = (await filesBelow()).filter((path) => path.includes('~'));
    // Else no kill came in the middle of one.
    expect(left.length).toBeGreaterThan(0);
    const longAgo = new Date(Date.now() - limits.repositoryLeftoverMs - 1000);
    for (const path of left.slice(1)) await utimes(path, longAgo, longAgo);
    expect(await namesOf(repository, '')).toEqual(listed);
    expect((await filesBelow()).filter((path) => path.includes('~'))).toEqual(left.slice(0, 1));
    await repository.close();
  });
});

test('of four processes that create the same objects, one creates each', async () => {
  await (await open()).close();
  const runs = ['a', 'b', 'c', 'd'];
  const ended = await Promise.all(runs.map((run) => runChild(['race', folder, run])));
  expect(ended.map(({ complaints }) => complaints)).toEqual(['', '', '', '']);
  const all = ended.flatMap(({ told }) => told);
  expect(all.toSorted()).toEqual(Array.from({ length: racedObjects }, (_, i) => String(i)).toSorted());
  for (const [i, run] of runs.entries()) {
    for (const name of ended[i]!.told) expect(await readFile(join(folder, 'checkpoints', name), 'utf8')).toBe(run);
  }
  expect((await filesBelow()).filter((path) => path.includes('~'))).toEqual([]);
});

test.each(['fill', 'fill-s3'])(
  'on a full disk (%s): disk_full, nothing half there, and it goes on when there is room',
  async (mode) => {
    const script = 'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"';
    const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
    const command = [...user, '--mount', 'sh', '-c', script, 'sh', folder, process.execPath, childPath];
    const { stdout } = await promisify(execFile)('unshare', [...command, mode, folder]);
    const result = JSON.parse(stdout) as { created: number; listed: number };
    expect(result).toMatchObject({ codes: ['disk_full'], put: 'disk_full', whole: true, after: 'created' });
    expect(result.created).toBeGreaterThan(5);
    expect(result.listed).toBe(result.created);
  },
);

describe('a step that fails', () => {
  const bytes = Buffer.from('content');

  test.each(['ENOSPC', 'EDQUOT'])('no room to sync (%s): disk_full, and no draft is left', async (code) => {
    const repository = await open({ sync: fails(code) });
    await expect(repository.create('a/x', bytes)).rejects.toMatchObject({ code: 'disk_full' });
    await expect(repository.put('a/x', bytes)).rejects.toMatchObject({ code: 'disk_full' });
    expect(await filesBelow()).toEqual([]);
  });

  test('a disk that fails to sync: unavailable, and nothing is there', async () => {
    const repository = await open({ sync: fails('EIO') });
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await filesBelow()).toEqual([]);
  });

  test('the name that is not on the disk for certain: outcome_unknown', async () => {
    const repository = await open({ syncFolder: fails('EIO') });
    await expect(repository.create('x', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(repository.put('y', bytes)).rejects.toMatchObject({ code: 'outcome_unknown' });
  });

  test.each(['EPERM', 'ENOTSUP'])('a file system without hard links (%s) is refused by the probe', async (code) => {
    const repository = await open({ link: fails(code) });
    await expect(repository.probe()).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(`no hard links (${code})`) as string,
    });
    expect(await filesBelow()).toEqual([]);
  });

  test('a rename that fails leaves the old object', async () => {
    await (await open()).put('x', Buffer.from('old'));
    const repository = await open({ rename: fails('EIO') });
    await expect(repository.put('x', bytes)).rejects.toMatchObject({ code: 'unavailable' });
    expect(Buffer.from((await repository.get('x'))!).toString()).toBe('old');
    expect(await filesBelow()).toHaveLength(1);
  });

  test('a disk that hangs keeps neither its caller nor the one that closes', async () => {
    let goOn = (): void => {};
    const hanging = new Promise<void>((resolve) => (goOn = resolve));
    const repository = await open({ sync: () => hanging });
    const control = new AbortController();
    const reason = new Error('enough');
    const aborted = repository.put('x', bytes, control).catch((error: unknown) => error);
    const closed = repository.put('y', bytes).catch((error: unknown) => error);
    setTimeout(() => control.abort(reason), 50);
    expect(await aborted).toBe(reason);
    const began = performance.now();
    await repository.close();
    expect(performance.now() - began).toBeGreaterThan(limits.repositoryCloseMs - 100);
    expect(await closed).toMatchObject({ code: 'shutting_down' });
    goOn();
    for (let i = 0; (await filesBelow()).length > 0 && i < 100; i++) await sleep(20);
    expect(await filesBelow()).toEqual([]);
  });

  test('a creation that a network file system did and then refused is one', async () => {
    const repository = await open({
      async link(from, to) {
        await realFiles.link(from, to);
        await realFiles.link(from, to);
      },
    });
    expect(await repository.create('x', bytes)).toBe('created');
    expect(await repository.create('x', bytes)).toBe('exists');
  });
});

describe('the folder', () => {
  test('that is gone says nothing of what was in it, and is not made anew', async () => {
    const path = join(folder, 'mounted');
    const repository = await open({}, path);
    await repository.put('a/x', Buffer.of(1));
    await rename(path, `${path}-away`);
    const gone = { code: 'unavailable', hint: expect.stringContaining('mounted') as string };
    await expect(repository.get('a/x')).rejects.toMatchObject(gone);
    await expect(repository.head('a/x')).rejects.toMatchObject(gone);
    await expect(namesOf(repository, '')).rejects.toMatchObject(gone);
    await expect(namesOf(repository, 'a/')).rejects.toMatchObject(gone);
    await expect(repository.put('b/y', Buffer.of(1))).rejects.toMatchObject(gone);
    await expect(repository.create('y', Buffer.of(1))).rejects.toMatchObject({ code: 'unavailable' });
    expect(existsSync(path)).toBe(false);
    await rename(`${path}-away`, path);
    expect(await namesOf(repository, '')).toEqual(['a/x']);
  });

  test('that is a file, or below one, is refused', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(open({}, join(folder, 'file'))).rejects.toMatchObject({ code: 'invalid_settings' });
    await expect(open({}, join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'invalid_settings' });
  });

  test('holds foreign things that are none of ours', async () => {
    const repository = await open();
    await repository.put('a/x', Buffer.of(1));
    await mkdir(join(folder, 'lost+found'));
    await writeFile(join(folder, 'a', 'with space'), '');
    await mkdir(join(folder, 'empty'));
    expect(await namesOf(repository, '')).toEqual(['a/x']);
    await repository.remove(['a/x', 'empty']);
    expect(await namesOf(repository, '')).toEqual([]);
    expect((await readdir(folder)).toSorted()).toEqual(['a', 'empty', 'lost+found']);
  });

  test('loses folders that are empty, but not itself', async () => {
    const repository = await open();
    await repository.put('a/b/c/x', Buffer.of(1));
    await repository.put('a/y', Buffer.of(1));
    await repository.remove(['a/b/c/x']);
    expect(await readdir(join(folder, 'a'))).toEqual(['y']);
    await repository.remove(['a/y']);
    expect(await readdir(folder)).toEqual([]);
  });

  test('an object whose name is part of the path of another is refused', async () => {
    const repository = await open();
    await repository.put('a/x', Buffer.of(1));
    await expect(repository.put('a', Buffer.of(1))).rejects.toMatchObject({ code: 'invalid_parameter' });
    await expect(repository.create('a', Buffer.of(1))).rejects.toMatchObject({ code: 'invalid_parameter' });
    await expect(repository.put('a/x/y', Buffer.of(1))).rejects.toMatchObject({ code: 'invalid_parameter' });
    expect(await namesOf(repository, '')).toEqual(['a/x']);
  });

  test.each(['EACCES', 'EROFS'])('that may not be written (%s) is refused by the probe', async (code) => {
    const repository = await open({ sync: fails(code) });
    await expect(repository.probe()).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringMatching(new RegExp(`could not write ${folder}/probe/.*: ${code}`)) as string,
    });
  });
});
