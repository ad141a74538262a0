// An engine that a checkpoint is restored into to see whether it can be, and that is thrown away then.
import { rm } from 'node:fs/promises';
import type { StateRecord } from '@statestore/checkpoint';
import type { Acceptance } from '../engine/engine.ts';
import { openEngine } from '../engine/open-engine.ts';

export interface OpenScratchEngine {
  restore(parts: AsyncIterable<readonly StateRecord[]>, position: bigint, accept: Acceptance): Promise<void>;
  /** Closes it and removes what it took. */
  dispose(): Promise<void>;
}

/** On disk, so that a partition larger than the memory can be tried as well. */
export async function openScratchEngine(path: string): Promise<OpenScratchEngine> {
  const engine = await openEngine('lmdb', path);
  return {
    restore: (parts, position, accept) => engine.restore(parts, position, accept),
    async dispose() {
      await engine.close();
      await rm(path, { recursive: true, force: true });
    },
  };
}
