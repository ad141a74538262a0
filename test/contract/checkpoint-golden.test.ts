// A checkpoint of each format that was ever written, as bytes: whatever changes later, it is restored as it was.
// Each is a base and a layer, with every kind of record; what it must come to stands in it. checkpoint-format-1.json: the
// layer has everything but entries whole; checkpoint-format-1-compared.json: it has what differs from the base.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decodeCheckpointManifest,
  manifestName,
  MemoryRepository,
  readPartitionManifest,
  restorePartition,
  restoreSlots,
} from '@statestore/checkpoint';
import { expect, test } from 'vitest';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { dump } from '../sim/sorted-map.ts';
import { signal } from './checkpoint-states.ts';

interface Golden {
  readonly format: number;
  readonly cluster: string;
  readonly checkpoint: string;
  readonly partition: number;
  readonly position: string;
  readonly entries: number;
  readonly records: number;
  /** Of all records as text. */
  readonly sha256: string;
  /** By name, in base64. */
  readonly objects: Readonly<Record<string, string>>;
}

function read(name: string): { golden: Golden; repository: MemoryRepository } {
  const path = join(import.meta.dirname, `checkpoint-format-${name}.json`);
  const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden;
  const repository = new MemoryRepository();
  for (const [name, text] of Object.entries(golden.objects))
    repository.objects.set(name, { bytes: Uint8Array.from(Buffer.from(text, 'base64')), modifiedAtMs: 0 });
  return { golden, repository };
}

test.each(['1', '1-compared'])(
  'a checkpoint of format %s is restored into either engine, and into other slots',
  async (name) => {
    const { golden, repository } = read(name);
    const { checkpoint, cluster, format } = golden;
    const manifest = decodeCheckpointManifest(checkpoint, (await repository.get(manifestName(checkpoint)))!, {
      cluster,
    });
    expect(manifest).toMatchObject({ format, id: checkpoint, cluster });
    const partition = await readPartitionManifest(repository, manifest, manifest.partitions[0]!, { signal });
    expect(partition.layers).toHaveLength(2);
    const dir = await mkdtemp(join(tmpdir(), 'statestore-golden-'));
    const lmdb = await LmdbEngine.open(dir);
    try {
      for (const target of [lmdb, new MemoryEngine()]) {
        const restored = await restorePartition({ repository, manifest: partition, target, signal });
        expect(restored).toMatchObject({ position: BigInt(golden.position), entries: golden.entries });
        const records = dump(target);
        expect(records).toHaveLength(golden.records);
        expect(createHash('sha256').update(records.join('\n')).digest('hex')).toBe(golden.sha256);
      }
    } finally {
      await lmdb.close();
      await rm(dir, { recursive: true, force: true });
    }
    const halves = [0, 2048].map((start) => ({ start, end: start + 2048 }));
    const counts = await Promise.all(
      halves.map((half) =>
        restoreSlots({ repository, manifests: [partition], slots: [half], target: new MemoryEngine(), signal }),
      ),
    );
    expect(counts.reduce((sum, { entries }) => sum + entries, 0)).toBe(golden.entries);
  },
);
