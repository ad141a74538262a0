// Engines that checkpoints are restored into and that are thrown away then: to see whether it can be, or because what is wanted
// is made of them.
import { rm } from 'node:fs/promises';
import type { StateRecord } from '@statestore/checkpoint';
import type { Acceptance } from '../engine/engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import type { ScratchEngine } from './restore-world.ts';
import { makeScratchFolder } from './scratch-folder.ts';

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

/** For a state of a partition, in a folder of its own within `path`. */
export async function openScratchState(path: string): Promise<ScratchEngine> {
  const folder = await makeScratchFolder(path);
  try {
    const engine = await openEngine('lmdb', folder.path);
    const dispose = async (): Promise<void> => {
      try {
        await engine.close();
      } finally {
        await folder.dispose();
      }
    };
    return { engine, dispose };
  } catch (error) {
    await folder.dispose();
    throw error;
  }
}
