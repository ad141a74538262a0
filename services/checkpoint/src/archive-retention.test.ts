import { describe, expect, test } from 'vitest';
import { collectArchive, retiredSegments } from './archive-retention.ts';
import { logA, logB, logC, segment, zeroChain } from './archive.testing.ts';
import { describeArchivedLog, type ListedLog, listSegments } from './archived-log.ts';
import { MemoryRepository } from './memory-repository.ts';
import { manifestName } from './names.ts';
import { storeSegment } from './segment-objects.ts';

const listed = (incarnation: string, spans: readonly [bigint, bigint][], continues?: string): ListedLog => ({
  log: {
    cluster: 'c',
    partition: 0,
    generation: 1,
    incarnation,
    ...(continues === undefined ? {} : { continues: { incarnation: continues, position: 20n, chain: zeroChain } }),
  },
  segments: spans.map(([first, last]) => ({ incarnation, first, last, sizeBytes: 1 })),
});
const a = listed(logA, [
  [1n, 10n],
  [11n, 20n],
]);
const b = listed(
  logB,
  [
    [21n, 30n],
    [31n, 40n],
  ],
  logA,
);
const c = listed(
  logC,
  [
    [21n, 25n],
    [26n, 27n],
  ],
  logA,
);

describe('segments go', () => {
  test.each<[string, readonly (readonly [string, bigint])[], readonly (readonly [string, bigint])[]]>([
    ['where there is no checkpoint: none', [], []],
    [
      'up to the oldest checkpoint',
      [
        [logA, 15n],
        [logA, 20n],
      ],
      [[logA, 1n]],
    ],
    ['exactly up to it', [[logA, 10n]], [[logA, 1n]]],
    ['not before it', [[logA, 9n]], []],
    [
      'of a log that a checkpoint left behind',
      [[logB, 30n]],
      [
        [logA, 1n],
        [logA, 11n],
        [logB, 21n],
      ],
    ],
    ['but for the newest one', [[logA, 20n]], [[logA, 1n]]],
    [
      'not of one that leads on from a checkpoint of the log before',
      [
        [logA, 10n],
        [logB, 40n],
      ],
      [[logA, 1n]],
    ],
    [
      'of one that leads on from no checkpoint of the log before, which went on elsewhere',
      [
        [logA, 21n],
        [logB, 30n],
      ],
      [
        [logA, 1n],
        [logB, 21n],
      ],
    ],
    [
      'not of one beside it',
      [[logC, 25n]],
      [
        [logA, 1n],
        [logA, 11n],
        [logC, 21n],
      ],
    ],
    ['not of one that nothing is known of', [['other', 9n]], []],
  ])('%s', (_, points, expected) => {
    const retired = retiredSegments(
      [a, b, c],
      points.map(([incarnation, position]) => ({ incarnation, position })),
    );
    expect(retired.map(({ incarnation, first }) => [incarnation, first])).toEqual(expected);
  });

  test('not of a first log that leads on from a checkpoint of a partition that nothing was written to', () => {
    const points = [
      { incarnation: '', position: 0n, cluster: 'c', partition: 0 },
      { incarnation: logA, position: 20n, cluster: 'c', partition: 0 },
    ];
    expect(retiredSegments([a], points)).toEqual([]);
    expect(retiredSegments([a], [{ ...points[0]!, partition: 1 }, points[1]!])).toHaveLength(1);
    expect(retiredSegments([a], [{ ...points[0]!, cluster: 'd' }, points[1]!])).toHaveLength(1);
  });
});

test('nothing goes while anything cannot be read', async () => {
  const repository = new MemoryRepository();
  const { signal } = new AbortController();
  const log = { cluster: 'c', partition: 3, generation: 1, incarnation: logA };
  await describeArchivedLog(repository, log);
  await storeSegment(repository, segment(1n, 5n), signal);
  const id = '01900000-0000-7000-8000-000000000001';
  await repository.put(manifestName(id), Buffer.from('damaged'));
  expect(await collectArchive(repository)).toMatchObject({
    outcome: 'blocked',
    why: expect.stringContaining(id) as string,
  });
  await repository.put(manifestName(id), Buffer.from('abandoned\n'));
  expect(await collectArchive(repository)).toEqual({ outcome: 'collected', segments: 0, bytes: 0 });
  await repository.put(`archive/${logB}/log`, Buffer.from('damaged'));
  expect(await collectArchive(repository)).toMatchObject({ outcome: 'blocked' });
  expect(await listSegments(repository, logA)).toHaveLength(1);
});
