import { limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { ObedientCluster } from './coordinator-batch.testing.ts';
import { isResizing, resizeCancelled, resizePaused, withPartitions } from './resize-edits.ts';
import { drained } from './topology-edits.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);

function sizes(cluster: ObedientCluster): number[] {
  return cluster.topology.partitions.map(({ slots }) => slots.reduce((sum, { start, end }) => sum + end - start, 0));
}

function loads({ topology, nodes }: ObedientCluster): number[] {
  return nodes.map((node) => topology.partitions.filter(({ replicas }) => replicas.includes(node)).length);
}

const wish =
  (count: number) =>
  (topology: ObedientCluster['topology']): ReturnType<typeof withPartitions> =>
    withPartitions(topology, count);

describe('more partitions', () => {
  test.each([
    [1, 4, 3],
    [2, 8, 6],
    [4, 16, 5],
    [3, 100, 7],
  ])('from %i to %i on %i nodes: even in slots and replicas, each byte is copied once at most', (from, to, count) => {
    const cluster = new ObedientCluster({ partitions: from, nodes: names(count) });
    cluster.edit(wish(to));
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(to);
    expect(cluster.topology.spec).toEqual({ replicationFactor: 3, logReplicas: 1, drained: [] });
    expect(isResizing(cluster.topology)).toBe(false);
    expect(Math.max(...sizes(cluster))).toBeLessThanOrEqual(2 * Math.min(...sizes(cluster)) + 1);
    expect(Math.max(...loads(cluster)) - Math.min(...loads(cluster))).toBeLessThanOrEqual(1);
    expect(cluster.slotsCopied).toBeLessThanOrEqual(3 * limits.slotCount);
    expect(cluster.steps.at(-1)).toEqual({ kind: 'resized', partitions: to });
  });

  test('a few splits at a time, none of one partition with another', () => {
    const cluster = new ObedientCluster({ partitions: 8, nodes: names(3) });
    cluster.edit(wish(64));
    cluster.step();
    expect(cluster.topology.reshapes).toHaveLength(limits.reshapesMax);
    expect(cluster.step()).toMatchObject({ kind: 'waiting' });
    cluster.finish(cluster.topology.reshapes![0]!);
    cluster.step();
    expect(cluster.topology.reshapes).toHaveLength(limits.reshapesMax);
  });

  test('logs of children have generations that no log of that partition ever had', () => {
    const cluster = new ObedientCluster({ partitions: 1, nodes: names(3) });
    const seen = new Set<string>();
    for (const count of [4, 1, 3, 2, 5, 1, 4]) {
      cluster.edit(wish(count));
      for (let i = 0; i < 400 && isResizing(cluster.topology); i++) {
        cluster.step();
        for (const reshape of cluster.topology.reshapes ?? []) {
          if (reshape.kind === 'split') {
            const name = `${reshape.target} ${reshape.log.generation}`;
            expect(seen.has(name)).toBe(false);
            seen.add(name);
          }
          if (i % 3 === 0 && !reshape.cancelled && i % 2 === 0) cluster.drop(reshape);
          else cluster.finish(reshape);
        }
      }
      expect(cluster.topology.partitions).toHaveLength(count);
    }
    expect(seen.size).toBeGreaterThan(10);
  });

  test('a partition whose replicas do not run waits, and is told of', () => {
    const cluster = new ObedientCluster({ partitions: 1, nodes: names(3) });
    for (const node of ['n0', 'n1']) cluster.silent.add(node);
    cluster.edit(wish(2));
    expect(cluster.calm()).toMatchObject({
      kind: 'waiting',
      for: expect.stringMatching(/^the split of partition 0 into 1 waits: node n[01] is silent, node n[01] is silent$/),
    });
    cluster.silent.delete('n1');
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(2);
  });
});

describe('fewer partitions', () => {
  test.each([
    [4, 1, 3],
    [16, 6, 5],
    [8, 2, 6],
    [100, 3, 7],
  ])('from %i to %i on %i nodes: what becomes one comes together first', (from, to, count) => {
    const cluster = new ObedientCluster({ partitions: from, nodes: names(count) });
    cluster.edit(wish(to));
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(to);
    expect(Math.max(...loads(cluster)) - Math.min(...loads(cluster))).toBeLessThanOrEqual(1);
    for (const { slots } of cluster.topology.partitions) expect(slots).toHaveLength(1);
    expect(cluster.topology.retired).toBeUndefined();
    expect(cluster.topology.forgotten).toBeGreaterThan(0n);
    // All that is not where it is to be, once; a plan that was made anew on the way may have chosen others for a few.
    expect(cluster.slotsCopied).toBeLessThanOrEqual(3 * limits.slotCount * 1.25);
  });

  test('a retired partition is ended, its log removed, and then it is forgotten', () => {
    const cluster = new ObedientCluster({ partitions: 2, nodes: names(3) });
    cluster.edit(wish(1));
    cluster.step();
    cluster.finish(cluster.topology.reshapes![0]!);
    expect(cluster.topology.retired).toHaveLength(1);
    cluster.step();
    expect(cluster.topology.retired).toMatchObject([{ ended: true }]);
    cluster.step();
    expect(cluster.topology.retired).toBeUndefined();
  });
});

test('a new partition has no number that a retired one has, or one under way', () => {
  const cluster = new ObedientCluster({ partitions: 4, nodes: names(3) });
  cluster.edit(wish(2));
  cluster.step();
  for (const reshape of cluster.topology.reshapes!) cluster.finish(reshape);
  const retired = cluster.topology.retired!.map(({ placement }) => placement.partition);
  expect(retired).toEqual([3, 1]);
  cluster.edit(wish(6));
  cluster.step();
  cluster.finish(cluster.topology.reshapes![1]!);
  cluster.step();
  const made = cluster.steps.flatMap((step) => (step.kind === 'split' ? [step.into] : []));
  expect(made).toEqual([4, 5, 6]);
});

describe('in the middle', () => {
  function halfway(): ObedientCluster {
    const cluster = new ObedientCluster({ partitions: 4, nodes: names(5) });
    cluster.edit(wish(16));
    for (let i = 0; i < 6; i++) {
      cluster.step();
      cluster.finish(cluster.topology.reshapes![0]!);
    }
    cluster.step();
    expect(cluster.topology.reshapes).toHaveLength(limits.reshapesMax);
    return cluster;
  }

  test('it is paused: what is under way ends, and nothing more begins', () => {
    const cluster = halfway();
    cluster.edit((topology) => resizePaused(topology, true));
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(14);
    expect(cluster.steps.filter(({ kind }) => kind === 'join')).toEqual([]);
    cluster.edit((topology) => resizePaused(topology, false));
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(16);
  });

  test('it is reversed: what is under way is given up, what was done is undone', () => {
    const cluster = halfway();
    cluster.edit(wish(4));
    cluster.step();
    expect(cluster.topology.reshapes?.every(({ cancelled }) => cancelled)).toBe(true);
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(sizes(cluster)).toEqual([1024, 1024, 1024, 1024]);
  });

  test('what was decided before it was given up counts all the same', () => {
    const cluster = halfway();
    cluster.edit(wish(4));
    cluster.step();
    for (const reshape of cluster.topology.reshapes!) cluster.finish(reshape);
    expect(cluster.topology.partitions).toHaveLength(14);
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(4);
  });

  test('it is given another target, near what is there: only so many are given up', () => {
    const cluster = halfway();
    cluster.edit(wish(12));
    cluster.step();
    expect(cluster.topology.reshapes?.filter(({ cancelled }) => cancelled)).toHaveLength(2);
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(12);
  });

  test('it is cancelled: there are as many as there were just then', () => {
    const cluster = halfway();
    cluster.edit(resizeCancelled);
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions).toHaveLength(10);
    expect(isResizing(cluster.topology)).toBe(false);
  });

  test('a node of a split is lost for good: that is made again first', () => {
    const cluster = halfway();
    const { source } = cluster.topology.reshapes![0]!;
    const [lost] = cluster.topology.partitions.find(({ partition }) => partition === source)!.replicas;
    cluster.silent.add(lost!);
    cluster.givenUp.add(lost!);
    cluster.step();
    const ofLost = (topology = cluster.topology): number[] =>
      topology.partitions.flatMap(({ partition, replicas }) => (replicas.includes(lost!) ? [partition] : []));
    const hit = cluster.topology.reshapes!.filter(({ source: each }) => ofLost().includes(each));
    expect(hit.every(({ cancelled }) => cancelled)).toBe(true);
    expect(hit.length).toBeGreaterThan(0);
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(ofLost()).toEqual([]);
    expect(cluster.topology.partitions).toHaveLength(16);
  });

  test('a node is drained meanwhile', () => {
    const cluster = halfway();
    cluster.edit((topology) => drained(topology, 'n1'));
    expect(cluster.calm()).toEqual({ kind: 'done' });
    expect(cluster.topology.partitions.some(({ replicas }) => replicas.includes('n1'))).toBe(false);
  });
});
