// The one place that knows all engines.
import type { Engine, EngineKind } from './engine.ts';
import { LmdbEngine } from './lmdb-engine.ts';
import { MemoryEngine } from './memory-engine.ts';

/** `dir`: the partition's folder; the memory engine leaves it alone. */
export async function openEngine(kind: EngineKind, dir: string): Promise<Engine> {
  switch (kind) {
    case 'lmdb':
      return LmdbEngine.open(dir);
    case 'memory':
      return new MemoryEngine();
  }
}
