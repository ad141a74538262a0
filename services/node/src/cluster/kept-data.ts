// What data of replicas this node keeps aside until a person removes them: looked for in the folder again and
// again, since a person may do that at any time.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptReport } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Time } from '../time.ts';
import { Repeated } from './repeated.ts';
import { keptName, partitionFolders, ReplicaFolder } from './replica-folder.ts';

/** Rejects where the folder cannot be read. */
export async function findKept(dataPath: string): Promise<readonly KeptReport[]> {
  const found: KeptReport[] = [];
  for (const partition of await partitionFolders(dataPath)) {
    const folder = join('partitions', String(partition));
    for (const { number, kept } of await new ReplicaFolder(join(dataPath, folder)).asides()) {
      const path = join(folder, `aside-${number}`);
      if (kept)
        found.push({
          partition,
          path,
          why: await whyIn(join(dataPath, path)),
          bytes: await sizeOf(join(dataPath, path)),
        });
    }
  }
  return found;
}

/** Whatever is wrong with the file: the data are kept all the same. */
async function whyIn(path: string): Promise<string> {
  try {
    const { why } = JSON.parse(await readFile(join(path, keptName), 'utf8')) as { readonly why?: unknown };
    return typeof why === 'string' ? why : '';
  } catch {
    return '';
  }
}

/** Bytes on disk. What goes meanwhile counts for nothing. */
async function sizeOf(path: string): Promise<number> {
  const names = await readdir(path, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(path, name)).then(
        (file) => (file.isFile() ? file.blocks * 512 : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

export class KeptData {
  readonly #dataPath: string;
  readonly #onFailed: (error: unknown) => void;
  readonly #looking: Repeated;
  #found: readonly KeptReport[] = [];

  constructor(dataPath: string, time: Time, onFailed: (error: unknown) => void) {
    this.#dataPath = dataPath;
    this.#onFailed = onFailed;
    this.#looking = new Repeated(time, limits.keptLookMs, () => this.#look());
    void this.#look();
  }

  /** As of a moment ago. */
  get found(): readonly KeptReport[] {
    return this.#found;
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    try {
      this.#found = await findKept(this.#dataPath);
    } catch (error) {
      this.#onFailed(error);
    }
  }

  close(): void {
    this.#looking.close();
  }
}
