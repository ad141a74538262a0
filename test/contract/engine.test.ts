// The contract of engines, run for each of them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../services/node/src/engine/engine.ts';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import type { EngineHome } from './engine-contract.ts';
import { engineContract } from './engine-contract.ts';

async function home(open: (dir: string) => Promise<Engine>): Promise<EngineHome> {
  const dir = await mkdtemp(join(tmpdir(), 'statestore-engine-'));
  return { open: () => open(dir), remove: () => rm(dir, { recursive: true, force: true }) };
}

engineContract('memory engine', () => home((dir) => openEngine('memory', dir)));
engineContract('lmdb engine', () => home((dir) => openEngine('lmdb', dir)));
// Opens its file anew whenever it may: what otherwise happens only where a lot of memory is mapped.
engineContract('lmdb engine that lets go of its map at every chance', () =>
  home((dir) => LmdbEngine.open(dir, { isDue: () => true })),
);
