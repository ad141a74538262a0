// One process at a time uses a data folder: docs/decisions/0004-lock-by-sqlite.md.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StateStoreError } from '@statestore/core';

export interface FolderLock {
  /** Gives the lock back. Once. */
  close(): void;
}

/**
 * An exclusive lock that the kernel takes back when the process ends, however it ends. Node has no flock;
 * its built-in SQLite locks files with fcntl, so an open exclusive transaction is the lock.
 * Throws `data_locked` where another process has it, `invalid_settings` where there can be none.
 */
export function lockFolder(path: string): FolderLock {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(join(path, 'lock'));
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock?.close();
    const locked = error instanceof Error && 'errcode' in error && error.errcode === 5;
    if (locked) {
      throw new StateStoreError('data_locked', `the data folder ${path} is used by another process`, {
        hint: 'stop the other process, or choose another folder',
      });
    }
    throw new StateStoreError(
      'invalid_settings',
      `the lock file in ${path} cannot be opened: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
