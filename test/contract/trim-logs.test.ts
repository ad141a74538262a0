// Logs are trimmed by what is in a repository: two verified checkpoints, and the archive where there is one.
import { BlockProofs, blocksPrefix, MemoryRepository, provenCheckpoints, segmentName } from '@statestore/checkpoint';
import type { ObservedNode } from '@statestore/cluster';
import type { PartitionLog, Topology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { trimLogs, type TrimOptions } from '../../services/node/src/checkpoint/trim.ts';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import { archive, checkpointAt, cluster, replicaAt } from '../sim/archived-history.ts';
import { logOf } from '../sim/replica.ts';
import { payload } from './log-collector.ts';

const records = logOf(Array.from({ length: 30 }, () => ({ elapsedMs: 1, commands: [{ body: { kind: 'barrier' } }] })));
const margins = { records: 3n, ms: -1000, replicaLag: 1000n };

interface World {
  readonly repository: MemoryRepository;
  readonly logs: MemoryLogs;
  readonly log: PartitionLog;
  readonly trim: (more?: Partial<TrimOptions>) => ReturnType<typeof trimLogs>;
  readonly first: () => Promise<bigint>;
}

async function world(): Promise<World> {
  const repository = new MemoryRepository();
  const logs = new MemoryLogs();
  const log = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  const opened = await logs.open(0, log);
  for (let i = 0; i < records.length; i++) await opened.append(payload(i));
  await opened.close();
  const slots = [{ start: 0, end: 4096 }];
  const topology: Topology = { epoch: 1n, partitions: [{ partition: 0, slots, replicas: ['n'], log }] };
  const proofs = new BlockProofs();
  const trim = async (more: Partial<TrimOptions> = {}): ReturnType<typeof trimLogs> =>
    trimLogs({
      repository,
      proven: await provenCheckpoints({
        repository,
        cluster,
        proofs,
        marginMs: margins.ms,
        elapsedMs: () => performance.now(),
      }),
      archives: false,
      topology,
      nodes: new Map(),
      logStreams: logs,
      openLog: (partition, named) => logs.open(partition, named),
      signal: new AbortController().signal,
      margins,
      ...more,
    });
  return { repository, logs, log, trim, first: async () => (await logs.describe(0, 1))!.first };
}

function nodeAt(position: bigint, { incarnation }: PartitionLog): ReadonlyMap<string, ObservedNode> {
  const replica = { partition: 0, incarnation, storedPosition: position.toString() };
  return new Map([['n', { live: true, confirmed: true, report: { replicas: [replica] } } as unknown as ObservedNode]]);
}

describe('trimming', () => {
  test('waits for two checkpoints, and keeps a margin below the older one', async () => {
    const { repository, log, trim, first } = await world();
    const archived = { ...log, cluster, partition: 0 };
    expect(await trim()).toMatchObject([{ below: undefined, why: expect.stringContaining('0 verified') as string }]);
    await checkpointAt(repository, replicaAt(records, 20n), archived);
    expect(await trim()).toMatchObject([{ below: undefined, why: expect.stringContaining('1 verified') as string }]);
    await checkpointAt(repository, replicaAt(records, 25n), archived);
    expect(await first()).toBe(1n);
    expect(await trim()).toEqual([{ partition: 0, below: 18n, why: undefined, left: 13n }]);
    expect(await first()).toBe(18n);
    // Again: there is nothing to do.
    expect(await trim()).toMatchObject([{ below: undefined }]);
  });

  test('waits for the archive, and for a replica that has still to read', async () => {
    const { repository, log, trim, first } = await world();
    const archived = { ...log, cluster, partition: 0 };
    for (const position of [20n, 25n]) await checkpointAt(repository, replicaAt(records, position), archived);
    expect(await trim({ archives: true })).toMatchObject([{ below: undefined }]);
    await archive(repository, archived, records, 1n, 12n);
    const name = segmentName(log.incarnation, 1n, 12n);
    const whole = (await repository.get(name))!;
    const other = Uint8Array.from(whole, (byte, at) => (at === whole.length >> 1 ? byte ^ 1 : byte));
    await repository.put(name, other);
    // It has its name and its size, and cannot be read.
    expect(await trim({ archives: true })).toMatchObject([{ below: undefined }]);
    await repository.put(name, whole);
    expect(await trim({ archives: true })).toMatchObject([{ below: 10n }]);
    expect(await trim({ nodes: nodeAt(14n, log) })).toMatchObject([{ below: 15n }]);
    expect(await first()).toBe(15n);
  });

  test('passes over a checkpoint of which something is missing', async () => {
    const { repository, log, trim } = await world();
    const archived = { ...log, cluster, partition: 0 };
    const damaged = await checkpointAt(repository, replicaAt(records, 10n), archived);
    await checkpointAt(repository, replicaAt(records, 20n), archived);
    await repository.remove([damaged.partitions[0]!.manifest]);
    expect(await trim()).toMatchObject([{ below: undefined, why: expect.stringContaining('1 verified') as string }]);
  });

  test('waits while a block has its full size, and other bytes', async () => {
    const { repository, log, trim, first } = await world();
    const archived = { ...log, cluster, partition: 0 };
    const { id } = await checkpointAt(repository, replicaAt(records, 20n), archived);
    await checkpointAt(repository, replicaAt(records, 25n), archived);
    const name = [...repository.objects.keys()].find((each) => each.startsWith(`${blocksPrefix}${id}/`))!;
    const stored = repository.objects.get(name)!;
    const bytes = stored.bytes.map((byte, at) => (at === 12 ? byte ^ 1 : byte));
    repository.objects.set(name, { ...stored, bytes });
    expect(await trim()).toMatchObject([{ below: undefined, why: expect.stringContaining('1 verified') as string }]);
    expect(await first()).toBe(1n);
    repository.objects.set(name, stored);
    expect(await trim()).toMatchObject([{ below: 18n }]);
  });

  test('says what could not be trimmed, and goes on', async () => {
    const { repository, log, trim } = await world();
    const archived = { ...log, cluster, partition: 0 };
    for (const position of [20n, 25n]) await checkpointAt(repository, replicaAt(records, position), archived);
    const notices: string[] = [];
    const outcome = await trim({
      openLog: () => Promise.reject(new Error('down')),
      onNotice: (notice) => notices.push(notice),
    });
    expect(outcome).toMatchObject([{ partition: 0, below: undefined, why: 'Error: down' }]);
    expect(notices).toHaveLength(1);
  });
});
