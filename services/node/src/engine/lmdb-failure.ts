// What went wrong in LMDB, as errors of ours. A full disk is told from damage, since the first one heals.
import { closeSync, existsSync, openSync, readSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { StateStoreError } from '@statestore/core';

/** ENOSPC, EDQUOT, EFBIG (a limit on the process's files) and MDB_MAP_FULL. */
const fullCodes = new Set<unknown>([28, 122, 27, -30_792, 'ENOSPC', 'EDQUOT', 'EFBIG']);
/** What LMDB makes of a write that was cut short, whatever the reason. */
const ioCode = 5;
/** With less free space than this, a write that was cut short means a full disk. */
const roomBytesMin = 1024 * 1024;

export function lmdbFailure(cause: unknown, what: string, path: string): StateStoreError {
  if (cause instanceof StateStoreError) return cause;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  const message = `${path}: ${what}${reason}`;
  if (!fullCodes.has(code) && !(code === ioCode && isFull(path)))
    return new StateStoreError('data_corrupt', message, { cause });
  return new StateStoreError('disk_full', message, { cause, hint: 'free disk space, then start again' });
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < roomBytesMin;
  } catch {
    return false;
  }
}

/**
 * The reason of a failed commit. lmdb-js gives it as a promise on the error, which kills the process
 * where nobody handles it.
 */
export async function commitFailure(error: unknown, path: string): Promise<StateStoreError> {
  let cause = error;
  if (error instanceof Error && 'commitError' in error) {
    try {
      await error.commitError;
    } catch (reason) {
      cause = reason;
    }
  }
  return lmdbFailure(cause, 'a commit failed', path);
}

/** Of the first meta page: its header, then the magic number. */
const magicOffset = 24;
const magic = 0xbeefc0de;

/** Throws `data_corrupt` where data.mdb is no LMDB file: lmdb-js 3.5.6 crashes the process where its opening fails. */
export function checkHeader(folder: string): void {
  const path = join(folder, 'data.mdb');
  if (!existsSync(path)) return;
  const header = Buffer.alloc(magicOffset + 4);
  const file = openSync(path, 'r');
  try {
    // An empty file is one whose making was interrupted, and LMDB makes it anew.
    const read = readSync(file, header, 0, header.length, 0);
    if (read === 0 || (read === header.length && header.readUInt32LE(magicOffset) === magic)) return;
  } finally {
    closeSync(file);
  }
  throw new StateStoreError('data_corrupt', `${path} is not an LMDB file`);
}
