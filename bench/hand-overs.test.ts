// What a benchmark of a resize says of hand-overs: whose pause is whose, and what was moved.
import { MemoryNodeRegistry, MemoryTopologyStore } from '@statestore/cluster';
import type { Split, Topology } from '@statestore/core';
import { evenTopology, limits } from '@statestore/core';
import { expect, test } from 'vitest';
import { HandOvers, pauseOf, percentile, restingPauses } from './hand-overs.ts';
import { figuresOf, statements, wrongText } from './resize.ts';
import { keysOverSlots } from './slot-probes.ts';

const [one, two] = ['6f1f0b8e-0000-4000-8000-000000000001', '6f1f0b8e-0000-4000-8000-000000000002'];
const slots = [{ start: 1024, end: 2048 }];
const write = (slot: number, sentMs: number, tookMs: number) => ({
  slot,
  sentMs,
  answeredMs: sentMs + tookMs,
  status: 200,
});

test('a pause is the longest wait of a write to a slot that was handed over, about then', () => {
  const writes = [
    write(1500, 9800, 250),
    write(1500, 10_000, 20),
    write(100, 9900, 900),
    write(1500, 20_000, 5000),
    write(2048, 9900, 700),
  ];
  expect(pauseOf({ slots, atMs: 10_000 }, writes)).toBe(250);
  expect(pauseOf({ slots: [{ start: 0, end: 50 }], atMs: 10_000 }, writes)).toBeUndefined();
  expect(restingPauses(writes, 8000, 24_000)).toEqual([900, 5000]);
});

test('percentiles of a few values', () => {
  expect(percentile([5, 1, 3], 50)).toBe(3);
  expect(percentile([5, 1, 3], 99)).toBe(5);
  expect(percentile([], 99)).toBeNaN();
});

test('keys lie in every part of the slots', () => {
  const keys = keysOverSlots('bench', 64);
  expect(keys.map(({ slot }) => Math.floor((slot * 64) / limits.slotCount))).toEqual(
    Array.from({ length: 64 }, (_, n) => n),
  );
});

test('hand-overs are told when the topology says that they are done, with what was moved', async () => {
  const store = new MemoryTopologyStore();
  const registry = new MemoryNodeRegistry();
  const handOvers = new HandOvers(store, registry);
  const split: Split = {
    kind: 'split',
    id: one,
    source: 0,
    target: 2,
    slots,
    slotsEpoch: 2n,
    log: { generation: 2, incarnation: one },
  };
  const begun: Topology = {
    ...evenTopology(2, ['n1']),
    epoch: 2n,
    reshapes: [split, { ...split, id: two, source: 1, target: 3, slots: [{ start: 3000, end: 4096 }] }],
  };
  await store.replace(evenTopology(2, ['n1']));
  await store.replace(begun);
  await expect.poll(() => handOvers.topology?.epoch).toBe(2n);
  const reshape = { id: one, state: 'near', position: '1', entries: 5, bytes: 700, why: '' } as const;
  await registry.report({
    name: 'n1',
    address: 'n1:1',
    zone: '',
    version: '',
    boot: 'b',
    count: 1,
    epoch: '2',
    draining: false,
    disk: { freeBytes: 1, totalBytes: 1 },
    replicas: [],
    reshapes: [reshape],
  });
  const partitions = [
    { partition: 0, slots: [{ start: 0, end: 1024 }], replicas: ['n1'] },
    { partition: 1, slots: [{ start: 2048, end: 4096 }], replicas: ['n1'] },
    { partition: 2, slots, replicas: ['n1'] },
  ];
  // The other one is given up.
  await store.replace({ epoch: 3n, partitions });
  await expect.poll(() => handOvers.all).toMatchObject([{ kind: 'split', slots, moved: { bytes: 700, entries: 5 } }]);
  await handOvers.close();
});

test('figures of a resize', () => {
  const second = (requestsPerSecond: number, wrong: Readonly<Record<string, number>> = {}) => ({
    requestsPerSecond,
    p99Ms: 5,
    wrong,
  });
  const handOver = { kind: 'split' as const, slots, atMs: 0, tookMs: 1, moved: { bytes: 5e5, entries: 1 } };
  const figures = figuresOf(
    {
      before: [second(100), second(90), second(110)],
      during: [second(80), second(55, { 503: 2 }), second(100)],
      handOvers: [handOver, handOver],
      pauses: [40, 320],
      restingPauses: [10],
      wrong: { none: 1 },
      tookMs: 3000,
    },
    1e6,
  );
  expect(figures).toMatchObject({
    requestsPerSecond: 100,
    leastRatio: 0.55,
    secondsBelow: 1,
    errors: 3,
    handOvers: 2,
    pauseP99Ms: 320,
    movedMegabytes: 1,
    movedRatio: 1,
    seconds: 3,
  });
  expect(statements([{ group: 'g', name: '2 → 8', figures }]).match(/not met/g)).toHaveLength(3);
  const wrong = { before: [second(1)], during: [second(1, { 503: 2, 404: 1 })], wrong: { 503: 1 } };
  expect(wrongText(wrong)).toBe('answers of another status than 200 and 201: 1 of 404, 3 of 503');
  expect(wrongText({ ...wrong, during: [], wrong: {} })).toBeUndefined();
});
