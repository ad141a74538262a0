// A repository in a folder: an object is a file, its name the path. A file is written under another name, synced,
// and only then linked (created) or renamed (replaced), so that nobody ever reads a part, whenever a process is
// killed or a disk is full. What killed writers leave has a `~` in its name, which no object has; it is not listed,
// and removed when it is old. Several processes, and machines where the file system is shared, may use one folder.
import { randomUUID } from 'node:crypto';
import { open, readFile, readdir, rmdir, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { limits, StateStoreError } from '@statestore/core';
import type { FolderFiles } from './folder-files.ts';
import * as files from './folder-files.ts';
import { inParallel } from './in-parallel.ts';
import { checkListPrefix, checkObjectName, isObjectName } from './object-name.ts';
import { OpenCalls } from './open-calls.ts';
import type { ObjectInfo, ObjectName, Repository, RepositoryCall } from './repository.ts';
import { probeRepository } from './repository-probe.ts';

export interface FolderSettings {
  readonly type: 'folder';
  readonly path: string;
  readonly concurrency: number;
}

export interface FolderOptions {
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number;
  readonly files?: FolderFiles;
}

interface Found {
  readonly name: string;
  /** Undefined: a folder. */
  readonly info: ObjectInfo | undefined;
}

const draftMark = '~';
const statsAtOnce = 16;

export class FolderRepository implements Repository {
  readonly kind = 'folder';
  readonly location: string;
  readonly #calls: OpenCalls;
  readonly #nowMs: () => number;
  readonly #files: FolderFiles;

  private constructor(path: string, concurrency: number, { nowMs = Date.now, files: own }: FolderOptions) {
    this.location = path;
    this.#calls = new OpenCalls(path, concurrency);
    this.#nowMs = nowMs;
    this.#files = own ?? files.realFiles;
  }

  /** Makes the folder where there is none. */
  static async open({ path, concurrency }: FolderSettings, options: FolderOptions = {}): Promise<FolderRepository> {
    const repository = new FolderRepository(resolve(path), concurrency, options);
    try {
      await files.makeRoot(repository.location, repository.#files);
      return repository;
    } catch (error) {
      throw files.errorCode(error) === 'EEXIST' || files.errorCode(error) === 'ENOTDIR'
        ? new StateStoreError('invalid_settings', `${repository.location} is no folder`, { cause: error })
        : files.folderError(`make the folder ${repository.location}`, error);
    }
  }

  probe(call?: RepositoryCall): Promise<void> {
    return probeRepository(this, call);
  }

  async get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(name);
    return this.#calls.run(call, async (signal) => {
      try {
        const found = await files.statOf(path);
        if (found === undefined || !found.isFile()) return await this.#none();
        if (found.size > limits.repositoryObjectBytesMax) throw tooLarge(path, Number(found.size));
        return await readFile(path, { signal });
      } catch (error) {
        signal.throwIfAborted();
        if (files.isAbsent(error)) return await this.#none();
        throw files.readError(`read ${path}`, error);
      }
    });
  }

  async head(name: ObjectName, call?: RepositoryCall): Promise<ObjectInfo | undefined> {
    const path = this.#pathOf(name);
    return this.#calls.run(call, async () => {
      try {
        return (await infoOf(name, path)) ?? (await this.#none());
      } catch (error) {
        throw files.readError(`look at ${path}`, error);
      }
    });
  }

  async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    const path = this.#pathOf(name);
    await this.#calls.run(call, async (signal) => {
      const draft = await this.#writeDraft(path, bytes, signal);
      try {
        await this.#files.rename(draft, path);
      } catch (error) {
        await unlink(draft).catch(() => undefined);
        throw files.folderError(`write ${path}`, error);
      }
      await this.#syncFolderOf(path);
    });
  }

  async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    const path = this.#pathOf(name);
    return this.#calls.run(call, async (signal) => {
      if (await this.#exists(path)) return 'exists';
      const draft = await this.#writeDraft(path, bytes, signal);
      try {
        await this.#files.link(draft, path);
      } catch (error) {
        if (files.errorCode(error) !== 'EEXIST') throw files.linkError(`create ${path}`, error);
        // A network file system may do it, lose the answer, ask again and be told that it is there: our own file.
        if (!(await isSameFile(draft, path))) return 'exists';
      } finally {
        await unlink(draft).catch(() => undefined);
      }
      await this.#syncFolderOf(path);
      return 'created';
    });
  }

  async *list(prefix: string, call?: RepositoryCall): AsyncGenerator<ObjectInfo> {
    checkListPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix, call);
  }

  async remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void> {
    const paths = names.map((name) => this.#pathOf(name));
    await inParallel(paths, statsAtOnce, (path) =>
      this.#calls.run(call, async () => {
        try {
          await unlink(path);
        } catch (error) {
          if (files.errorCode(error) !== 'EISDIR' && !files.isAbsent(error)) {
            throw files.folderError(`remove ${path}`, error);
          }
        }
      }),
    );
    await this.#calls.run(call, async () => {
      // What the caller removes next may rely on that this is gone, after a power loss, too.
      for (const folder of new Set(paths.map((path) => dirname(path)))) await this.#leave(folder);
    });
  }

  close(): Promise<void> {
    return this.#calls.close();
  }

  #pathOf(name: ObjectName): string {
    checkObjectName(name);
    return join(this.location, name);
  }

  /** There is no such object. A folder that is gone as a whole says nothing about its objects. */
  async #none(): Promise<undefined> {
    if ((await files.statOf(this.location))?.isDirectory() === true) return undefined;
    throw new StateStoreError('unavailable', `the folder ${this.location} is gone`, {
      hint: 'Is the volume that it is on mounted?',
    });
  }

  async #exists(path: string): Promise<boolean> {
    let found;
    try {
      found = await files.statOf(path);
    } catch (error) {
      throw files.readError(`look at ${path}`, error);
    }
    if (found?.isDirectory() !== true) return found !== undefined;
    throw new StateStoreError('invalid_parameter', `could not create ${path}; its name is part of the path of others`);
  }

  /** The path of a synced file beside `path`; nothing is left where it fails. */
  async #writeDraft(path: string, bytes: Uint8Array, signal: AbortSignal): Promise<string> {
    const draft = `${path}${draftMark}${randomUUID()}`;
    try {
      const file = await this.#openDraft(draft);
      try {
        await file.writeFile(bytes, { signal });
        await this.#files.sync(file);
      } finally {
        await file.close();
      }
      signal.throwIfAborted();
      return draft;
    } catch (error) {
      await unlink(draft).catch(() => undefined);
      signal.throwIfAborted();
      throw files.folderError(`write ${path}`, error);
    }
  }

  async #openDraft(draft: string): ReturnType<typeof open> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await open(draft, 'wx', files.fileMode);
      } catch (error) {
        if (files.errorCode(error) !== 'ENOENT') throw error;
        if (attempt === limits.repositoryFolderAttempts) throw error;
      }
      await this.#makeFolders(dirname(draft));
    }
  }

  /** Below the root only: a volume that is not mounted any more is not to be filled beside it. */
  async #makeFolders(path: string): Promise<void> {
    if (path === this.location) return this.#none();
    if (await files.makeFolder(path, this.#files)) return;
    await this.#makeFolders(dirname(path));
    await files.makeFolder(path, this.#files);
  }

  async #syncFolderOf(path: string): Promise<void> {
    try {
      await this.#files.syncFolder(dirname(path));
    } catch (error) {
      throw files.unsyncedError(`write ${path}`, error);
    }
  }

  /** After something was removed from the folder: it goes as well where it is empty, and so do those above it. */
  async #leave(folder: string): Promise<void> {
    try {
      await this.#files.syncFolder(folder);
    } catch (error) {
      if (!files.isAbsent(error)) throw files.folderError(`remove from ${folder}`, error);
    }
    for (let at = folder; at !== this.location; at = dirname(at)) {
      try {
        await rmdir(at);
      } catch (error) {
        // Most often it is not empty; what else it may be is nothing to fail for.
        if (files.errorCode(error) !== 'ENOENT') return;
      }
    }
  }

  async *#walk(folder: string, prefix: string, call: RepositoryCall | undefined): AsyncGenerator<ObjectInfo> {
    for (const { name, info } of await this.#calls.run(call, (signal) => this.#look(folder, prefix, signal))) {
      if (info === undefined) yield* this.#walk(`${name}/`, prefix, call);
      else yield info;
    }
  }

  /** What is in a folder (`a/b/`, or empty for all) and may match, in order of names. */
  async #look(folder: string, prefix: string, signal: AbortSignal): Promise<Found[]> {
    const path = join(this.location, folder);
    try {
      const entries = await readdir(path, { withFileTypes: true });
      const found = await inParallel(entries, statsAtOnce, async (entry): Promise<Found | undefined> => {
        signal.throwIfAborted();
        const name = `${folder}${entry.name}`;
        if (entry.name.includes(draftMark)) return this.#removeLeftover(join(path, entry.name));
        if (!isObjectName(name)) return undefined;
        if (entry.isDirectory()) {
          const below = `${name}/`;
          return below.startsWith(prefix) || prefix.startsWith(below) ? { name, info: undefined } : undefined;
        }
        if (!name.startsWith(prefix)) return undefined;
        const info = await infoOf(name, join(path, entry.name));
        return info && { name, info };
      });
      // A folder's objects come where its name with a slash does: `a-b` before `a/b`, as byte order of names has it.
      const orderOf = ({ name, info }: Found): string => (info === undefined ? `${name}/` : name);
      return found.filter((one) => one !== undefined).toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    } catch (error) {
      signal.throwIfAborted();
      if (!files.isAbsent(error)) throw files.readError(`list ${path}`, error);
      await this.#none();
      return [];
    }
  }

  async #removeLeftover(path: string): Promise<undefined> {
    const found = await files.statOf(path);
    if (found === undefined || this.#nowMs() - Number(found.mtimeMs) < limits.repositoryLeftoverMs) return;
    await unlink(path).catch(() => undefined);
  }
}

async function infoOf(name: string, path: string): Promise<ObjectInfo | undefined> {
  const found = await files.statOf(path);
  if (found === undefined || !found.isFile()) return undefined;
  return { name, sizeBytes: Number(found.size), modifiedAtMs: Math.floor(Number(found.mtimeMs)) };
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = [await files.statOf(a), await files.statOf(b)];
  return one !== undefined && other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

function tooLarge(path: string, bytes: number): StateStoreError {
  return new StateStoreError(
    'data_corrupt',
    `${path} has ${bytes} bytes; an object may have ${limits.repositoryObjectBytesMax}`,
  );
}
