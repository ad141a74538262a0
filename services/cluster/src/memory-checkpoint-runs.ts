// Runs of checkpoints in the memory of one process: for a node that has its gateway in itself, and for tests. It
// keeps text, as the bucket does, so that what could not be stored cannot be kept here either.
import { decodeCatalog, decodeRun, encodeCatalog, encodeRun } from './checkpoint-run-codec.ts';
import type { CheckpointCatalog, CheckpointRun, CheckpointRuns, Kept, Replaced } from './checkpoint-runs.ts';

interface Stored {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

export class MemoryCheckpointRuns implements CheckpointRuns {
  #run: Stored | undefined;
  #catalog: Stored | undefined;
  #revision = 0;

  async run(): Promise<Kept<CheckpointRun> | undefined> {
    return this.#run && { document: decodeRun(this.#run.bytes), revision: this.#run.revision };
  }

  async replaceRun(run: CheckpointRun, revision: number): Promise<Replaced> {
    if ((this.#run?.revision ?? 0) !== revision) return { outcome: 'conflict' };
    this.#run = this.#stored(encodeRun(run));
    return { outcome: 'replaced', revision: this.#run.revision };
  }

  async catalog(): Promise<Kept<CheckpointCatalog> | undefined> {
    return this.#catalog && { document: decodeCatalog(this.#catalog.bytes), revision: this.#catalog.revision };
  }

  async replaceCatalog(catalog: CheckpointCatalog, revision: number): Promise<Replaced> {
    if ((this.#catalog?.revision ?? 0) !== revision) return { outcome: 'conflict' };
    this.#catalog = this.#stored(encodeCatalog(catalog));
    return { outcome: 'replaced', revision: this.#catalog.revision };
  }

  /** As where the bucket was lost. */
  lose(): void {
    this.#run = undefined;
    this.#catalog = undefined;
  }

  #stored(bytes: Uint8Array): Stored {
    return { bytes, revision: ++this.#revision };
  }
}
