// Where an LMDB engine keeps its environments, and how one replaces another at a single instant:
//
//   <dir>/lmdb/current     name of the environment in force, one line
//   <dir>/lmdb/env-<n>/    data.mdb, lock.mdb
//
// A restore or a compaction fills env-<n+1>, syncs it, and then replaces `current` by a rename: a crash
// leaves either the old or the new one in force, and the other is removed at the next opening.
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { limits, StateStoreError } from '@statestore/core';

const environmentName = /^env-(\d+)$/;

export class LmdbFolder {
  readonly #path: string;
  #number: number;

  private constructor(path: string, number: number) {
    this.#path = path;
    this.#number = number;
  }

  static async open(dir: string): Promise<LmdbFolder> {
    const path = join(dir, 'lmdb');
    await mkdir(path, { recursive: true });
    const names = (await readdir(path)).filter((name) => environmentName.test(name));
    if (!existsSync(join(path, 'current'))) {
      if (names.length > 0)
        throw new StateStoreError('data_corrupt', `${join(path, 'current')} is missing beside ${names.join(', ')}`);
      await writeCurrent(path, 'env-1');
    }
    const current = (await readFile(join(path, 'current'), 'latin1')).trim();
    const number = Number(environmentName.exec(current)?.[1]);
    if (!Number.isSafeInteger(number)) {
      throw new StateStoreError(
        'data_corrupt',
        `${join(path, 'current')} says ${JSON.stringify(current)}; it may be env-<number>`,
      );
    }
    for (const name of names) if (name !== current) await rm(join(path, name), { recursive: true, force: true });
    return new LmdbFolder(path, number);
  }

  get current(): string {
    return join(this.#path, `env-${this.#number}`);
  }

  /** Makes the names on the way to the data durable: those that the opening may have made. */
  async syncNames(): Promise<void> {
    await syncFolder(this.current);
    await syncFolder(this.#path);
    await syncFolder(dirname(this.#path));
  }

  /** Throws `disk_full` where the disk has not this much room, and some to go on with. */
  async checkRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#path);
    const wanted = bytes + limits.engineRoomBytes;
    if (bavail * bsize >= wanted) return;
    const message = `${this.#path}: a copy takes up to ${wanted} bytes, and the disk has ${bavail * bsize}`;
    throw new StateStoreError('disk_full', message, { hint: 'free disk space, then try again' });
  }

  /** Where the successor is to be made. Nothing is there. */
  async next(): Promise<string> {
    const path = join(this.#path, `env-${this.#number + 1}`);
    await rm(path, { recursive: true, force: true });
    await mkdir(path);
    return path;
  }

  /** Puts the successor in force. Its data must be synced. */
  async replace(): Promise<void> {
    const number = this.#number + 1;
    await syncFolder(join(this.#path, `env-${number}`));
    await syncFolder(this.#path);
    await writeCurrent(this.#path, `env-${number}`);
    this.#number = number;
  }
}

async function writeCurrent(path: string, name: string): Promise<void> {
  const draft = join(path, 'current.new');
  const file = await open(draft, 'w');
  try {
    await file.writeFile(`${name}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, join(path, 'current'));
  await syncFolder(path);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
