// A random history of a partition, kept as a checkpoint of its beginning and an archive of what came after: what a
// restore to any of its moments is tried on.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ArchivedLog, Repository } from '@statestore/checkpoint';
import {
  beginCheckpoint,
  commitCheckpoint,
  describeArchivedLog,
  storeSegment,
  writePartition,
} from '@statestore/checkpoint';
import type { BatchRecord, PartitionLog } from '@statestore/core';
import { bytesFromBinary, hashToHex, incarnationKey } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { ScratchEngine } from '../../services/node/src/checkpoint/materialise.ts';
import type { EngineKind } from '../../services/node/src/engine/engine.ts';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { logOf, Replica } from './replica.ts';
import { dump, SortedMap } from './sorted-map.ts';

const { signal } = new AbortController();
export const cluster = 'c';
const slots = [{ start: 0, end: 4096 }];

export function newLog(generation = 1, continues?: PartitionLog['continues']): ArchivedLog {
  const log = { cluster, partition: 0, generation, incarnation: randomUUID() };
  return continues === undefined ? log : { ...log, continues };
}

/** Batch n puts k(n-1) and nothing else. */
export function logOfPuts(count: number): readonly BatchRecord[] {
  const put = (n: number) => ({
    stamp: undefined,
    body: {
      kind: 'mutate' as const,
      store: 's',
      checks: [],
      operations: [
        {
          kind: 'put' as const,
          key: `k${n}`,
          condition: { kind: 'none' as const },
          value: Uint8Array.of(n),
          contentType: '',
          ttl: { kind: 'never' as const },
        },
      ],
    },
  });
  return logOf(Array.from({ length: count }, (_, n) => ({ elapsedMs: 1, commands: [put(n)] as never })));
}

export function replicaAt(records: readonly BatchRecord[], position: bigint): Replica {
  const replica = new Replica();
  for (const record of records) if (record.position <= position) replica.apply(record);
  return replica;
}

/** What two states have in common: everything but what a node notes beside it. */
export function contentOf(reader: Parameters<typeof dump>[0]): string[] {
  return dump(reader).filter((record) => !/^0[456]/.test(record));
}

export async function checkpointAt(
  repository: Repository,
  replica: Replica,
  { incarnation, generation, cluster }: ArchivedLog,
): Promise<CheckpointManifest> {
  const nowMs = (): number => Date.now();
  const random = (bytes: number): Uint8Array => randomBytes(bytes);
  const begun = await beginCheckpoint({ repository, cluster, conductor: 'n', nowMs, random, mode: 'auto' });
  const records = [...replica.records.range({})].map(({ key, value }) => [key, value] as const);
  const reader = new SortedMap(
    replica.state.position === 0n ? [] : [...records, [incarnationKey, bytesFromBinary(incarnation)]],
  );
  const { summary } = await writePartition({
    reader,
    cluster,
    partition: 0,
    slots,
    generation,
    repository,
    checkpointId: begun.id,
    signal,
  });
  const trigger = CheckpointTrigger.MANUAL;
  const committed = await commitCheckpoint({
    repository,
    begun,
    partitions: [summary],
    trigger,
    version: '1',
    nowMs,
    isLate: () => false,
  });
  if (committed.outcome !== 'committed') throw new Error(committed.outcome);
  return committed.manifest;
}

/** Batches `from` to `to` of the history, as a segment of this log. */
/* oxlint-disable-next-line max-params -- what it is made of */
export async function archive(
  repository: Repository,
  log: ArchivedLog,
  records: readonly BatchRecord[],
  from: bigint,
  to: bigint,
): Promise<void> {
  await describeArchivedLog(repository, log);
  const chainAt = (position: bigint): string => hashToHex(replicaAt(records, position).state.chain);
  const batches = records.filter(({ position }) => position >= from && position <= to);
  await storeSegment(repository, { ...log, batches, chainBefore: chainAt(from - 1n), chain: chainAt(to) }, signal);
}

/** The last position of which all batches so far were stored at that time or before. */
export function positionAt(records: readonly BatchRecord[], nanos: bigint): bigint {
  const later = records.find(({ timestampNanos }) => timestampNanos > nanos);
  return later === undefined ? BigInt(records.length) : later.position - 1n;
}

export function scratchOf(kind: EngineKind): () => Promise<ScratchEngine> {
  return async () => {
    const path = await mkdtemp(join(tmpdir(), 'statestore-archived-history-'));
    const engine = await openEngine(kind, path);
    const dispose = async (): Promise<void> => {
      await engine.close();
      await rm(path, { recursive: true, force: true });
    };
    return { engine, dispose };
  };
}
