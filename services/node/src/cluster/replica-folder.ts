// The folder of one replica. Data is replaced as a whole and never half: a copy is made beside it, the old
// one is moved aside, the new one takes its place; a crash in between is finished at the next opening.
//
//   data/        the engine's folder in force; may hold condemned.json, and prepared.json: it was built for a
//                partition that is to be split off
//   building/    a copy under way, worth nothing until it holds complete.json
//   aside-N/     data that was replaced or must not be used; the greater N, the newer. kept.json in it: only
//                a person may remove it
//   leaving/     data on its way out
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { limits, StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import { makeDurably, replaceFile } from '../durable-files.ts';
import { syncDirectory } from '../log/segment-files.ts';

/** Why data may not be served any more. Survives the process: a restart makes nothing right. */
export interface Condemned {
  readonly cause: HaltCause;
  readonly why: string;
  /** Nobody could say that they are wrong: they are set aside and only a person may remove them. */
  readonly kept?: boolean;
}

/** Of data that were built for a partition that is not there yet: worth nothing unless it comes to be. */
export interface Prepared {
  /** UUID of the reshape. */
  readonly reshape: string;
  /** What they are, of no log: the one that carries them on names them so. */
  readonly incarnation: string;
  /** The log that is to carry them on: followed already, perhaps, by nobody else yet. */
  readonly log: string;
  readonly position: string;
  /** 32 hexadecimal digits. */
  readonly chain: string;
}

const asideName = /^aside-(\d+)$/;
/** In a folder that was set aside: why it is kept. */
export const keptName = 'kept.json';

export class ReplicaFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Where the engine in force keeps its files. */
  get dataPath(): string {
    return join(this.path, 'data');
  }

  get #buildingPath(): string {
    return join(this.path, 'building');
  }

  get #leavingPath(): string {
    return join(this.path, 'leaving');
  }

  /** Puts a complete copy in force whose exchange a crash interrupted. Nothing of the replica may be open. */
  async finishInterrupted(): Promise<void> {
    if (this.hasData() || !existsSync(join(this.#buildingPath, completeName))) return;
    await this.#move(this.#buildingPath, this.dataPath);
  }

  /** Makes the folder, finishes what a crash interrupted. To be called before anything is opened in it. */
  async open(): Promise<void> {
    await makeDurably(this.path);
    await this.finishInterrupted();
    await rm(this.#buildingPath, { recursive: true, force: true });
    await rm(this.#leavingPath, { recursive: true, force: true });
    await makeDurably(this.dataPath);
    await rm(join(this.dataPath, completeName), { force: true });
    // They were about to be moved aside, and are in force.
    await rm(join(this.dataPath, keptName), { force: true });
  }

  /** Whether data are in force: not before finishInterrupted, where a copy was about to take their place. */
  hasData(): boolean {
    return existsSync(this.dataPath);
  }

  async condemned(): Promise<Condemned | undefined> {
    return readJson<Condemned>(join(this.dataPath, condemnedName));
  }

  async condemn(condemned: Condemned): Promise<void> {
    await writeJson(join(this.dataPath, condemnedName), condemned);
  }

  /** As it was noted with the data: who follows a log since then is nothing of the kind any more. */
  async prepared(): Promise<Prepared | undefined> {
    return readJson<Prepared>(join(this.dataPath, preparedName));
  }

  /** The partition is there: from now on they are what it is. */
  async forgetPrepared(): Promise<void> {
    await rm(join(this.dataPath, preparedName), { force: true });
  }

  /** With what is being built. */
  async notePrepared(prepared: Prepared): Promise<void> {
    await writeJson(join(this.#buildingPath, preparedName), prepared);
  }

  /** An empty folder for a copy. */
  async startBuilding(): Promise<string> {
    await rm(this.#buildingPath, { recursive: true, force: true });
    await makeDurably(this.#buildingPath);
    return this.#buildingPath;
  }

  /** The copy takes the place of the data, which are moved aside, as by `setAside`. Neither may be open. */
  async finishBuilding(kept?: string): Promise<void> {
    await writeJson(join(this.#buildingPath, completeName), {});
    await this.setAside(kept);
    await this.#move(this.#buildingPath, this.dataPath);
    await rm(join(this.dataPath, completeName), { force: true });
  }

  async abandonBuilding(): Promise<void> {
    await rm(this.#buildingPath, { recursive: true, force: true });
  }

  /** Moves the data out of the way. `kept`: why nobody but a person may remove them. Throws as checkRoomForKept. */
  async setAside(kept?: string): Promise<void> {
    if (!this.hasData()) return;
    if (kept === undefined) await this.#makeRoomAside();
    else await this.checkRoomForKept();
    const numbers = (await this.asides()).map(({ number }) => number);
    if (kept !== undefined) await writeJson(join(this.dataPath, keptName), { why: kept });
    await this.#move(this.dataPath, join(this.path, `aside-${Math.max(0, ...numbers) + 1}`));
  }

  /** Throws `disk_full` where as many folders as there may be are kept: then somebody has to look first. */
  async checkRoomForKept(): Promise<void> {
    const kept = (await this.asides()).filter((aside) => aside.kept);
    if (kept.length < limits.asideFoldersMax) return;
    throw new StateStoreError('disk_full', `${this.path} holds ${kept.length} folders that were set aside and kept`, {
      hint: 'look at kept.json in each; remove those that nobody needs',
    });
  }

  async #makeRoomAside(): Promise<void> {
    const others = (await this.asides()).filter(({ kept }) => !kept);
    const [oldest] = others;
    if (oldest === undefined || others.length < limits.asideFoldersMax) return;
    await rm(join(this.path, `aside-${oldest.number}`), { recursive: true, force: true });
  }

  /** Oldest first. */
  async asides(): Promise<readonly { readonly number: number; readonly kept: boolean }[]> {
    const names = await unlessAbsent(readdir(this.path), []);
    return names
      .map((name) => Number(asideName.exec(name)?.[1] ?? 0))
      .filter((number) => number > 0)
      .toSorted((a, b) => a - b)
      .map((number) => ({ number, kept: existsSync(join(this.path, `aside-${number}`, keptName)) }));
  }

  /** A replica runs on new data: what it had before is not needed any more. */
  async removeAsides(): Promise<void> {
    for (const { number, kept } of await this.asides()) {
      if (!kept) await rm(join(this.path, `aside-${number}`), { recursive: true, force: true });
    }
  }

  /** The data go, for good; what was kept aside stays. */
  async remove(): Promise<void> {
    if (this.hasData()) await this.#move(this.dataPath, this.#leavingPath);
    await rm(this.#leavingPath, { recursive: true, force: true });
    await rm(this.#buildingPath, { recursive: true, force: true });
    await this.removeAsides();
    if ((await unlessAbsent(readdir(this.path), [])).length === 0)
      await rm(this.path, { recursive: true, force: true });
  }

  async #move(from: string, to: string): Promise<void> {
    await rename(from, to);
    await syncDirectory(this.path);
  }
}

const completeName = 'complete.json';
const condemnedName = 'condemned.json';
const preparedName = 'prepared.json';

/** Numbers of the partitions of which the data folder has anything. */
export async function partitionFolders(dataPath: string): Promise<readonly number[]> {
  const names = await unlessAbsent(readdir(join(dataPath, 'partitions')), []);
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

function writeJson(path: string, content: unknown): Promise<void> {
  return replaceFile(path, `${JSON.stringify(content, undefined, 2)}\n`);
}

/** Undefined where there is none. */
async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await unlessAbsent(readFile(path, 'utf8'), undefined);
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

async function unlessAbsent<T, D>(reading: Promise<T>, otherwise: D): Promise<T | D> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return otherwise;
    throw error;
  }
}
