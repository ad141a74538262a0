// From one engine to another with everything that the data folder holds. All partitions first, then the
// description, then the leftovers: a crash at any instant leaves either engine's data whole and in force.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataDirectory } from './data-directory.ts';
import type { Engine, EngineKind } from './engine/engine.ts';
import { openEngine } from './engine/open-engine.ts';
import { openLocalSnapshot, writeLocalSnapshot } from './local-snapshot.ts';

const snapshotName = 'snapshot';

export async function switchEngine(directory: DataDirectory, to: EngineKind): Promise<void> {
  const { description } = directory;
  if (description.engine === to) return;
  for (let number = 0; number < description.partitions; number++) {
    const path = directory.partitionPath(number);
    // Not in force: what an interrupted switch or removal left of it need not even be whole.
    if (to === 'lmdb') await rm(join(path, 'lmdb'), { recursive: true, force: true });
    const lmdb = await openEngine('lmdb', path);
    try {
      if (to === 'lmdb') await restoreSnapshot(path, lmdb);
      else await saveSnapshot(path, lmdb);
    } finally {
      await lmdb.close();
    }
  }
  await directory.describe({ ...description, engine: to });
}

/** Opens a partition's engine as the folder's description says, and removes what a switch left of the other. */
export async function openPartitionEngine(path: string, kind: EngineKind): Promise<Engine> {
  const engine = await openEngine(kind, path);
  try {
    if (!engine.durable) await restoreSnapshot(path, engine);
    // Only now: while the engine in force could not be opened, the other one's data may be the only copy.
    if (kind === 'lmdb') await rm(join(path, snapshotName), { force: true });
    else await rm(join(path, 'lmdb'), { recursive: true, force: true });
    return engine;
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function restoreSnapshot(path: string, engine: Engine): Promise<void> {
  const snapshot = await openLocalSnapshot(join(path, snapshotName));
  if (snapshot !== undefined) await engine.restore(snapshot.entries, snapshot.position);
  else if (engine.position > 0n) await engine.clear();
}

/** Resolves with the position that a start would begin from. */
export async function saveSnapshot(path: string, engine: Engine): Promise<bigint> {
  const snapshot = engine.snapshot();
  try {
    await writeLocalSnapshot(join(path, snapshotName), snapshot);
    return snapshot.position;
  } finally {
    snapshot.close();
  }
}
