import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { partitionFolders, ReplicaFolder } from './replica-folder.ts';

let root: string;
let folder: ReplicaFolder;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'statestore-replica-'));
  folder = new ReplicaFolder(join(root, 'partitions', '7'));
  await folder.open();
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, content: string): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'content'), content);
}

function content(path = folder.dataPath): string {
  return readFileSync(join(path, 'content'), 'utf8');
}

async function build(what: string): Promise<void> {
  write(await folder.startBuilding(), what);
}

describe('the folder of a replica', () => {
  test('holds the copy when it is finished, the data before aside', async () => {
    write(folder.dataPath, 'old');
    await build('new');
    expect(content()).toBe('old');
    await folder.finishBuilding();
    expect(content()).toBe('new');
    expect(content(join(folder.path, 'aside-1'))).toBe('old');
    await folder.open();
    expect(content()).toBe('new');
    await folder.removeAsides();
    expect(await readdir(folder.path)).toEqual(['data']);
  });

  test('forgets a copy that was not finished', async () => {
    write(folder.dataPath, 'old');
    await build('half');
    await folder.finishInterrupted();
    expect(content()).toBe('old');
    await folder.open();
    expect(content()).toBe('old');
    expect(await readdir(folder.path)).toEqual(['data']);
  });

  test('finishes the exchange that a crash interrupted between its two moves', async () => {
    write(folder.dataPath, 'old');
    await build('new');
    writeFileSync(join(folder.path, 'building', 'complete.json'), '{}');
    await folder.setAside();
    expect(folder.hasData()).toBe(false);
    await folder.finishInterrupted();
    expect(content()).toBe('new');
    await folder.open();
    expect(content()).toBe('new');
    expect((await folder.asides()).map(({ number }) => number)).toEqual([1]);
  });

  test('remembers that its data are condemned, and no longer than they are in force', async () => {
    await folder.condemn({ cause: 'diverged', why: 'its hashes differ' });
    await folder.open();
    expect(await folder.condemned()).toEqual({ cause: 'diverged', why: 'its hashes differ' });
    await build('new');
    await folder.finishBuilding();
    expect(await folder.condemned()).toBeUndefined();
  });

  test('keeps a bounded number aside, the oldest goes', async () => {
    for (let i = 1; i <= limits.asideFoldersMax + 2; i++) {
      write(folder.dataPath, String(i));
      await folder.setAside();
    }
    expect((await folder.asides()).map(({ number }) => number)).toEqual([3, 4, 5]);
  });

  test('never removes what is kept, and refuses to keep without end', async () => {
    for (let i = 1; i <= limits.asideFoldersMax; i++) {
      write(folder.dataPath, String(i));
      await folder.setAside('ahead of the recovered log');
    }
    await folder.removeAsides();
    expect(await folder.asides()).toHaveLength(limits.asideFoldersMax);
    write(folder.dataPath, 'one more');
    await expect(folder.setAside('again')).rejects.toMatchObject({ code: 'disk_full' });
    await expect(folder.checkRoomForKept()).rejects.toMatchObject({ code: 'disk_full' });
    expect(content()).toBe('one more');
    // What need not be kept does not wait for that.
    await build('new');
    await folder.finishBuilding();
    expect(content()).toBe('new');
    await folder.remove();
    expect(await folder.asides()).toHaveLength(limits.asideFoldersMax);
  });

  test('does not call kept what a crash left in force', async () => {
    write(folder.dataPath, 'old');
    writeFileSync(join(folder.dataPath, 'kept.json'), '{}');
    await folder.open();
    await folder.setAside();
    expect(await folder.asides()).toEqual([{ number: 1, kept: false }]);
  });

  test('puts a complete copy in place, whatever became of what is kept', async () => {
    write(folder.dataPath, 'old');
    await build('new');
    await folder.finishBuilding('of another history');
    expect(content()).toBe('new');
    expect(content(join(folder.path, 'aside-1'))).toBe('old');
    expect(JSON.parse(readFileSync(join(folder.path, 'aside-1', 'kept.json'), 'utf8'))).toEqual({
      why: 'of another history',
    });
  });

  test('leaves nothing where the replica is removed', async () => {
    write(folder.dataPath, 'old');
    expect(await partitionFolders(root)).toEqual([7]);
    await folder.remove();
    await folder.remove();
    expect(await partitionFolders(root)).toEqual([]);
  });
});
