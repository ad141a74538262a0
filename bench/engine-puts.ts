// Commits of the LMDB engine beside the same transactions of raw lmdb-js, with the same settings for
// syncing, each waited for until it is on disk. Keys are random over 100,000, so pages are split and shared.
import { join } from 'node:path';
import { open } from 'lmdb';
import { openEngine } from '../services/node/src/engine/open-engine.ts';
import type { BenchOptions, Row } from './bench.ts';
import { benchKey } from './fill.ts';
import { compareSubjects } from './in-process.ts';

const keys = 100_000;
const value = new Uint8Array(128).fill(118);

function someWrites(count: number): Map<string, Uint8Array> {
  const writes = new Map<string, Uint8Array>();
  while (writes.size < count) writes.set(benchKey(Math.floor(Math.random() * keys)), value);
  return writes;
}

export async function lmdbPuts(options: BenchOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const size of [100, 1000, 10_000]) {
    const engine = await openEngine('lmdb', join(options.folder, `engine-puts-${size}`));
    const raw = open<Uint8Array, string>({
      path: join(options.folder, `raw-puts-${size}`),
      encoding: 'binary',
      safeRestore: true,
      overlappingSync: true,
      eventTurnBatching: false,
      commitDelay: 0,
    } as Parameters<typeof open>[0]);
    let position = 0n;
    const named = size.toLocaleString('en-US');
    try {
      const some = await compareSubjects(options, 'batched puts, synced', [
        {
          name: `raw lmdb-js, ${named} a transaction`,
          block: size,
          async work(operations) {
            const writes = someWrites(operations);
            await raw.batch(() => {
              for (const [key, bytes] of writes) void raw.put(key, bytes);
            });
            await raw.flushed;
          },
        },
        {
          name: `LMDB engine, ${named} a commit`,
          block: size,
          work: (operations) => engine.commit(someWrites(operations), ++position),
        },
      ]);
      rows.push(...some);
    } finally {
      await engine.close();
      await raw.close();
    }
  }
  return rows;
}
