// What a repository in a folder asks of the file system, step by step, so that each step can be made to fail; and
// what its refusals mean. The order of the steps is the business of folder-repository.ts.
import { link, mkdir, open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StateStoreError } from '@statestore/core';

/** Of what is made: it holds all values, and the process's own user alone is to read them. What is there keeps its mode. */
const folderMode = 0o700;
export const fileMode = 0o600;

export interface FolderFiles {
  /** The content is on the disk. */
  sync(file: FileHandle): Promise<void>;
  /** Fails with EEXIST where `to` is there: the one operation that both creates and refuses, atomically. */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** The names in it are on the disk. */
  syncFolder(path: string): Promise<void>;
}

export const realFiles: FolderFiles = {
  sync: (file) => file.sync(),
  link,
  rename,
  async syncFolder(path) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};

/** Makes the folder and those of its parents that are not there; a power loss does not take them back. */
export async function makeRoot(path: string, files: FolderFiles): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: folderMode });
  if (made === undefined) return;
  for (let at = path; at.length >= made.length; at = dirname(at)) await files.syncFolder(dirname(at));
}

/** Makes one folder; false where its parent is not there (any more). */
export async function makeFolder(path: string, files: FolderFiles): Promise<boolean> {
  try {
    await mkdir(path, { mode: folderMode });
    await files.syncFolder(dirname(path));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  return true;
}

export async function statOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** There is no file of this name: nothing at all, or one that is part of its path. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errorCode(error));
}

const full: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);
const refused: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENAMETOOLONG']);
const clash: ReadonlySet<string> = new Set(['ENOTDIR', 'EISDIR', 'ENOTEMPTY']);
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);

/** What a failed step means to the caller of the repository. `doing` names it: `read /backup/latest`. */
export function folderError(doing: string, cause: unknown): StateStoreError {
  if (cause instanceof StateStoreError) return cause;
  const code = errorCode(cause);
  const why = `could not ${doing}: ${code === '' ? String(cause) : code}`;
  if (full.has(code)) return new StateStoreError('disk_full', why, { cause, hint: 'Make room on its disk.' });
  if (refused.has(code)) {
    return new StateStoreError('invalid_settings', why, {
      cause,
      hint: 'The process must be able to read, write and remove files there.',
    });
  }
  if (clash.has(code)) {
    return new StateStoreError('invalid_parameter', `${why}; a name of an object is part of the path of another`, {
      cause,
    });
  }
  return new StateStoreError('unavailable', why, { cause });
}

/** A read that the disk itself failed: what is there is not what was written. */
export function readError(doing: string, cause: unknown): StateStoreError {
  if (errorCode(cause) !== 'EIO') return folderError(doing, cause);
  return new StateStoreError('data_corrupt', `could not ${doing}: the disk failed (EIO)`, { cause });
}

export function linkError(doing: string, cause: unknown): StateStoreError {
  if (!noLinks.has(errorCode(cause))) return folderError(doing, cause);
  return new StateStoreError(
    'invalid_settings',
    `could not ${doing}: this file system has no hard links (${errorCode(cause)}), without which two writers of one file are not told apart`,
    { cause, hint: 'Choose a folder on another file system, as ext4, XFS, Btrfs, ZFS or NFS.' },
  );
}

/** It is there, or is not, once the power was lost. */
export function unsyncedError(doing: string, cause: unknown): StateStoreError {
  return new StateStoreError(
    'outcome_unknown',
    `could not ${doing} for certain: ${errorCode(cause) || String(cause)}`,
    {
      cause,
    },
  );
}
