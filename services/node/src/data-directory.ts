// The folder of a node's data: whose it is, of which format, and that no other process uses it.
//
//   statestore.json   format, partitions, engine kind, id; written once, replaced only as a whole
//   lock              held while a process runs (folder-lock.ts)
//   partitions/N/     log/, and the engine's own folder
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StateStoreError } from '@statestore/core';
import type { EngineKind } from './engine/engine.ts';
import { lockFolder } from './folder-lock.ts';

/** Raised when an older version could no longer use the folder. */
export const dataFormat = 1;

export interface DataDescription {
  readonly format: number;
  /** UUID of this data, drawn when the folder was made. */
  readonly id: string;
  readonly partitions: number;
  readonly engine: EngineKind;
  /** 32 random bytes, base64: what cursors are signed with. */
  readonly secret: string;
  readonly createdAt: string;
  /** UUID of the journal in log/; absent until that was made. */
  readonly journal?: string;
}

export interface DataDirectory {
  readonly path: string;
  readonly description: DataDescription;
  partitionPath(partition: number): string;
  /** Replaces the description as a whole. */
  describe(description: DataDescription): Promise<void>;
  /** Gives the lock back. Once. */
  close(): void;
}

/**
 * Opens the folder, makes it where it is absent, and locks it. Throws `invalid_settings` where it is a
 * file or cannot be written, `data_format` where it is of a newer format, `data_locked` where another
 * process uses it, `data_corrupt` where the description cannot be read.
 */
export async function openDataDirectory(
  path: string,
  wanted: { readonly partitions: number; readonly engine: EngineKind },
): Promise<DataDirectory> {
  await makeFolder(path);
  const lock = lockFolder(path);
  try {
    let description = await readDescription(path);
    if (description === undefined) {
      await refuseWithoutDescription(path);
      const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64');
      description = { format: dataFormat, id: randomUUID(), ...wanted, secret, createdAt: new Date().toISOString() };
      await writeDescription(path, description);
    }
    return {
      path,
      description,
      partitionPath: (partition) => join(path, 'partitions', String(partition)),
      describe: (changed) => writeDescription(path, changed),
      close: () => lock.close(),
    };
  } catch (error) {
    lock.close();
    throw error;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
    if (!(await stat(path)).isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why =
      {
        EEXIST: 'is a file',
        ENOTDIR: 'is a file or lies below one',
        EACCES: 'cannot be written',
        EROFS: 'is read-only',
      }[code] ?? `cannot be used (${code})`;
    throw new StateStoreError(
      'invalid_settings',
      `the data folder ${path} ${why}; it must be a folder that this process can write to`,
      { cause: error },
    );
  }
}

/** With its parents. Not by mkdir's own `recursive`, which never returns where a parent takes no folders (/proc). */
async function makeFolders(path: string): Promise<void> {
  const parent = dirname(path);
  if (parent !== path && !(await isThere(parent))) await makeFolders(parent);
  if (!(await isThere(path))) await mkdir(path);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

async function readDescription(path: string): Promise<DataDescription | undefined> {
  const file = join(path, 'statestore.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return parseDescription(text, file);
}

/** It is written before anything else: a folder that holds partitions has lost it, and a guess could remove their data. */
async function refuseWithoutDescription(path: string): Promise<void> {
  const partitions = join(path, 'partitions');
  const found = await readdir(partitions).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  if (found.length === 0) return;
  throw new StateStoreError(
    'data_corrupt',
    `${join(path, 'statestore.json')} is missing, but ${partitions} holds ${found.length} partitions`,
    { hint: 'restore the file, or choose another folder' },
  );
}

function newerFormat(file: string, format: number): StateStoreError {
  return new StateStoreError('data_format', `${file} has format ${format}; this version knows up to ${dataFormat}`, {
    hint: 'run the version that wrote it, or a newer one',
  });
}

function parseDescription(text: string, file: string): DataDescription {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const found: Partial<DataDescription> | null | undefined = typeof parsed === 'object' ? parsed : undefined;
  if (typeof found?.format === 'number' && found.format > dataFormat) throw newerFormat(file, found.format);
  const whole =
    found?.format === dataFormat &&
    typeof found.id === 'string' &&
    Number.isInteger(found.partitions) &&
    (found.engine === 'lmdb' || found.engine === 'memory') &&
    typeof found.secret === 'string';
  if (!whole) {
    throw new StateStoreError('data_corrupt', `${file} does not describe a data folder`, {
      hint: 'restore the file, or choose another folder',
    });
  }
  return found as DataDescription;
}

async function writeDescription(path: string, description: DataDescription): Promise<void> {
  const file = join(path, 'statestore.json');
  const handle = await open(`${file}.new`, 'w');
  await handle.writeFile(`${JSON.stringify(description, undefined, 2)}\n`);
  await handle.sync();
  await handle.close();
  await rename(`${file}.new`, file);
  const folder = await open(path, 'r');
  await folder.sync();
  await folder.close();
}
