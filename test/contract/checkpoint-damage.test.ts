// Whatever happens to an object of a checkpoint, a restore refuses it by name, and leaves the engine as it was.
import { create } from '@bufbuild/protobuf';
import type { CheckpointManifest, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  CheckpointManifestSchema,
  CheckpointTombstoneSchema,
  PartitionManifestSchema,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  decodeCheckpointManifest,
  decodePartitionManifest,
  encodeCheckpointManifest,
  manifestName,
  MemoryRepository,
  partitionManifestName,
  readPartitionManifest,
  restorePartition,
  seal,
} from '@statestore/checkpoint';
import { beforeAll, describe, expect, test } from 'vitest';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { dump } from '../sim/sorted-map.ts';
import { checkpointOf, cluster, laterCommands, manifestOf, signal, States } from './checkpoint-states.ts';

const first = '01970000-0000-7000-8000-000000000001';
const second = '01970000-0000-7000-8000-000000000002';
const states = new States();
let whole: MemoryRepository;
let restoredRecords: string[];
let clusterManifest: CheckpointManifest;

beforeAll(async () => {
  whole = new MemoryRepository();
  const base = await checkpointOf(states, whole, first);
  states.apply(laterCommands());
  const written = await checkpointOf(states, whole, second, { previous: base.manifest, mode: 'layer' });
  expect(written.plan.kind).toBe('layer');
  restoredRecords = dump(states.replica.records);
  clusterManifest = create(CheckpointManifestSchema, {
    format: 1,
    id: second,
    cluster,
    startedAtMs: 5n,
    completedAtMs: 6n,
    partitions: [written.summary],
    previous: first,
  });
});

function copied(): MemoryRepository {
  const repository = new MemoryRepository();
  for (const [name, object] of whole.objects) repository.objects.set(name, object);
  return repository;
}

function put(repository: MemoryRepository, name: string, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) repository.objects.delete(name);
  else repository.objects.set(name, { bytes, modifiedAtMs: 0 });
}

/** As a restore goes about it: from what the cluster's manifest says of the partition. */
async function restore(repository: MemoryRepository, target: MemoryEngine): Promise<void> {
  const manifest = await readPartitionManifest(repository, clusterManifest, clusterManifest.partitions[0]!, { signal });
  await restorePartition({ repository, manifest, target, signal });
}

async function expectRefused(name: string, bytes: Uint8Array | undefined, what: string | RegExp = ''): Promise<void> {
  const repository = copied();
  put(repository, name, bytes);
  const target = new MemoryEngine();
  await target.put('before', new Uint8Array([1]));
  const error = await restore(repository, target).then(
    () => undefined,
    (caught: unknown) => caught as { code: string; message: string },
  );
  expect(error, `${name} ${what}`).toMatchObject({ code: 'data_corrupt' });
  expect(error!.message.startsWith(`${name}: `), error!.message).toBe(true);
  expect(error!.message).toMatch(what);
  expect(dump(target)).toEqual([`${Buffer.from('before').toString('hex')}=01`]);
}

function objectNames(): string[] {
  const names = [...whole.objects.keys()];
  return [...names.filter((name) => name.startsWith('blocks/')), partitionManifestName(second, 3)];
}

function bytesOf(name: string): Uint8Array {
  return whole.objects.get(name)!.bytes;
}

/** Objects that the second checkpoint's restore reads. */
async function readNames(): Promise<string[]> {
  const { layers } = await manifestOf(whole, second);
  const blocks = layers.flatMap((layer) =>
    layer.blocks.map(({ owner, sha256 }) => `blocks/${owner}/${Buffer.from(sha256).toString('hex')}`),
  );
  return [...new Set(blocks), partitionManifestName(second, 3)];
}

describe('a checkpoint that is whole', () => {
  test('is restored, entry for entry', async () => {
    const target = new MemoryEngine();
    await restore(whole, target);
    expect(dump(target)).toEqual(restoredRecords);
    expect((await readNames()).length).toBeGreaterThan(6);
  });
});

describe('a damaged object is refused by name', () => {
  test('each flipped byte of each object', async () => {
    for (const name of await readNames()) {
      const bytes = bytesOf(name);
      // Every byte of small ones; of larger ones the ends and some in between.
      const step = Math.max(1, Math.floor(bytes.length / 120));
      for (let at = 0; at < bytes.length; at += step) {
        const flipped = Uint8Array.from(bytes);
        flipped[at]! ^= 1 << (at % 8);
        await expectRefused(name, flipped);
      }
    }
  });

  test('each truncation, and what is too long', async () => {
    for (const name of await readNames()) {
      const bytes = bytesOf(name);
      const step = Math.max(1, Math.floor(bytes.length / 40));
      for (let length = 0; length < bytes.length; length += step) await expectRefused(name, bytes.slice(0, length));
      await expectRefused(name, Buffer.concat([bytes, new Uint8Array(1)]));
    }
  });

  test('one that is missing', async () => {
    for (const name of await readNames()) await expectRefused(name, undefined, 'it is missing');
  });

  test('one that stands in another one’s place', async () => {
    const names = await readNames();
    for (const [at, name] of names.entries()) await expectRefused(name, bytesOf(names[(at + 1) % names.length]!));
    expect(objectNames().length).toBeGreaterThanOrEqual(names.length);
  });

  test("another checkpoint's, partition's or cluster's manifest", async () => {
    const name = partitionManifestName(second, 3);
    await expectRefused(name, bytesOf(partitionManifestName(first, 3)), /belongs to checkpoint/);
    const other = new MemoryRepository();
    await checkpointOf(states, other, second, { partition: 4 });
    await expectRefused(name, other.objects.get(partitionManifestName(second, 4))!.bytes, /of partition 4/);
    await checkpointOf(states, other, second, { cluster: 'blue' });
    await expectRefused(name, other.objects.get(name)!.bytes, /cluster "blue", not of "green"/);
    const again = new MemoryRepository();
    await checkpointOf(states, again, second, { generation: 2 });
    await expectRefused(name, again.objects.get(name)!.bytes, /not the one that checkpoints\/.* names/);
  });

  test('one of a newer format', async () => {
    const manifest = await manifestOf(whole, second);
    const newer = seal(PartitionManifestSchema, { ...manifest, format: 2 });
    expect(() => decodePartitionManifest(second, 3, newer)).toThrow(
      expect.objectContaining({ code: 'data_format', message: expect.stringContaining('format 2') as string }),
    );
    const newest = encodeCheckpointManifest({ ...clusterManifest, format: 7 });
    expect(() => decodeCheckpointManifest(second, newest)).toThrow(expect.objectContaining({ code: 'data_format' }));
    const none = seal(CheckpointTombstoneSchema, create(CheckpointTombstoneSchema, { id: second }));
    expect(() => decodeCheckpointManifest(second, none)).toThrow(expect.objectContaining({ code: 'data_corrupt' }));
  });
});

describe('a manifest that is whole and wrong', () => {
  type Change = (manifest: PartitionManifest) => void;
  const lies: Readonly<Record<string, Change>> = {
    'a position': ({ summary }) => void summary!.position--,
    'a clock': ({ summary }) => void summary!.clockNanos++,
    'a revision': ({ summary }) => void summary!.revision++,
    'a number of entries': ({ summary }) => void summary!.entries++,
    'a size': ({ summary }) => void summary!.bytes++,
    'a chain': ({ summary }) => void (summary!.chain[0]! ^= 1),
    'a state hash': ({ summary }) => void (summary!.stateHash[15]! ^= 1),
    'a layer that is missing': ({ layers }) => void layers.pop(),
    'the base that is missing': ({ layers }) => void layers.shift(),
    'layers in another order': (manifest) => void (manifest.layers = manifest.layers.toReversed()),
    'a block that is missing': ({ layers }) => {
      layers[0]!.records -= layers[0]!.blocks.pop()!.records;
    },
    'a block of the newer layer that is missing': ({ layers }) => {
      layers[1]!.records -= layers[1]!.blocks.pop()!.records;
    },
    'nothing that is replaced': ({ layers }) => void (layers[1]!.replaces = []),
    'a number of records': ({ layers }) => void layers[0]!.records++,
    'blocks in another order': ({ layers }) => void (layers[0]!.blocks = layers[0]!.blocks.toReversed()),
    'a number of all records': (manifest) => void manifest.records--,
    'an owner that leads elsewhere': ({ layers }) => void (layers[0]!.blocks[0]!.owner = '../../secrets'),
    'a block without a checksum': ({ layers }) => void (layers[0]!.blocks[0]!.sha256 = new Uint8Array(31)),
    'a block of too many bytes': ({ layers }) => void (layers[0]!.blocks[0]!.bytes = 1n << 40n),
    'no summary': (manifest) => delete manifest.summary,
    'slots that are none': ({ summary }) => void (summary!.slots[0]!.end = 5000),
  };

  test.each(Object.entries(lies))('%s', async (_, change) => {
    const manifest = await manifestOf(whole, second);
    change(manifest);
    const bytes = seal(PartitionManifestSchema, manifest);
    const target = new MemoryEngine();
    const restored = async (): Promise<unknown> =>
      restorePartition({ repository: whole, manifest: decodePartitionManifest(second, 3, bytes), target, signal });
    await expect(restored()).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringMatching(/^(checkpoints|blocks)\//) as string,
    });
    expect(dump(target)).toEqual([]);
  });

  const wrong: Readonly<Record<string, (manifest: CheckpointManifest) => void>> = {
    'another id': (manifest) => void (manifest.id = first),
    'another cluster': (manifest) => void (manifest.cluster = 'blue'),
    'no partitions': (manifest) => void (manifest.partitions = []),
    'a slot of nobody': ({ partitions }) => void (partitions[0]!.slots[0]!.end = 4095),
    'a slot of two': ({ partitions }) =>
      partitions.push({ ...partitions[0]!, partition: 4, manifest: partitionManifestName(second, 4) }),
    'a partition twice': ({ partitions }) => partitions.push(partitions[0]!),
    'the manifest of another': ({ partitions }) => void (partitions[0]!.manifest = partitionManifestName(first, 3)),
    'no checksum': ({ partitions }) => void (partitions[0]!.manifestSha256 = new Uint8Array(0)),
    'half a chain': ({ partitions }) => void (partitions[0]!.chain = new Uint8Array(8)),
  };

  test.each(Object.entries(wrong))("a cluster's: %s", (_, change) => {
    const right = encodeCheckpointManifest(clusterManifest);
    const manifest = decodeCheckpointManifest(second, right, { cluster });
    change(manifest);
    expect(() => decodeCheckpointManifest(second, encodeCheckpointManifest(manifest), { cluster })).toThrow(
      expect.objectContaining({
        code: 'data_corrupt',
        message: expect.stringMatching(`^${manifestName(second)}: `) as string,
      }),
    );
  });

  test("a cluster's, with any byte flipped, or cut short", () => {
    const bytes = encodeCheckpointManifest(clusterManifest);
    const refused = expect.objectContaining({ code: 'data_corrupt' }) as Error;
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Uint8Array.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      expect(() => decodeCheckpointManifest(second, flipped)).toThrow(refused);
      expect(() => decodeCheckpointManifest(second, bytes.subarray(0, at))).toThrow(refused);
    }
  });
});
