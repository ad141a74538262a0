// The folder of a node's data: whose it is, of which format, and that no other process uses it.
//
//   statestore.json   format, engine kind, id, and whose it is; written once, replaced only as a whole
//   lock              held while a process runs (folder-lock.ts)
//   partitions/N/     the engine's own folder; in a cluster see cluster/replica-folder.ts
//
// A folder is an embedded node's, with its number of partitions, or that of one node of one cluster.
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StateStoreError } from '@statestore/core';
import { draftOf, replaceFile } from './durable-files.ts';
import type { EngineKind } from './engine/engine.ts';
import { lockFolder } from './folder-lock.ts';

/** What describes the folder. */
export const describedName = 'statestore.json';
/** There while a restore into the folder is under way, or was not finished. */
export const restoringName = 'restoring';

/** Raised when an older version could no longer use the folder. */
export const dataFormat = 1;

interface Described {
  readonly format: number;
  /** UUID of this data, drawn when the folder was made. */
  readonly id: string;
  readonly engine: EngineKind;
  readonly createdAt: string;
}

/** Of an embedded node. */
export interface DataDescription extends Described {
  readonly partitions: number;
  /** 32 random bytes, base64: what cursors are signed with. */
  readonly secret: string;
  /** UUID of the journal in log/; absent until that was made. */
  readonly journal?: string;
  /** Of data that were restored, by partition: where its log carries on from. Null: at its beginning. */
  readonly continues?: readonly (DescribedPoint | null)[];
  /** Of data that were restored: of all its logs. Absent: 1. */
  readonly generation?: number;
}

/** A moment of a log, as JSON has it. */
export interface DescribedPoint {
  /** UUID of the log. */
  readonly incarnation: string;
  /** In decimal digits. */
  readonly position: string;
  /** 32 hexadecimal digits. */
  readonly chain: string;
}

/** Of a node in a cluster. */
export interface ClusterDataDescription extends Described {
  readonly kind: 'cluster node';
  readonly cluster: string;
  readonly node: string;
}

export interface DescribedFolder<D> {
  readonly path: string;
  readonly description: D;
  partitionPath(partition: number): string;
  /** Replaces the description as a whole. */
  describe(description: D): Promise<void>;
  /** Gives the lock back. Once. */
  close(): void;
}

export type DataDirectory = DescribedFolder<DataDescription>;
export type ClusterDataDirectory = DescribedFolder<ClusterDataDescription>;

/**
 * Opens the folder, makes it where it is absent, and locks it. Throws `invalid_settings` where it is a
 * file, cannot be written, or is of a node in a cluster, `data_format` where it is of a newer format,
 * `data_locked` where another process uses it, `data_corrupt` where the description cannot be read.
 */
export function openDataDirectory(
  path: string,
  wanted: { readonly partitions: number; readonly engine: EngineKind },
): Promise<DataDirectory> {
  return openFolder(path, () => newDataDescription(wanted), checkEmbedded);
}

/** Of new data. */
export function newDataDescription(wanted: {
  readonly partitions: number;
  readonly engine: EngineKind;
}): DataDescription {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64');
  return { ...newDescription(), ...wanted, secret };
}

/** Throws `invalid_settings` where it holds what a restore into it would replace. */
export async function emptyOrRestoring(path: string): Promise<void> {
  const found = new Set(await readdir(path));
  // A volume's own, and what was on it beside the data.
  for (const other of ['lock', 'lost+found', 'checkpoints', restoringName]) found.delete(other);
  const hasBegun = await isThere(join(path, restoringName));
  if (hasBegun && found.has(describedName)) {
    throw new StateStoreError('invalid_settings', `the restore into ${path} that was begun before is complete`, {
      hint: 'start a node on it; for another restore move what is there away, or choose another folder',
    });
  }
  if (hasBegun) for (const half of ['partitions', 'log', draftOf(describedName)]) found.delete(half);
  const [first] = found;
  if (first === undefined) return;
  throw new StateStoreError('invalid_settings', `the data folder ${path} is not empty: it has ${first}`, {
    hint: 'move what is there away, or choose another folder',
  });
}

/** As openDataDirectory; `invalid_settings` also where the folder is another node's, an embedded one's, or of another engine. */
export function openClusterDataDirectory(
  path: string,
  wanted: { readonly cluster: string; readonly node: string; readonly engine: EngineKind },
): Promise<ClusterDataDirectory> {
  return openFolder(
    path,
    () => ({ ...newDescription(), kind: 'cluster node', ...wanted }),
    (found, file) => checkClusterNode(found, file, wanted),
  );
}

function newDescription(): { readonly format: number; readonly id: string; readonly createdAt: string } {
  return { format: dataFormat, id: randomUUID(), createdAt: new Date().toISOString() };
}

async function openFolder<D>(
  path: string,
  make: () => D,
  check: (found: Partial<D>, file: string) => D,
): Promise<DescribedFolder<D>> {
  await makeFolder(path);
  const lock = lockFolder(path);
  try {
    const file = join(path, describedName);
    const describe = (description: D): Promise<void> =>
      replaceFile(file, `${JSON.stringify(description, undefined, 2)}\n`);
    const found = await readDescription(file);
    let description: D;
    if (found === undefined) {
      await refuseWithoutDescription(path);
      description = make();
      await describe(description);
    } else {
      description = check(found as Partial<D>, file);
      // Of a restore that was killed when all was in place.
      await rm(join(path, restoringName), { recursive: true, force: true });
    }
    return {
      path,
      description,
      partitionPath: (partition) => join(path, 'partitions', String(partition)),
      describe,
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

/** Undefined where there is none. Of a format that this version knows. */
async function readDescription(file: string): Promise<Partial<Described> | undefined> {
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
  if (await isThere(join(path, restoringName))) {
    throw new StateStoreError('data_corrupt', `a restore into ${path} was not finished`, {
      hint: 'run it again, or choose another folder',
    });
  }
  const partitions = join(path, 'partitions');
  const found = await readdir(partitions).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  if (found.length === 0) return;
  throw new StateStoreError(
    'data_corrupt',
    `${join(path, describedName)} is missing, but ${partitions} holds ${found.length} partitions`,
    { hint: 'restore the file, or choose another folder' },
  );
}

function newerFormat(file: string, format: number): StateStoreError {
  return new StateStoreError('data_format', `${file} has format ${format}; this version knows up to ${dataFormat}`, {
    hint: 'run the version that wrote it, or a newer one',
  });
}

function parseDescription(text: string, file: string): Partial<Described> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const found: Partial<Described> | null | undefined = typeof parsed === 'object' ? parsed : undefined;
  if (typeof found?.format === 'number' && found.format > dataFormat) throw newerFormat(file, found.format);
  const whole =
    found?.format === dataFormat &&
    typeof found.id === 'string' &&
    (found.engine === 'lmdb' || found.engine === 'memory');
  if (!whole) throw notDescribed(file);
  return found;
}

function notDescribed(file: string): StateStoreError {
  return new StateStoreError('data_corrupt', `${file} does not describe a data folder`, {
    hint: 'restore the file, or choose another folder',
  });
}

function checkEmbedded(
  found: Partial<DataDescription> & Partial<Pick<ClusterDataDescription, 'kind' | 'cluster' | 'node'>>,
  file: string,
): DataDescription {
  if (found.kind === 'cluster node') {
    throw new StateStoreError(
      'invalid_settings',
      `${file} is of node ${found.node} of cluster ${found.cluster}; a node without a cluster cannot use it`,
      { hint: 'choose another data folder' },
    );
  }
  if (!Number.isInteger(found.partitions) || typeof found.secret !== 'string') throw notDescribed(file);
  return found as DataDescription;
}

function checkClusterNode(
  found: Partial<ClusterDataDescription>,
  file: string,
  wanted: { readonly cluster: string; readonly node: string; readonly engine: EngineKind },
): ClusterDataDescription {
  const refused = (whose: string): StateStoreError =>
    new StateStoreError(
      'invalid_settings',
      `${file} is of ${whose}; this is node ${wanted.node} of cluster ${wanted.cluster}`,
      { hint: 'choose another data folder: replicas come back from the log and from other nodes' },
    );
  if (found.kind !== 'cluster node') throw refused('a node without a cluster');
  if (typeof found.cluster !== 'string' || typeof found.node !== 'string') throw notDescribed(file);
  if (found.cluster !== wanted.cluster || found.node !== wanted.node)
    throw refused(`node ${found.node} of cluster ${found.cluster}`);
  if (found.engine !== wanted.engine) {
    throw new StateStoreError(
      'invalid_settings',
      `engine is ${wanted.engine}, but the data folder of ${file} has ${found.engine}`,
      { hint: `set it to ${found.engine}, or start the node with an empty data folder: its replicas are built anew` },
    );
  }
  return found as ClusterDataDescription;
}
