// Made-up logs and their segments, for tests.
import type { BatchRecord } from '@statestore/core';
import { hashToHex, newHash } from '@statestore/core';
import { chainAfter, chainFromHex, type ArchiveSegment } from './archive-segment.ts';
import type { ChainPoint } from './archive.ts';

export const logA = '11111111-1111-4111-8111-111111111111';
export const logB = '22222222-2222-4222-8222-222222222222';
export const logC = '33333333-3333-4333-8333-333333333333';
export const zeroChain = hashToHex(newHash());

export function batch(position: bigint, mark = 0): BatchRecord {
  const bytes = Uint8Array.from(
    { length: Number(position % 50n) },
    (_, at) => (at * 7 + mark + Number(position)) & 0xff,
  );
  return { position, timestampNanos: 1_700_000_000_000_000_000n + position * 1000n, bytes };
}

export function batches(first: bigint, last: bigint, mark = 0): BatchRecord[] {
  return Array.from({ length: Number(last - first) + 1 }, (_, at) => batch(first + BigInt(at), mark));
}

export function pointAt(
  position: bigint,
  after: ChainPoint = { position: 0n, chain: zeroChain },
  mark = 0,
): ChainPoint {
  const chain = chainAfter(chainFromHex(after.chain), batches(after.position + 1n, position, mark));
  return { position, chain: hashToHex(chain) };
}

/* oxlint-disable-next-line max-params -- what it is made of */
export function segment(
  first: bigint,
  last: bigint,
  incarnation = logA,
  after: ChainPoint = { position: 0n, chain: zeroChain },
  mark = 0,
): ArchiveSegment {
  return {
    cluster: 'c',
    partition: 3,
    incarnation,
    batches: batches(first, last, mark),
    chainBefore: pointAt(first - 1n, after, mark).chain,
    chain: pointAt(last, after, mark).chain,
  };
}
