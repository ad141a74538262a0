import type { Merge, Topology } from '@statestore/core';
import { checkTopology, evenTopology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { isResizing, resizeCancelled, resizePaused, withPartitions } from './resize-edits.ts';
import { moved } from './topology-edits.ts';

const spec = { replicationFactor: 1, logReplicas: 1, drained: [] };
const even = evenTopology(4, ['n1']);
const topology: Topology = { ...even, spec };
const merge: Merge = {
  kind: 'merge',
  id: '0198c5a4-0000-4000-8000-000000000001',
  source: 3,
  target: 2,
  slots: even.partitions[3]!.slots,
  slotsEpoch: 1n,
};

const after = (before: Topology, edit: Partial<Topology> | undefined): Topology => {
  const next = { ...before, ...edit };
  checkTopology(next);
  return next;
};

describe('a wish for so many partitions', () => {
  test('is written down, with how many there were', () => {
    const next = after(topology, withPartitions(topology, 16));
    expect(next.spec).toEqual({ ...spec, partitions: 16, partitionsBefore: 4 });
    expect(isResizing(next)).toBe(true);
    expect(withPartitions(next, 16)).toBeUndefined();
  });

  test('that is met already is none', () => {
    expect(withPartitions(topology, 4)).toBeUndefined();
    const back = after(topology, withPartitions({ ...topology, spec: { ...spec, partitions: 16 } }, 4));
    expect(back.spec).toMatchObject({ partitions: 4, partitionsBefore: 4 });
    expect(withPartitions({ ...topology, reshapes: [merge] }, 4)).toBeDefined();
  });

  test.each([0, 4097, 1.5, Number.NaN])('for %d is refused', (count) => {
    expect(() => withPartitions(topology, count)).toThrow(expect.objectContaining({ code: 'invalid_parameter' }));
  });

  test('is paused and goes on, also with another number', () => {
    const wished = after(topology, withPartitions(topology, 16));
    const paused = after(wished, resizePaused(wished, true));
    expect(paused.spec?.resizePaused).toBe(true);
    expect(resizePaused(paused, true)).toBeUndefined();
    expect(after(paused, withPartitions(paused, 2)).spec).toMatchObject({ partitions: 2, resizePaused: true });
    expect(after(paused, resizePaused(paused, false)).spec).toEqual(wished.spec);
    expect(resizePaused(wished, false)).toBeUndefined();
    expect(() => resizePaused(topology, true)).toThrow('not being changed');
  });

  test('is taken back with all that is under way', () => {
    const wished = after({ ...topology, reshapes: [merge] }, withPartitions(topology, 2));
    const cancelled = after(wished, resizeCancelled(wished));
    expect(cancelled.spec).toEqual(spec);
    expect(cancelled.reshapes).toEqual([{ ...merge, cancelled: true }]);
    expect(resizeCancelled(cancelled)).toBeUndefined();
    expect(isResizing(cancelled)).toBe(true);
    expect(resizeCancelled(topology)).toBeUndefined();
  });
});

test('a replica of what is being merged is not moved', () => {
  expect(() => moved({ ...topology, reshapes: [merge] }, { partition: 2, from: 'n1', to: 'n2' })).toThrow(
    'is being merged',
  );
});
