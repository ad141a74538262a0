// The topology as this node saw it last, kept in its data folder. Nobody works by it: it is there for the case
// that the cluster's store of it was lost, and then tells those who restore it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeTopology, encodeTopology } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { isSameTopology } from '@statestore/core';
import { replaceFile } from '../durable-files.ts';
import type { OnNotice } from './node-options.ts';

export class LastTopology {
  readonly #path: string;
  readonly #onNotice: OnNotice;
  #topology: Topology | undefined;
  #writing: Promise<void> | undefined;
  #written: Topology | undefined;

  private constructor(path: string, onNotice: OnNotice) {
    this.#path = path;
    this.#onNotice = onNotice;
  }

  /** One that cannot be read is told of and counts as none. */
  static async open(dataPath: string, onNotice: OnNotice): Promise<LastTopology> {
    const last = new LastTopology(join(dataPath, 'topology.json'), onNotice);
    try {
      last.#topology = decodeTopology(await readFile(last.#path));
      last.#written = last.#topology;
    } catch (error) {
      const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!absent) onNotice('the last topology cannot be read', { path: last.#path, error: String(error) });
    }
    return last;
  }

  get topology(): Topology | undefined {
    return this.#topology;
  }

  /** Writes it soon; the newest one where several come at once. */
  saw(topology: Topology): void {
    this.#topology = topology;
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    while (this.#topology !== undefined && !isSameTopology(this.#topology, this.#written)) {
      const topology = this.#topology;
      this.#written = topology;
      try {
        await replaceFile(this.#path, new TextDecoder().decode(encodeTopology(topology)));
      } catch (error) {
        this.#onNotice('the last topology cannot be written', { path: this.#path, error: String(error) });
      }
    }
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    await this.#writing;
  }
}
