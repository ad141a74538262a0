// What is read from a checkpoint is what was written: after any commands, full or as a chain of layers, into
// either engine; and a replica that was restored goes on as the one that was checkpointed.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { LayerPlan } from '@statestore/checkpoint';
import {
  decodePartitionManifest,
  MemoryRepository,
  partitionManifestName,
  readPartition,
  restorePartition,
  writePartition,
} from '@statestore/checkpoint';
import { hashToHex, limits } from '@statestore/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { command, steps } from './arbitrary-commands.ts';
import { logOf, Replica } from './replica.ts';
import { dump, SortedMap } from './sorted-map.ts';

let dir = '';
let lmdb: LmdbEngine;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'statestore-checkpoints-'));
  lmdb = await LmdbEngine.open(dir);
});
afterAll(async () => {
  await lmdb.close();
  await rm(dir, { recursive: true, force: true });
});

const { signal } = new AbortController();
const place = { cluster: 'c', partition: 3, slots: [{ start: 0, end: 4096 }], generation: 1, signal };

interface Written {
  readonly manifest: PartitionManifest;
  readonly plan: LayerPlan;
}

async function write(
  repository: MemoryRepository,
  { records }: Replica,
  previous: PartitionManifest | undefined,
  options: {
    readonly mode: 'auto' | 'full' | 'layer';
    readonly targetBytes: number;
    readonly compareFromBytes: number;
  },
): Promise<Written> {
  const { mode, targetBytes, compareFromBytes } = options;
  const checkpointId = randomUUID();
  const cut = { targetBytes, maxBytes: targetBytes * 4 };
  const how = { previous, mode, cut, compareFromBytes };
  const written = await writePartition({ ...place, reader: records, repository, checkpointId, ...how });
  // As it is read again later: from its bytes.
  const bytes = await repository.get(partitionManifestName(checkpointId, place.partition));
  return { manifest: decodePartitionManifest(checkpointId, place.partition, bytes!), plan: written.plan };
}

async function recordsOf(repository: MemoryRepository, manifest: PartitionManifest): Promise<SortedMap> {
  const read: [string, Uint8Array][] = [];
  let last: string | undefined;
  for await (const { key, value } of readPartition({ repository, manifest, signal })) {
    expect(last === undefined || last < key).toBe(true);
    last = key;
    read.push([key, value]);
  }
  return new SortedMap(read);
}

const modes = fc.constantFrom('auto' as const, 'full' as const, 'layer' as const, 'layer' as const);
/** `batches`: applied since the checkpoint before. */
const points = fc.array(fc.record({ batches: fc.integer({ min: 0, max: 8 }), mode: modes }), {
  minLength: 1,
  maxLength: 6,
  size: 'max',
});
const sizes = fc.record({
  targetBytes: fc.constantFrom(16, 200, 1_000_000),
  compareFromBytes: fc.constantFrom(0, 300, limits.checkpointCompareFromBytes),
});

describe('a checkpoint', () => {
  test('is what was checkpointed, however it was built upon those before, and goes on alike', async () => {
    const kinds = new Map<string, number>();
    // Change records are dropped seldom: layers need them.
    const changesKept = fc.oneof(
      { weight: 8, arbitrary: fc.constant(1e9) },
      { weight: 1, arbitrary: fc.constant(100) },
    );
    await fc.assert(
      fc.asyncProperty(steps(command(changesKept)), points, sizes, async (some, points, size) => {
        const log = logOf(some);
        const repository = new MemoryRepository();
        const source = new Replica();
        let at = 0;
        let last: Written | undefined;
        for (const { batches, mode } of points) {
          const until = Math.min(at + batches, log.length);
          for (; at < until; at++) source.apply(log[at]!);
          last = await write(repository, source, last?.manifest, { mode, ...size });
          const kind = last.plan.kind === 'full' ? last.plan.why.replaceAll(/\d+/g, 'n') : last.plan.kind;
          kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
          expect(dump(await recordsOf(repository, last.manifest))).toEqual(dump(source.records));
        }
        const { manifest } = last!;
        const { position, chain, stateHash } = source.state;
        const memory = new MemoryEngine();
        for (const target of [memory, lmdb]) {
          const restored = await restorePartition({ repository, manifest, target, signal });
          expect(restored).toMatchObject({ position, chain: hashToHex(chain), stateHash: hashToHex(stateHash) });
          expect(dump(target)).toEqual(dump(source.records));
        }
        const replica = new Replica(new SortedMap([...memory.range({})].map(({ key, value }) => [key, value])));
        for (const record of log.slice(at)) {
          source.apply(record);
          replica.apply(record);
        }
        expect(replica.fingerprint()).toEqual(source.fingerprint());
      }),
      { numRuns: 150 },
    );
    // Both ways were taken often.
    expect(kinds.get('layer')).toBeGreaterThan(60);
    expect(kinds.get('same')).toBeGreaterThan(10);
    expect(kinds.get('it was asked for')).toBeGreaterThan(50);
  });
});
