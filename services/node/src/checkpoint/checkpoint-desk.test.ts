// What is told of a checkpoint before that turns out to be damaged, while the next one is written upon it. Writing
// itself is the contract's business: test/contract/node-service-checkpoint-contract.ts.
import { create, fromBinary } from '@bufbuild/protobuf';
import { blockName, decodePartitionManifest, encodeCheckpointManifest, manifestName } from '@statestore/checkpoint';
import { checkpointFormat, MemoryRepository, partitionManifestName } from '@statestore/checkpoint';
import { limits, noCondition } from '@statestore/core';
import { CheckpointManifestSchema, PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { Partition } from '../partition.ts';
import { TestLog } from '../testing/controlled-replica.ts';
import { systemTime } from '../time.ts';
import { CheckpointDesk } from './checkpoint-desk.ts';

const ids = [1, 2].map((n) => `01970000-0000-7000-8000-00000000000${n}`) as [string, string];
const place = {
  generation: 1,
  slots: [{ start: 0, end: limits.slotCount }],
  full: false,
  level: 1,
  deadlineMs: 60_000,
};
const { signal } = new AbortController();

describe('a desk that writes upon a checkpoint', () => {
  let partition: Partition;
  let repository: MemoryRepository;
  let notices: [string, Readonly<Record<string, unknown>>][];
  let desk: CheckpointDesk;
  beforeEach(async () => {
    const engine = new MemoryEngine();
    const proposer = 'node-1'.padEnd(16);
    partition = await Partition.open({ partition: 0, log: new TestLog(), engine, time: systemTime, proposer });
    repository = new MemoryRepository();
    notices = [];
    const onNotice = (...notice: [string, Readonly<Record<string, unknown>>]): unknown => notices.push(notice);
    desk = new CheckpointDesk({ repository, cluster: 'test', onNotice });
    // So that the index of what expires is large enough to be compared.
    for (let from = 0; from < 5000; from += 1000) await puts(from, 1000);
  });
  afterEach(() => partition.close());

  async function puts(from: number, count: number): Promise<void> {
    const ttl = { kind: 'after', ms: 3_600_000 } as const;
    const put = { kind: 'put', value: new Uint8Array(9), contentType: '', condition: noCondition, ttl } as const;
    const operations = Array.from({ length: count }, (_, n) => ({ ...put, key: `key-${from + n}` }));
    await partition.propose({ body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations } });
  }

  async function write(checkpointId: string, previous?: string): Promise<void> {
    const order = { ...place, checkpointId, ...(previous === undefined ? {} : { previous }), signal };
    for await (const { summary } of desk.write(partition, order)) {
      if (summary === undefined) continue;
      const partitions = [fromBinary(PartitionSummarySchema, summary)];
      const manifest = { format: checkpointFormat, id: checkpointId, cluster: 'test', partitions };
      const bytes = encodeCheckpointManifest(create(CheckpointManifestSchema, manifest));
      repository.objects.set(manifestName(checkpointId), { bytes, modifiedAtMs: 0 });
    }
  }

  const manifestOf = (id: string) =>
    decodePartitionManifest(id, 0, repository.objects.get(partitionManifestName(id, 0))!.bytes);

  test('says nothing where all is well', async () => {
    await write(ids[0]);
    await puts(7, 3);
    await write(ids[1], ids[0]);
    expect(manifestOf(ids[1]).layers).toHaveLength(2);
    expect(notices).toEqual([]);
  });

  test('tells of a block that is missing, and of a manifest that is cut short, and writes everything', async () => {
    await write(ids[0]);
    await puts(7, 3);
    const block = manifestOf(ids[0]).layers[0]!.blocks.find(({ firstKey }) => firstKey[0] === 0x20)!;
    const name = blockName(block.owner, block.sha256);
    const notice = (error: string) => [
      expect.stringContaining('cannot be read') as string,
      { partition: 0, checkpoint: ids[0], error: expect.stringContaining(error) as string },
    ];
    repository.objects.delete(name);
    await write(ids[1], ids[0]);
    expect(notices).toEqual([notice(`${name}: it is missing`)]);
    expect(manifestOf(ids[1]).layers).toHaveLength(1);
    const manifest = partitionManifestName(ids[0], 0);
    const { bytes } = repository.objects.get(manifest)!;
    repository.objects.set(manifest, { bytes: bytes.subarray(1), modifiedAtMs: 0 });
    await write(ids[1].replace(/.$/, '3'), ids[0]);
    expect(notices[1]).toEqual(notice(manifest));
  });
});
