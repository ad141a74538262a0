// The state of a cluster as people see it: who is live, who holds what, and what is wrong.
import type { NodeReport, ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { evenTopology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { viewCluster } from './cluster-view.ts';
import { statusTable } from './status-table.ts';

function replica(partition: number, changes: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    partition,
    state: 'running',
    reason: '',
    incarnation: 'i',
    appliedPosition: '10',
    storedPosition: '9',
    lag: 0,
    chain: '',
    stateHash: '',
    entries: 0,
    bytes: 0,
    ...changes,
  };
}

function observed(name: string, replicas: readonly ReplicaReport[], changes: Partial<ObservedNode> = {}): ObservedNode {
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
    replicas,
  };
  return { report, live: true, confirmed: true, ...changes };
}

function nodesOf(...nodes: readonly ObservedNode[]): ReadonlyMap<string, ObservedNode> {
  return new Map(nodes.map((node) => [node.report.name, node]));
}

const spec = { replicationFactor: 2, logReplicas: 3, drained: [] };
const topology: Topology = { ...evenTopology(2, ['n1', 'n2']), spec };

describe('a cluster', () => {
  test('tells what replicas wait for, and which nodes have no answer of their repository', () => {
    const silent = observed('n2', [replica(0), replica(1)]);
    const report = { ...silent.report, repositorySilence: { sinceMs: 1_767_225_600_000, why: 'connection refused' } };
    const waits = replica(1, { state: 'copying', reason: 'no checkpoint leads to its log' });
    const nodes = nodesOf(observed('n1', [replica(0), waits]), { ...silent, report });
    const view = viewCluster('demo', topology, nodes, true);
    expect(statusTable(view)).toContain('n1@10 (copying, no checkpoint leads to its log)');
    expect(view.problems).toEqual([
      'the repository of checkpoints has not answered node n2 since 2026-01-01 00:00:00Z: connection refused',
    ]);
    const gone = nodesOf(nodes.get('n1')!, { ...nodes.get('n2')!, live: false, confirmed: false });
    expect(viewCluster('demo', topology, gone, true).problems.join()).not.toContain('repository');
  });

  test('tells how far replicas are that are built', () => {
    const build = { source: 'checkpoint', from: 'id', records: 5, bytes: 600, part: 0.427, remainingMs: 2100 } as const;
    const copied = { source: 'peer', from: 'n1', records: 7, bytes: 900 } as const;
    const nodes = nodesOf(
      observed('n1', [replica(0, { state: 'copying', build }), replica(1)]),
      observed('n2', [replica(0), replica(1, { state: 'copying', build: copied })]),
    );
    const table = statusTable(viewCluster('demo', topology, nodes, true));
    expect(table).toContain('n1@10 (copying, 42% of checkpoint id: 5 records, 600 B, 3 s left)');
    expect(table).toContain('n2@10 (copying, copied from node n1: 7 records, 900 B)');
  });

  test('that is well has no problems', () => {
    const nodes = nodesOf(observed('n1', [replica(0), replica(1)]), observed('n2', [replica(0), replica(1)]));
    const view = viewCluster('demo', topology, nodes, true);
    expect(view.problems).toEqual([]);
    expect(view.nodes.map(({ name, state, replicas, preferred }) => [name, state, replicas, preferred])).toEqual([
      ['n1', 'live', 2, 2],
      ['n2', 'live', 2, 0],
    ]);
    expect(view.partitions[1]).toMatchObject({ partition: 1, slots: 2048, position: '10' });
    expect(JSON.parse(JSON.stringify(view))).toMatchObject({ epoch: '1', replicationFactor: 2, logReplicas: 3 });
  });

  test('says what a person has to look at before it goes', () => {
    const kept = [{ partition: 1, path: 'partitions/1/aside-2', why: 'another history', bytes: 3 * 2 ** 20 }];
    const one = observed('n1', [replica(0), replica(1)]);
    const nodes = nodesOf({ ...one, report: { ...one.report, kept } }, observed('n2', [replica(0), replica(1)]));
    const view = viewCluster('demo', topology, nodes, true);
    expect(view.problems).toEqual([]);
    expect(view.kept).toEqual([{ node: 'n1', ...kept[0] }]);
    expect(statusTable(view)).toContain('  n1: partitions/1/aside-2 (3 MiB): another history');
  });

  test('without a topology says what to do', () => {
    expect(viewCluster('demo', undefined, new Map(), true).problems).toEqual([
      'there is no topology: run `statestore init`',
    ]);
    expect(statusTable(viewCluster('demo', undefined, new Map(), true))).toContain('no topology');
  });

  test('tells a silent node from one that it has not watched long enough', () => {
    const unsure = nodesOf(observed('n1', [], { confirmed: false }));
    expect(viewCluster('demo', undefined, unsure, false).nodes[0]?.state).toBe('unknown');
    expect(viewCluster('demo', undefined, unsure, true).nodes[0]?.state).toBe('silent');
    const gone = nodesOf(observed('n1', [], { live: false, confirmed: false }));
    expect(viewCluster('demo', undefined, gone, false).nodes[0]?.state).toBe('silent');
  });

  test('names what is wrong, the worst first', () => {
    const halted = replica(1, { state: 'halted', haltCause: 'log_regressed', reason: 'the log ends at 3' });
    const nodes = nodesOf(observed('n1', [replica(0), halted]));
    expect(viewCluster('demo', topology, nodes, true).problems).toEqual([
      'partition 1: no replica serves it',
      'partition 1 on n1 has halted: log_regressed: the log ends at 3',
      'node n2 has never reported; 2 replicas are on it',
    ]);
  });

  test('tells of replicas of one log that have different histories', () => {
    const waiting = { state: 'halted', haltCause: 'log_regressed' } as const;
    const ahead = replica(1, { ...waiting, chain: 'x', passed: [{ position: '7', chain: 'seven' }] });
    const behind = replica(1, { ...waiting, appliedPosition: '7', chain: 'another' });
    const log = { generation: 1, incarnation: 'i' };
    const one: Topology = { ...topology, partitions: topology.partitions.map((each) => ({ ...each, log })) };
    const problems = (other: ReplicaReport) =>
      viewCluster('demo', one, nodesOf(observed('n1', [replica(0), ahead]), observed('n2', [replica(0), other])), true)
        .problems;
    const differs = 'partition 1 on n2 has another history than on n1: at 7 they differ';
    expect(problems(behind)).toContain(differs);
    expect(problems({ ...behind, chain: 'seven' })).not.toContain(differs);
  });

  test('knows replicas that come and go, and nodes that are drained', () => {
    const moving: Topology = {
      epoch: 7n,
      spec: { ...spec, drained: ['n1'] },
      partitions: [
        { partition: 0, slots: [{ start: 0, end: 4096 }], replicas: ['n1', 'n2'], joining: ['n3'], leaving: ['n1'] },
      ],
    };
    const nodes = nodesOf(
      observed('n1', [replica(0)]),
      observed('n2', [replica(0, { lag: 4, appliedPosition: '6' })]),
      observed('n3', [replica(0, { state: 'copying', appliedPosition: '0' })]),
    );
    const view = viewCluster('demo', moving, nodes, true);
    expect(view.nodes[0]).toMatchObject({ name: 'n1', draining: true });
    expect(view.partitions[0]?.replicas.map(({ node, role }) => `${node} ${role}`)).toEqual([
      'n1 leaving',
      'n2 replica',
      'n3 joining',
    ]);
    expect(statusTable(view)).toContain('n1@10 (leaving)  n2@6 (lag 4)  n3@0 (joining, copying)');
  });
});

describe('the table', () => {
  const many: Topology = { ...evenTopology(100, ['n1', 'n2']), spec };
  const view = viewCluster('demo', many, new Map(), true);

  test('fits a screen, and says what it left out', () => {
    const lines = statusTable({ ...view, problems: [] }, 20).split('\n');
    expect(lines.length).toBeLessThanOrEqual(20);
    expect(lines.join('\n')).toMatch(/… and \d+ more partitions/);
  });

  test('is whole where there is room', () => {
    const text = statusTable(view);
    for (let partition = 0; partition < 100; partition++) expect(text).toMatch(new RegExp(`^${partition} `, 'm'));
  });
});
