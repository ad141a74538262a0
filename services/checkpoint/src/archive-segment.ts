// One segment of the archive of a log: consecutive batches, as bytes of an object and back. A segment proves itself:
// its batches lead from the chain before them to the chain after them, which replicas of the partition have too.
// Which segments make up a log is the business of archive-coverage.ts and archive.ts.
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { create } from '@bufbuild/protobuf';
import type { BatchRecord, Hash128 } from '@statestore/core';
import { extendChain, hashFromBytes, hashToBytes, hashToHex, limits, StateStoreError } from '@statestore/core';
import type { ArchiveSegment as SegmentMessage } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { ArchivedBatchSchema, ArchiveSegmentSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { damaged } from './damage.ts';
import { segmentName } from './names.ts';
import type { ObjectName } from './repository.ts';
import { checkpointFormat, seal, unseal } from './sealed.ts';

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);
const hashBytes = 16;

/** Whose log it is. */
export interface SegmentOwner {
  readonly cluster: string;
  readonly partition: number;
  /** UUID of the log. */
  readonly incarnation: string;
}

export interface ArchiveSegment extends SegmentOwner {
  /** Consecutive; at least one. */
  readonly batches: readonly BatchRecord[];
  /** 32 hexadecimal digits each: of a replica before the first batch, and after the last one. */
  readonly chainBefore: string;
  readonly chain: string;
}

/** What a segment is expected to be, by whoever reads it; undefined: any. */
export interface SegmentExpectation {
  readonly cluster?: string | undefined;
  readonly partition?: number | undefined;
}

export async function encodeSegment(segment: ArchiveSegment): Promise<Uint8Array> {
  const { cluster, partition, incarnation, batches, chainBefore, chain } = segment;
  const message = create(ArchiveSegmentSchema, {
    format: checkpointFormat,
    cluster,
    partition,
    incarnation,
    first: batches[0]!.position,
    last: batches.at(-1)!.position,
    batches: batches.map(({ timestampNanos, bytes }) => create(ArchivedBatchSchema, { timestampNanos, bytes })),
    chain: Buffer.from(chain, 'hex'),
    chainBefore: Buffer.from(chainBefore, 'hex'),
  });
  return compressed(seal(ArchiveSegmentSchema, message), {
    params: { [constants.ZSTD_c_compressionLevel]: limits.archiveLevel, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

export interface SegmentPlace {
  readonly incarnation: string;
  readonly first: bigint;
  readonly last: bigint;
}

/** Rejects with `data_corrupt` or `data_format`, naming the object and what is wrong with it. */
export async function decodeSegment(
  place: SegmentPlace,
  bytes: Uint8Array,
  expected: SegmentExpectation = {},
): Promise<ArchiveSegment> {
  const name = segmentName(place.incarnation, place.first, place.last);
  const message = unseal(ArchiveSegmentSchema, name, await unpacked(name, bytes));
  checkPlace(name, message, place);
  checkOwner(name, message, expected);
  const batches = message.batches.map((batch, at) => ({
    position: message.first + BigInt(at),
    timestampNanos: batch.timestampNanos,
    bytes: batch.bytes,
  }));
  const { cluster, partition, incarnation } = message;
  const chain = chainOf(name, message.chain);
  const before = chainOf(name, message.chainBefore);
  if (hashToHex(chainAfter(before, batches)) !== hashToHex(chain))
    throw damaged(name, 'its batches do not lead from the chain at its beginning to the one at its end');
  return { cluster, partition, incarnation, batches, chainBefore: hashToHex(before), chain: hashToHex(chain) };
}

/** Of a replica that was at `chain` and applied these. */
export function chainAfter(chain: Hash128, batches: Iterable<BatchRecord>): Hash128 {
  const after = chain.slice();
  for (const batch of batches) extendChain(after, batch);
  return after;
}

export function chainFromHex(hex: string): Hash128 {
  if (!/^[0-9a-f]{32}$/.test(hex)) {
    throw new StateStoreError('invalid_parameter', `${JSON.stringify(hex)} is no chain; it has 32 hexadecimal digits`);
  }
  return hashFromBytes(Buffer.from(hex, 'hex'));
}

/** 32 hexadecimal digits of a chain that a manifest has as bytes. */
export function chainToHex(bytes: Uint8Array): string {
  return hashToHex(hashFromBytes(bytes));
}

export function chainBytes(hex: string): Uint8Array {
  return hashToBytes(chainFromHex(hex));
}

async function unpacked(name: ObjectName, bytes: Uint8Array): Promise<Uint8Array> {
  const max = limits.archiveSegmentBytesReadMax;
  try {
    const { buffer, byteOffset, length } = await decompressed(bytes, { maxOutputLength: max });
    return new Uint8Array(buffer, byteOffset, length);
  } catch (cause) {
    throw damaged(name, `its ${bytes.length} bytes cannot be decompressed to at most ${max}`, cause);
  }
}

function checkPlace(
  name: ObjectName,
  { incarnation, first, last, batches }: SegmentMessage,
  place: SegmentPlace,
): void {
  if (incarnation !== place.incarnation) throw damaged(name, `it is of log ${incarnation}`);
  if (first !== place.first || last !== place.last) throw damaged(name, `it has the batches ${first} to ${last}`);
  if (BigInt(batches.length) !== last - first + 1n)
    throw damaged(name, `it has ${batches.length} batches, and says to have ${last - first + 1n}`);
}

function checkOwner(name: ObjectName, message: SegmentMessage, { cluster, partition }: SegmentExpectation): void {
  if (cluster !== undefined && message.cluster !== cluster)
    throw damaged(name, `it is of the cluster ${JSON.stringify(message.cluster)}, not of ${JSON.stringify(cluster)}`);
  if (partition !== undefined && message.partition !== partition)
    throw damaged(name, `it is of partition ${message.partition}, not of ${partition}`);
}

function chainOf(name: ObjectName, bytes: Uint8Array): Hash128 {
  if (bytes.length !== hashBytes) throw damaged(name, `a chain of it has ${bytes.length} bytes, not ${hashBytes}`);
  return hashFromBytes(bytes);
}
