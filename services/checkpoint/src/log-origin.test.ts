// A log of a partition that was split off leads back to its source: what is archived of either stays as long as a checkpoint
// leads there, and the history of a partition is not mixed up with that of a later one of the same number.
import { describe, expect, test } from 'vitest';
import { retiredSegments } from './archive-retention.ts';
import type { ArchivedLog, ListedLog } from './archived-log.ts';
import { History } from './history.ts';
import { originsOf } from './log-origin.ts';

const chain = '0'.repeat(32);
const cluster = 'c';
const minute = 60_000_000_000n;

function logOf(incarnation: string, partition: number, more: Partial<ArchivedLog> = {}): ArchivedLog {
  return { cluster, incarnation, partition, generation: 1, lineage: 'l', beganNanos: 0n, ...more };
}

/** Split off `source` after the position. */
function childOf(incarnation: string, partition: number, source: ArchivedLog, position: bigint, beganNanos = minute) {
  const { incarnation: of, partition: from, generation } = source;
  const origin = { partition: from, generation, incarnation: of, position };
  return logOf(incarnation, partition, {
    origin,
    beganNanos,
    generation: 2,
    continues: {
      incarnation: `state of ${incarnation}`,
      position,
      chain,
    },
  });
}

function listed(log: ArchivedLog, ...spans: readonly (readonly [bigint, bigint])[]): ListedLog {
  const segments = spans.map(([first, last]) => ({ incarnation: log.incarnation, first, last, sizeBytes: 1 }));
  return { log, segments };
}

const names = (logs: readonly ListedLog[], points: Parameters<typeof retiredSegments>[1]): string[] =>
  retiredSegments(logs, points).map(({ incarnation, first, last }) => `${incarnation} ${first}-${last}`);

describe('what is kept of the archive', () => {
  const p = logOf('p', 0);
  const q = childOf('q', 1, p, 20n);
  const all = [listed(p, [1n, 10n], [11n, 30n], [31n, 40n]), listed(q, [21n, 25n], [26n, 60n], [61n, 80n])];

  test('a checkpoint of before a split leads to both', () => {
    const points = [
      { incarnation: 'p', position: 10n, cluster, partition: 0 },
      { incarnation: 'q', position: 60n, cluster, partition: 1 },
      { incarnation: 'p', position: 35n, cluster, partition: 0 },
    ];
    expect(names(all, points)).toEqual(['p 1-10']);
  });

  test('one of after it leads from where it has them', () => {
    const points = [
      { incarnation: 'q', position: 60n, cluster, partition: 1 },
      { incarnation: 'p', position: 35n, cluster, partition: 0 },
    ];
    expect(names(all, points)).toEqual(['p 1-10', 'p 11-30', 'q 21-25', 'q 26-60']);
  });

  test('the source is found by its generation as well', () => {
    const { incarnation: _, ...origin } = q.origin!;
    const nameless = [all[0]!, { ...all[1]!, log: { ...q, origin } }];
    expect(
      names(nameless, [
        { incarnation: 'p', position: 10n },
        { incarnation: 'q', position: 60n },
      ]),
    ).toEqual(['p 1-10']);
  });

  test('a log that was over when a checkpoint of its cluster was begun goes, if none leads to it', () => {
    const at = (minutes: number) => ({ lineage: 'l', startedAtMs: minutes * 60_000, cluster });
    const after = [{ incarnation: 'p', position: 40n, partition: 0, ...at(10) }];
    expect(names(all, after).filter((name) => name.startsWith('q'))).toEqual(['q 21-25', 'q 26-60', 'q 61-80']);
    // One that was begun before it says nothing of it, nor does one of another cluster of the name.
    expect(names(all, [{ ...after[0]!, startedAtMs: 60_000 }]).filter((name) => name.startsWith('q'))).toEqual([]);
    expect(names(all, [{ ...after[0]!, lineage: 'm' }]).filter((name) => name.startsWith('q'))).toEqual([]);
  });

  test('one of whose source nobody knows stays', () => {
    const strange = { ...q, origin: { partition: 7, generation: 3, position: 20n } };
    expect(originsOf([p, strange]).size).toBe(0);
    const points = [{ incarnation: 'p', position: 40n, partition: 0, cluster, lineage: 'l', startedAtMs: 600_000 }];
    expect(names([listed(strange, [21n, 25n])], points)).toEqual([]);
  });
});

describe('the history of a partition', () => {
  const p = logOf('p', 0);
  const q = logOf('q', 1);
  const reborn = childOf('r', 1, p, 20n, 5n * minute);
  const history = new History({ cluster, logs: [p, q, reborn], checkpoints: [] });

  test('is not that of a later one of its number', () => {
    expect(history.pathFrom(1, { incarnation: 'q', position: 3n }, undefined)).toEqual([
      { incarnation: 'q', through: undefined },
    ]);
    const path = history.pathFrom(0, { incarnation: 'p', position: 3n }, undefined);
    const [split, ...others] = history.splitsOn(path, 3n);
    expect(others).toEqual([]);
    expect(split).toEqual({ partition: 1, generation: 2, incarnation: 'state of r', position: 20n, chain });
    for (const nanos of [undefined, 2n * minute, 9n * minute])
      expect(history.pathFrom(1, split!, nanos).map(({ incarnation }) => incarnation)).toEqual(['state of r', 'r']);
    expect(history.splitsOn(path, 21n)).toEqual([]);
  });

  test('goes on where the child’s own log was recovered', () => {
    const again = logOf('r2', 1, {
      generation: 3,
      beganNanos: 8n * minute,
      continues: { incarnation: 'r', position: 44n, chain },
    });
    const known = new History({ cluster, logs: [p, q, reborn, again], checkpoints: [] });
    const [split] = known.splitsOn([{ incarnation: 'p', through: undefined }], 3n);
    const path = known.pathFrom(1, split!, undefined);
    expect(path.map(({ incarnation, through }) => [incarnation, through])).toEqual([
      ['state of r', 20n],
      ['r', 44n],
      ['r2', undefined],
    ]);
  });

  test('is that of the log before, where the source’s log was lost between fence and hand-over', () => {
    const lost = logOf('p2', 0, { generation: 2, continues: { incarnation: 'p', position: 25n, chain } });
    const child = childOf('x', 1, lost, 20n);
    expect(originsOf([p, lost, child]).get('x')).toEqual({ incarnation: 'p', position: 20n });
  });
});
