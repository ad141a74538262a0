// A folder for engines that are thrown away. Who is killed leaves it: the next one that makes such a folder at the same
// place removes it, and none that is in use, since whoever uses one holds its lock, which the kernel takes back.
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { limits } from '@statestore/core';
import { type FolderLock, lockFolder } from '../folder-lock.ts';

export interface ScratchFolder {
  readonly path: string;
  /** Everything in it goes. Idempotent. */
  dispose(): Promise<void>;
}

const prefix = 'statestore-scratch-';
/** Not locked yet: it has its final name once it is. */
const draft = `${prefix}new-`;

/** `path`: the folder to make it in. It is made where it is absent. */
export async function makeScratchFolder(path: string): Promise<ScratchFolder> {
  await mkdir(path, { recursive: true });
  await removeLeft(path);
  const made = await mkdtemp(join(path, draft));
  let lock: FolderLock;
  try {
    lock = lockFolder(made);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    throw error;
  }
  const own = made.replace(draft, prefix);
  await rename(made, own);
  let disposing: Promise<void> | undefined;
  const dispose = async (): Promise<void> => {
    // Still locked: one that finds it half gone must not think that it is to be removed.
    await rm(own, { recursive: true, force: true });
    lock.close();
  };
  return { path: own, dispose: () => (disposing ??= dispose()) };
}

/** Never rejects: what is another user's, or cannot be removed, is not needed. */
async function removeLeft(path: string): Promise<void> {
  const names = await readdir(path).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const left = join(path, name);
    try {
      if (name.startsWith(draft)) {
        const isOld = Date.now() - (await stat(left)).mtimeMs > limits.scratchDraftMs;
        if (isOld) await rm(left, { recursive: true, force: true });
        continue;
      }
      const lock = lockFolder(left);
      try {
        await rm(left, { recursive: true, force: true });
      } finally {
        lock.close();
      }
    } catch {
      // Somebody uses it.
    }
  }
}
