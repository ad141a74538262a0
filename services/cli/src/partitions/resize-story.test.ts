// What `partitions resize` and `partitions status` tell of a resize.
import type { ReshapeView, ResizeView } from '@statestore/cluster';
import { expect, test } from 'vitest';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { loadsBetween, nodeLoads } from './loads.ts';
import { ResizeStory } from './resize-story.ts';
import type { ResizeLook } from './resize-watch.ts';
import { jsonOf } from './resize-watch.ts';
import { textOf } from './status.ts';
import type { NodeReport, ReplicaReport } from '@statestore/cluster';

function reshape(id: string, changes: Partial<ReshapeView> = {}): ReshapeView {
  return {
    id,
    kind: 'split',
    source: 0,
    target: 2,
    slots: 1024,
    cancelled: false,
    state: 'building',
    part: 0.5,
    entries: 10,
    bytes: 2048,
    nodes: [{ node: 'n1', state: 'building', part: 0.5, why: '' }],
    ...changes,
  };
}

function lookOf(resize?: Partial<ResizeView>, remainingMs?: number): ResizeLook {
  const view: ClusterView = {
    cluster: 'demo',
    epoch: '7',
    replicationFactor: 1,
    logReplicas: 1,
    nodes: [],
    partitions: [0, 1].map((partition) => ({
      partition,
      slots: 2048,
      generation: 1,
      position: '5',
      entries: 40 + partition,
      bytes: 2048,
      replicas: [],
    })),
    retired: [],
    kept: [],
    problems: [],
    ...(resize && {
      resize: {
        partitions: 2,
        wanted: 4,
        paused: false,
        done: 0,
        all: 2,
        part: 0.25,
        slotsLeft: 1536,
        reshapes: [],
        waits: [],
        ...resize,
      },
    }),
  };
  return { view, remainingMs };
}

test('a story tells what begins and ends, and each reason to wait once', () => {
  const told: string[] = [];
  const story = new ResizeStory((line) => told.push(line));
  const waits = ['node n2 is silent'];
  story.saw(lookOf({ reshapes: [reshape('a')] }), performance.now());
  story.saw(lookOf({ reshapes: [reshape('a'), reshape('b', { kind: 'merge', source: 3 })], waits }), performance.now());
  story.saw(lookOf({ reshapes: [reshape('b', { kind: 'merge', source: 3 })], waits }), performance.now());
  story.saw(lookOf(), performance.now());
  story.end(4, 4);
  story.end(3, 4);
  expect(told.slice(0, -2)).toEqual([
    'split 0 → 2 begins: 1024 slots',
    'merge 3 → 2 begins: 1024 slots',
    'waits: node n2 is silent',
    'split 0 → 2 is done',
    'merge 3 → 2 is done',
  ]);
  expect(told.at(-2)).toMatch(/^There are 4 partitions after \d+ ms\.$/);
  expect(told.at(-1)).toContain('not the 4 that this command asked for');
});

test('a story knows for how long nothing got done', () => {
  const story = new ResizeStory(() => {});
  const nowMs = performance.now();
  story.saw(lookOf({ reshapes: [reshape('a', { entries: 1 })] }), nowMs + 1000);
  story.saw(lookOf({ reshapes: [reshape('a', { entries: 2 })] }), nowMs + 2000);
  story.saw(lookOf({ reshapes: [reshape('a', { entries: 2 })], waits: ['x'] }), nowMs + 9000);
  expect(story.silentMs(nowMs + 9000)).toBeCloseTo(7000);
  expect(story.why()).toBe('; it waits: x');
});

test('a status has the bar, the expected end, and what partitions hold', () => {
  const text = textOf(lookOf({ reshapes: [reshape('a')] }, 3000));
  expect(text).toContain('[########........................] 25 %, 0 of 2 splits and merges done, about 3.0 s to go');
  expect(text).toMatch(/PARTITION +SLOTS +ENTRIES +BYTES[^]*1 +2048 +41 +2\.0 KiB/);
  expect(textOf(lookOf())).toMatch(/^cluster demo: 2 partitions; none is split or merged\./);
  expect(textOf(lookOf(), 5).split('\n').at(-1)).toBe('1          2048   41       2.0 KiB');
  expect(textOf({ ...lookOf(), view: { ...lookOf().view, epoch: undefined } })).toBe('cluster demo: no topology');
});

test('scripts get the same, with the time at which it will be done', () => {
  const document: unknown = JSON.parse(jsonOf(lookOf({}, 3000), Date.UTC(2026, 0, 1)));
  expect(document).toMatchObject({
    epoch: '7',
    resize: { wanted: 4, done: 0, all: 2, remainingMs: 3000, expectedAt: '2026-01-01T00:00:03.000Z' },
  });
  expect(JSON.parse(jsonOf(lookOf(), 0))).not.toHaveProperty('resize');
});

test('loads are what got done between two reports, of all replicas of a partition', () => {
  const report = (name: string, boot: string, operations: readonly number[]): NodeReport => ({
    name,
    address: '',
    zone: '',
    version: '',
    boot,
    count: 1,
    epoch: '1',
    draining: false,
    disk: { freeBytes: 0, totalBytes: 0 },
    replicas: operations.map(
      (operations, partition) =>
        ({ partition, state: 'running', bytes: 100 * (partition + 1), operations }) as ReplicaReport,
    ),
  });
  const before = [report('n1', 'a', [100, 5]), report('n2', 'old', [1000, 0])];
  const after = [report('n1', 'a', [300, 5]), report('n2', 'new', [50, 20])];
  const loads = loadsBetween(before, after, 2000);
  expect([...loads]).toEqual([
    [0, { bytes: 100, operationsPerS: 100 }],
    [1, { bytes: 200, operationsPerS: 0 }],
  ]);
  const placements = [
    { partition: 0, slots: [], replicas: ['n1', 'n2'] },
    { partition: 1, slots: [], replicas: ['n1'] },
  ];
  expect(nodeLoads(loads, placements)).toEqual([
    { node: 'n1', replicas: 2, bytes: 300, operationsPerS: 50 },
    { node: 'n2', replicas: 1, bytes: 100, operationsPerS: 50 },
  ]);
});
