// How far a resize is, as people and scripts see it, from the topology and the reports of nodes alone.
import type { NodeReport, ObservedNode, ReshapeReport } from '@statestore/cluster';
import { viewResize } from '@statestore/cluster';
import type { Split, Topology } from '@statestore/core';
import { evenTopology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { viewCluster } from './cluster-view.ts';
import { resizeLines } from './resize-text.ts';
import { statusTable } from './status-table.ts';

const log = { generation: 9, incarnation: 'c' };
const spec = { replicationFactor: 2, logReplicas: 3, drained: [] };

function split(source: number, target: number, changes: Partial<Split> = {}): Split {
  const slots = [{ start: source * 1024 + 512, end: source * 1024 + 1024 }];
  return { kind: 'split', id: `split-${source}`, source, target, slots, slotsEpoch: 9n, log, ...changes };
}

function topologyOf(changes: Partial<Topology>, wish: Partial<NonNullable<Topology['spec']>> = {}): Topology {
  return { ...evenTopology(4, ['n1', 'n2']), spec: { ...spec, ...wish }, ...changes };
}

function observed(name: string, reshapes: readonly ReshapeReport[], live = true): [string, ObservedNode] {
  const report: NodeReport = {
    name,
    address: `${name}:7070`,
    zone: 'a',
    version: '1',
    boot: 'b',
    count: 1,
    epoch: '1',
    draining: false,
    disk: { freeBytes: 2 ** 30, totalBytes: 2 ** 31 },
    replicas: [],
    reshapes,
  };
  return [name, { report, live, confirmed: live }];
}

function report(id: string, changes: Partial<ReshapeReport> = {}): ReshapeReport {
  return { id, state: 'building', position: '5', entries: 10, bytes: 100, part: 0.5, why: '', ...changes };
}

describe('a resize', () => {
  test('is nothing where as many partitions are there as are wanted', () => {
    expect(viewResize(topologyOf({}), new Map())).toBeUndefined();
    expect(viewResize(topologyOf({}, { partitions: 4, partitionsBefore: 2 }), new Map())).toBeUndefined();
  });

  test('counts what is done, and what is half done, by the node that is least far', () => {
    const topology = topologyOf({ reshapes: [split(0, 4), split(1, 5)] }, { partitions: 8, partitionsBefore: 2 });
    const nodes = new Map([
      observed('n1', [report('split-0', { state: 'near', part: 1 }), report('split-1', { part: 0.25 })]),
      observed('n2', [report('split-0', { part: 0.5, entries: 7 })]),
    ]);
    const view = viewResize(topology, nodes)!;
    expect(view).toMatchObject({ partitions: 4, wanted: 8, done: 2, all: 6, paused: false });
    expect(view.part).toBeCloseTo((2 + 0.5 + 0) / 6);
    // Half of one of 512, one of 512, and the two that are to be begun.
    expect(view.slotsLeft).toBe(256 + 512 + 512 + 512);
    expect(view.reshapes.map(({ state, part, entries }) => [state, part, entries])).toEqual([
      ['building', 0.5, 10],
      ['none', 0, 10],
    ]);
    const lines = resizeLines(view, { remainingMs: 12_000 });
    expect(lines[0]).toBe('Resize: 4 partitions, to be 8');
    expect(lines[1]).toBe('[#############...................] 41 %, 2 of 6 splits and merges done, about 12.0 s to go');
    expect(lines[2]).toBe('  split 0 → 4: 512 slots, 50 % built, 10 entries, 100 B (n1 near, n2 50 %)');
    expect(lines[3]).toBe(
      '  split 1 → 5: 512 slots, not begun by its nodes yet, 10 entries, 100 B (n1 25 %, n2 not begun)',
    );
  });

  test('counts the slots of merges as they grow', () => {
    const topology = topologyOf({}, { partitions: 1, partitionsBefore: 4 });
    expect(viewResize(topology, new Map())).toMatchObject({ done: 0, all: 3, part: 0, slotsLeft: 1024 + 1024 + 2048 });
  });

  test('says what it waits for: a pause, a silent node, and what nodes say', () => {
    const reshapes = [split(0, 4)];
    const topology = topologyOf({ reshapes }, { partitions: 8, partitionsBefore: 4, resizePaused: true });
    const nodes = new Map([
      observed('n1', [report('split-0', { why: 'its disk has 3 MB free, 9 MB are needed' })]),
      observed('n2', [], false),
    ]);
    const view = viewResize(topology, nodes)!;
    expect(view.waits).toEqual([
      'it is paused: what is under way ends, and nothing else is begun',
      'node n2 is silent, and has a replica of partition 0',
    ]);
    expect(resizeLines(view)).toContain('    n1: its disk has 3 MB free, 9 MB are needed');
  });

  test('that is given up goes on until nothing is under way', () => {
    const topology = topologyOf({ reshapes: [split(0, 4, { cancelled: true })] });
    const view = viewResize(topology, new Map([observed('n1', [report('split-0')])]))!;
    expect(view).toMatchObject({ wanted: undefined, done: 0, all: 1 });
    expect(resizeLines(view).join('\n')).toMatch(/given up; 4 partitions stay[^]*being cancelled/);
  });

  test('is part of the state of a cluster, and what failed is among the problems', () => {
    const retired = {
      placement: { partition: 7, slots: [], replicas: ['n1'] },
      sealedPosition: 3n,
      into: { partition: 2, generation: 1, position: 9n },
      slotsEpoch: 8n,
    };
    const topology = topologyOf(
      { reshapes: [split(0, 4)], retired: [retired] },
      { partitions: 5, partitionsBefore: 4 },
    );
    const nodes = new Map([observed('n1', [report('split-0', { state: 'failed', why: 'ENOSPC' })])]);
    const view = viewCluster('demo', topology, nodes, true);
    expect(view.problems).toContain('the split 0 → 4 failed on n1: ENOSPC');
    const table = statusTable(view);
    expect(table).toContain('Resize: 4 partitions, to be 5');
    expect(table).toContain('partition 7 was merged into 2');
    expect(JSON.parse(JSON.stringify(view))).toMatchObject({ resize: { done: 0, all: 1 }, retired: [{ into: 2 }] });
  });
});
