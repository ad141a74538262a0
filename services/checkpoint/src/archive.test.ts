import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { limits, StateStoreError } from '@statestore/core';
import { ArchiveSegmentSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { archivedThrough, coverageOf, planFilling, type PositionSpan } from './archive-coverage.ts';
import { pathTo } from './archive-path.ts';
import { decodeSegment, encodeSegment } from './archive-segment.ts';
import { batches, logA, logB, logC, pointAt, segment, zeroChain } from './archive.testing.ts';
import { readArchive, type ReadArchiveOptions } from './archive.ts';
import { describeArchivedLog, listArchive, listSegments, parseSegmentName } from './archived-log.ts';
import { MemoryRepository } from './memory-repository.ts';
import { segmentName } from './names.ts';
import { seal, unseal } from './sealed.ts';
import { storeSegment } from './segment-objects.ts';

const { signal } = new AbortController();
const place = { incarnation: logA, first: 5n, last: 9n };
const name = segmentName(logA, 5n, 9n);

describe('a segment', () => {
  test('is read as it was written', async () => {
    const written = segment(5n, 9n);
    expect(await decodeSegment(place, await encodeSegment(written))).toEqual(written);
  });

  test('that has any byte changed, or is cut short anywhere, is refused by name', async () => {
    const bytes = await encodeSegment(segment(5n, 9n));
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at]! ^= 1;
      for (const damagedBytes of [flipped, bytes.subarray(0, at)]) {
        const outcome = await decodeSegment(place, damagedBytes).catch((error: unknown) => error);
        // The frame's header has bits that mean nothing.
        if (!(outcome instanceof StateStoreError)) expect(outcome).toEqual(segment(5n, 9n));
        else expect(outcome).toMatchObject({ code: 'data_corrupt', message: expect.stringContaining(name) as string });
      }
    }
  });

  const changed = async (change: (message: ReturnType<typeof unsealed>) => void): Promise<Uint8Array> => {
    const message = unsealed(await encodeSegment(segment(5n, 9n)));
    change(message);
    return zstdCompressSync(seal(ArchiveSegmentSchema, message));
  };
  const unsealed = (bytes: Uint8Array) => unseal(ArchiveSegmentSchema, name, zstdDecompressSync(bytes));

  test.each([
    ['of another log', (m: ReturnType<typeof unsealed>) => (m.incarnation = logB), /it is of log 2222/],
    ['of other positions', (m: ReturnType<typeof unsealed>) => (m.first = 4n), /it has the batches 4 to 9/],
    ['with a batch missing', (m: ReturnType<typeof unsealed>) => m.batches.pop(), /it has 4 batches/],
    [
      'with batches in another order',
      (m: ReturnType<typeof unsealed>) => (m.batches = m.batches.toReversed()),
      /do not lead/,
    ],
    ['with another time', (m: ReturnType<typeof unsealed>) => m.batches[2]!.timestampNanos++, /do not lead/],
    ['without a chain', (m: ReturnType<typeof unsealed>) => (m.chain = new Uint8Array(3)), /has 3 bytes/],
    ['of no format', (m: ReturnType<typeof unsealed>) => ((m as { format: number }).format = 0), /no format/],
  ])('%s is refused', async (_, change, message) => {
    const bytes = await changed(change);
    await expect(decodeSegment(place, bytes)).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringMatching(message) as string,
    });
  });

  test('of a newer format, another cluster or another partition is refused', async () => {
    const newer = await changed((m) => ((m as { format: number }).format = 2));
    await expect(decodeSegment(place, newer)).rejects.toMatchObject({ code: 'data_format' });
    const bytes = await encodeSegment(segment(5n, 9n));
    await expect(decodeSegment(place, bytes, { cluster: 'other' })).rejects.toThrow(
      /of the cluster "c", not of "other"/,
    );
    await expect(decodeSegment(place, bytes, { partition: 4 })).rejects.toThrow(/of partition 3, not of 4/);
  });
});

describe('coverage', () => {
  const spans = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 8 })).map(([first, more]) => ({
      first: BigInt(first),
      last: BigInt(first + more),
    })),
    { maxLength: 12 },
  );

  test('says of each position whether it is there, missing or there twice', () => {
    fc.assert(
      fc.property(spans, (segments) => {
        const { spans: there, gaps, overlaps } = coverageOf(segments);
        const has = (of: readonly PositionSpan[], at: bigint): number =>
          of.filter(({ first, last }) => first <= at && at <= last).length;
        const least = segments.map(({ first }) => first).reduce((a, b) => (a < b ? a : b), 99n);
        const greatest = segments.map(({ last }) => last).reduce((a, b) => (a > b ? a : b), 0n);
        for (let at = 0n; at < 60n; at++) {
          expect(has(there, at)).toBe(has(segments, at) > 0 ? 1 : 0);
          expect(has(overlaps, at)).toBe(has(segments, at) > 1 ? 1 : 0);
          expect(has(gaps, at)).toBe(at > least && at < greatest && has(segments, at) === 0 ? 1 : 0);
        }
      }),
    );
  });

  const listed = [
    { first: 1n, last: 10n },
    { first: 20n, last: 30n },
    { first: 31n, last: 40n },
  ];
  test.each([
    [1n, { after: 10n, until: 20n }, 10n],
    [11n, { after: 10n, until: 20n }, 10n],
    // Between them the log has what is missing no more.
    [12n, { after: 40n, until: undefined }, 40n],
    [41n, { after: 40n, until: undefined }, 40n],
    [42n, undefined, 41n],
  ])('with a log that begins at %s it goes on after %o', (first, plan, through) => {
    expect(planFilling(listed, first)).toEqual(plan);
    expect(archivedThrough(listed, first)).toBe(through);
  });
});

describe('the way through logs', () => {
  const a = { incarnation: logA };
  const b = { incarnation: logB, continues: { incarnation: logA, position: 50n, chain: zeroChain } };
  const c = { incarnation: logC, continues: { incarnation: logA, position: 40n, chain: zeroChain } };
  const from = { incarnation: logA, position: 30n };

  test('to a log is the only one that leads there', () => {
    expect(pathTo([a, b, c], from, logB)).toEqual([
      { incarnation: logA, through: 50n, chain: zeroChain },
      { incarnation: logB, through: undefined },
    ]);
    expect(pathTo([a, b, c], from, { incarnation: logA, through: 30n })).toEqual([{ incarnation: logA, through: 30n }]);
    expect(pathTo([a, b, c], { incarnation: '', position: 0n }, { incarnation: '', through: 0n })).toEqual([]);
    expect(() => pathTo([a, b, c], { ...from, position: 51n }, logB)).toThrow(/left .* at 50, before position 51/);
    expect(() => pathTo([a, b], from, logC)).toThrow(/does not carry on/);
  });
});

describe('reading the archive', () => {
  async function repositoryOf(...segments: ReturnType<typeof segment>[]): Promise<MemoryRepository> {
    const repository = new MemoryRepository();
    for (const each of segments) await storeSegment(repository, each, signal);
    return repository;
  }

  async function read(repository: MemoryRepository, options: Partial<ReadArchiveOptions> = {}): Promise<bigint[]> {
    const segments = new Map([
      [logA, await listSegments(repository, logA)],
      [logB, await listSegments(repository, logB)],
    ]);
    const path = [{ incarnation: logA, through: undefined }];
    const positions: bigint[] = [];
    const parts = readArchive({ repository, segments, path, after: pointAt(0n), signal, ...options });
    for await (const part of parts) positions.push(...part.batches.map(({ position }) => position));
    return positions;
  }
  const from = (first: bigint, last: bigint): bigint[] => batches(first, last).map(({ position }) => position);

  test('gives each batch once, also where segments overlap in any way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 9 })), { maxLength: 8 }),
        fc.integer({ min: 0, max: 30 }),
        async (more, after) => {
          const cuts = [segment(1n, 7n), segment(8n, 20n), segment(21n, 30n)];
          const others = more.map(([first, length]) => segment(BigInt(first), BigInt(Math.min(30, first + length))));
          const repository = await repositoryOf(...cuts, ...others);
          expect(await read(repository, { after: pointAt(BigInt(after)) })).toEqual(from(BigInt(after) + 1n, 30n));
          expect(await read(repository, { after: pointAt(BigInt(after)), through: 30n })).toEqual(
            from(BigInt(after) + 1n, 30n),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  test('fetches a few segments ahead, each of them once, also where some overlap', async () => {
    const pieces = Array.from({ length: 29 }, (_, i) => segment(BigInt(i + 1), BigInt(i + 2 + (i % 3 === 0 ? 1 : 0))));
    const repository = await repositoryOf(...pieces);
    const fetched: string[] = [];
    let underWay = 0;
    let most = 0;
    const get = repository.get.bind(repository);
    repository.get = async (name, call) => {
      fetched.push(name);
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 5));
      underWay--;
      return get(name, call);
    };
    expect(await read(repository)).toEqual(from(1n, 30n));
    expect(new Set(fetched).size).toBe(fetched.length);
    // Of three that overlap one is enough.
    expect(fetched.length).toBeLessThan(20);
    expect(most).toBe(limits.archiveReadAheadMax);
  });

  test('stops at the position that is wanted', async () => {
    const repository = await repositoryOf(segment(1n, 7n), segment(8n, 20n));
    for (let through = 0n; through <= 20n; through++)
      expect(await read(repository, { through })).toEqual(from(1n, through));
    await expect(read(repository, { through: 21n })).rejects.toThrow(
      /after 20 are not archived; they are wanted up to 21/,
    );
  });

  test('names a gap', async () => {
    const repository = await repositoryOf(segment(1n, 7n), segment(10n, 20n));
    await expect(read(repository)).rejects.toThrow(/batches 8 to 9 are not archived/);
  });

  test('goes around a damaged segment where another one has its batches, and names it where none has', async () => {
    const repository = await repositoryOf(segment(1n, 7n), segment(3n, 12n), segment(13n, 20n));
    await repository.put(segmentName(logA, 1n, 7n), Buffer.from('nonsense'));
    await expect(read(repository)).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining(segmentName(logA, 1n, 7n)) as string,
    });
    await storeSegment(repository, segment(1n, 2n), signal);
    expect(await read(repository)).toEqual(from(1n, 20n));
  });

  test('refuses batches of another history', async () => {
    const repository = await repositoryOf(segment(1n, 7n), segment(8n, 12n, logA, pointAt(0n), 1));
    await expect(read(repository)).rejects.toThrow(/of another history/);
    await expect(read(repository, { after: pointAt(4n, undefined, 1) })).rejects.toThrow(/of another history/);
  });

  test('goes on in a log that carries another one on, exactly where it does', async () => {
    const fork = pointAt(10n);
    const repository = await repositoryOf(segment(1n, 15n), segment(11n, 18n, logB, fork, 9));
    const path = [
      { incarnation: logA, through: 10n },
      { incarnation: logB, through: undefined },
    ];
    expect(await read(repository, { path })).toEqual(from(1n, 18n));
    const { chain } = fork;
    expect(await read(repository, { path: [{ ...path[0]!, chain }, path[1]!] })).toEqual(from(1n, 18n));
    const otherwise = [{ ...path[0]!, chain: zeroChain }, path[1]!];
    await expect(read(repository, { path: otherwise })).rejects.toThrow(/at 10 it has another history/);
    const wrong = [
      { incarnation: logA, through: 12n },
      { incarnation: logB, through: undefined },
    ];
    await expect(read(repository, { path: wrong })).rejects.toThrow(/of another history/);
  });
});

describe('the objects of an archive', () => {
  test('are listed with the log that they are of', async () => {
    const repository = new MemoryRepository();
    const log = {
      cluster: 'c',
      partition: 3,
      generation: 2,
      incarnation: logA,
      continues: { incarnation: logB, position: 4n, chain: zeroChain },
    };
    await describeArchivedLog(repository, { ...log, beganNanos: 17n });
    // Whoever describes it later may know less, or other clocks.
    await describeArchivedLog(repository, { ...log, beganNanos: 18n });
    await describeArchivedLog(repository, log);
    await storeSegment(repository, segment(5n, 9n), signal);
    await repository.put(`archive/${logC}/log`, Buffer.from('?'));
    const { logs, damaged } = await listArchive({ repository });
    expect(logs).toMatchObject([
      { log: { ...log, beganNanos: 17n }, segments: [{ incarnation: logA, first: 5n, last: 9n }] },
    ]);
    expect(damaged).toEqual([expect.stringContaining(`archive/${logC}/log`)]);
    await expect(describeArchivedLog(repository, { ...log, partition: 4 })).rejects.toMatchObject({
      code: 'data_corrupt',
    });
  });

  test('a segment that is there stays; a damaged one is replaced; one of another history is refused', async () => {
    const repository = new MemoryRepository();
    expect(await storeSegment(repository, segment(5n, 9n), signal)).toBeGreaterThan(0);
    expect(await storeSegment(repository, segment(5n, 9n), signal)).toBe(0);
    await repository.put(name, Buffer.from('torn'));
    expect(await storeSegment(repository, segment(5n, 9n), signal)).toBeGreaterThan(0);
    expect(await decodeSegment(place, (await repository.get(name))!)).toEqual(segment(5n, 9n));
    await expect(storeSegment(repository, segment(5n, 9n, logA, pointAt(0n), 1), signal)).rejects.toMatchObject({
      code: 'data_corrupt',
    });
  });

  test('names that are none are no segments', () => {
    expect(parseSegmentName(name)).toEqual(place);
    for (const other of [
      `${name}0`,
      `x${name}`,
      segmentName(logA, 9n, 5n),
      segmentName(logA, 0n, 5n),
      `archive/${logA}/log`,
    ])
      expect(parseSegmentName(other)).toBeUndefined();
  });
});
