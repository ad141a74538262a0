// A replica that was copied is the replica: after any commands, however its parts were cut, into either engine,
// and it goes on from there as the one that it was copied from.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashToHex } from '@statestore/core';
import type { StatePart } from '@statestore/link';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { copyFromPeer } from '../../services/node/src/copy/copy-from-peer.ts';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { command, steps } from './arbitrary-commands.ts';
import { logOf, Replica } from './replica.ts';
import { dump, SortedMap } from './sorted-map.ts';

let dir = '';
let lmdb: LmdbEngine;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'statestore-copies-'));
  lmdb = await LmdbEngine.open(dir);
});
afterAll(async () => {
  await lmdb.close();
  await rm(dir, { recursive: true, force: true });
});

/** `sizes`: of the parts, again and again. */
async function* partsOf({ state, records }: Replica, sizes: readonly number[]): AsyncGenerator<StatePart, void> {
  const { position } = state;
  const all = [...records.range({})];
  for (let at = 0, cut = 0; at < all.length; cut++) {
    const size = sizes[cut % sizes.length]!;
    yield { position, records: all.slice(at, at + size) };
    at += size;
  }
  yield { position, records: [], total: all.length };
}

test('a copy is what it was copied from, and goes on alike', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 });
  const { signal } = new AbortController();
  await fc.assert(
    fc.asyncProperty(steps(command()), sizes, fc.double({ min: 0, max: 1, noNaN: true }), async (some, cuts, share) => {
      const log = logOf(some);
      const copiedAt = Math.floor(share * log.length);
      const source = new Replica();
      for (const record of log.slice(0, copiedAt)) source.apply(record);
      const { position, chain, stateHash } = source.state;
      const engine = new MemoryEngine();
      for (const target of [engine, lmdb]) {
        const copied = await copyFromPeer({ source: partsOf(source, cuts), engine: target, signal });
        expect(copied).toMatchObject({ position, chain: hashToHex(chain), stateHash: hashToHex(stateHash) });
        expect(dump(target)).toEqual(dump(source.records));
      }
      const records = new SortedMap();
      records.write(new Map([...engine.range({})].map(({ key, value }) => [key, value])));
      const replica = new Replica(records);
      for (const record of log.slice(copiedAt)) {
        source.apply(record);
        replica.apply(record);
      }
      expect(replica.fingerprint()).toEqual(source.fingerprint());
    }),
    { numRuns: 100 },
  );
});
