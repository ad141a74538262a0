// Which log a folder of segments is of, as an object beside them: whose it is, and which earlier log it carries on. By
// these the history of a partition is followed across logs that were lost and recovered, and across restores.
import { create } from '@bufbuild/protobuf';
import { hashFromBytes, hashToHex, limits, type PartitionLog } from '@statestore/core';
import type { LogOrigin as OriginMessage } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { ArchivedLogSchema, LogOriginSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { chainBytes, type SegmentOwner, type SegmentPlace } from './archive-segment.ts';
import { damaged } from './damage.ts';
import { inParallel } from './in-parallel.ts';
import { isDamage } from './markers.ts';
import { archivedLogName, archivePrefix } from './names.ts';
import type { ObjectName, Repository, RepositoryCall } from './repository.ts';
import { checkpointFormat, equalBytes, seal, unseal } from './sealed.ts';

export interface ArchivedLog extends SegmentOwner, PartitionLog {
  /** When it was made, ns since 1970, as far as whoever described it knew; undefined: an older version did. */
  readonly beganNanos?: bigint | undefined;
  /** Id of the checkpoint that its cluster began with, as its topology says; undefined: with none, or nobody said so. */
  readonly restoredFrom?: string | undefined;
  /** Of the first log of a partition that was split off. */
  readonly origin?: LogOrigin | undefined;
  /** UUID of the cluster, or data folder, that it is of; undefined: whoever described it did not know. */
  readonly lineage?: string | undefined;
}

/** Of what its first state was made: of that log's at the position, in the slots that were given away. */
export interface LogOrigin {
  readonly partition: number;
  readonly generation: number;
  /** UUID; undefined: of the cluster's log of that partition and generation. */
  readonly incarnation?: string | undefined;
  readonly position: bigint;
}

export function encodeArchivedLog(log: ArchivedLog): Uint8Array {
  const { cluster, partition, generation, incarnation, continues, beganNanos = 0n, restoredFrom = '' } = log;
  const message = create(ArchivedLogSchema, { format: checkpointFormat, cluster, partition, generation, incarnation });
  message.beganNanos = beganNanos;
  message.restoredFrom = restoredFrom;
  message.lineage = log.lineage ?? '';
  if (log.origin !== undefined)
    message.origin = create(LogOriginSchema, { ...log.origin, incarnation: log.origin.incarnation ?? '' });
  if (continues !== undefined) {
    message.continuesIncarnation = continues.incarnation;
    message.continuesPosition = continues.position;
    message.continuesChain = chainBytes(continues.chain);
  }
  return seal(ArchivedLogSchema, message);
}

/** Throws `data_corrupt` or `data_format`, naming the object. */
export function decodeArchivedLog(incarnation: string, bytes: Uint8Array): ArchivedLog {
  const name = archivedLogName(incarnation);
  const message = unseal(ArchivedLogSchema, name, bytes);
  if (message.incarnation !== incarnation) throw damaged(name, `it is of log ${message.incarnation}`);
  const { cluster, partition, generation, continuesIncarnation, continuesPosition, continuesChain } = message;
  const began = message.beganNanos === 0n ? {} : { beganNanos: message.beganNanos };
  const from = message.restoredFrom === '' ? {} : { restoredFrom: message.restoredFrom };
  const lineage = message.lineage === '' ? {} : { lineage: message.lineage };
  const origin = message.origin === undefined ? {} : { origin: originOf(message.origin) };
  const log = { cluster, partition, generation, incarnation, ...began, ...from, ...origin, ...lineage };
  if (continuesIncarnation === '') return log;
  if (continuesChain.length !== 16) throw damaged(name, `its chain has ${continuesChain.length} bytes, not 16`);
  const chain = hashToHex(hashFromBytes(continuesChain));
  return { ...log, continues: { incarnation: continuesIncarnation, position: continuesPosition, chain } };
}

function originOf({ partition, generation, incarnation, position }: OriginMessage): LogOrigin {
  const origin = { partition, generation, position };
  return incarnation === '' ? origin : { ...origin, incarnation };
}

/**
 * Makes the object where it is not there. Rejects with `data_corrupt` where there is one that says something else. When
 * the log began, with what, and what it was split off, is said by whoever describes it first.
 */
export async function describeArchivedLog(
  repository: Repository,
  log: ArchivedLog,
  call: RepositoryCall = {},
): Promise<void> {
  const name = archivedLogName(log.incarnation);
  const bytes = encodeArchivedLog(log);
  if ((await repository.create(name, bytes, call)) === 'created') return;
  const there = await repository.get(name, call);
  if (there !== undefined && isSame(there, log)) return;
  throw damaged(name, `it is not of log ${log.incarnation} of partition ${log.partition} of ${log.cluster}`);
}

function isSame(there: Uint8Array, log: ArchivedLog): boolean {
  const { beganNanos, restoredFrom, origin, lineage } = decodeArchivedLog(log.incarnation, there);
  return equalBytes(there, encodeArchivedLog({ ...log, beganNanos, restoredFrom, origin, lineage }));
}

export interface ListedSegment extends SegmentPlace {
  readonly sizeBytes: number;
}

export interface ListedLog {
  readonly log: ArchivedLog;
  /** By their first positions, as they are named: nothing of them was read. */
  readonly segments: readonly ListedSegment[];
  /** When its description was stored, by the repository's clock, ms since 1970. */
  readonly describedAtMs?: number | undefined;
}

export interface ListedArchive {
  readonly logs: readonly ListedLog[];
  /** Whose description cannot be read: what is wrong, naming the object. */
  readonly damaged: readonly string[];
}

export interface ListArchiveOptions {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
}

/** Everything that is archived. */
export async function listArchive({ repository, signal }: ListArchiveOptions): Promise<ListedArchive> {
  const call = signal === undefined ? {} : { signal };
  const byLog = new Map<string, ListedSegment[]>();
  const describedAt = new Map<string, number>();
  for await (const { name, sizeBytes, modifiedAtMs } of repository.list(archivePrefix, call)) {
    const incarnation = name.slice(archivePrefix.length).split('/')[0]!;
    const segments = byLog.get(incarnation) ?? [];
    byLog.set(incarnation, segments);
    const place = parseSegmentName(name);
    if (place !== undefined) segments.push({ ...place, sizeBytes });
    else if (name === archivedLogName(incarnation)) describedAt.set(incarnation, modifiedAtMs);
  }
  const broken: string[] = [];
  const logs = await inParallel([...byLog], limits.archiveReadsMax, async ([incarnation, segments]) => {
    try {
      const bytes = await repository.get(archivedLogName(incarnation), call);
      if (bytes === undefined) throw damaged(archivedLogName(incarnation), 'it is missing');
      const log = decodeArchivedLog(incarnation, bytes);
      return [{ log, segments, describedAtMs: describedAt.get(incarnation) }];
    } catch (error) {
      if (!isDamage(error)) throw error;
      broken.push(error.message);
      return [];
    }
  });
  return { logs: logs.flat(), damaged: broken };
}

/** Of one log, by their first positions. */
export async function listSegments(
  repository: Repository,
  incarnation: string,
  call: RepositoryCall = {},
): Promise<ListedSegment[]> {
  const segments: ListedSegment[] = [];
  for await (const { name, sizeBytes } of repository.list(`${archivePrefix}${incarnation}/`, call)) {
    const place = parseSegmentName(name);
    if (place !== undefined) segments.push({ ...place, sizeBytes });
  }
  return segments;
}

const segmentPattern = /^([0-9a-f-]{36})\/(\d{20})-(\d{20})$/;

/** Undefined: it is no segment's name. */
export function parseSegmentName(name: ObjectName): SegmentPlace | undefined {
  if (!name.startsWith(archivePrefix)) return undefined;
  const [, incarnation, first, last] = segmentPattern.exec(name.slice(archivePrefix.length)) ?? [];
  if (incarnation === undefined || first === undefined || last === undefined) return undefined;
  const place = { incarnation, first: BigInt(first), last: BigInt(last) };
  return place.first >= 1n && place.first <= place.last ? place : undefined;
}
