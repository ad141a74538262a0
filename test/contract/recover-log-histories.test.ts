// Replicas of which one went on alone, with a log that had lost what the others have: each may have acknowledged what
// the other has not, so that nobody chooses but a person.
import type { NodeRegistry } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend);
});
afterEach(() => cluster.close());

/** Of a node that hears of no other. */
function alone(registry: NodeRegistry): NodeRegistry {
  return {
    report: (said) => registry.report(said),
    remove: (name) => registry.remove(name),
    list: () => Promise.resolve([]),
    watch: () => ({ close: () => Promise.resolve() }),
  };
}

test.each([true, false])('one that is behind is carried along where it has the same history: %s', async (same) => {
  for (const name of three) await cluster.start(name);
  await cluster.create(1, three);
  await cluster.running(three);
  for (let i = 0; i < 3; i++) await cluster.put('a', `k${i}`, 'v');
  await cluster.converged(three);
  await cluster.stop('c');
  for (let i = 3; i < 6; i++) await cluster.put('a', `k${i}`, 'v');
  await cluster.converged(['a', 'b']);
  // What they had is known when all start again.
  await cluster.until('a and b have reported', async () =>
    (await cluster.registry.list()).every(
      ({ name, replicas }) => name === 'c' || BigInt(replicas[0]?.appliedPosition ?? 0) >= 6n,
    ),
  );
  await cluster.stop('a');
  await cluster.stop('b');
  backend.logs.cut(0, 1, 3n);
  await cluster.start('c', { registry: alone(backend.registry) });
  await cluster.running(['c']);
  if (!same) await cluster.put('c', 'acknowledged', 'yes');
  await cluster.stop('c');
  await cluster.start('c');
  await cluster.halted('c', 'log_regressed');
  await cluster.start('a');
  await cluster.start('b');
  if (same) {
    await cluster.until('it is another log', async () => (await cluster.placement(0)).log?.generation === 2);
    await cluster.running(three);
    await cluster.converged(three);
    return;
  }
  await cluster.until('that is said', () =>
    cluster.notices.some(({ details }) => String(details['why']).includes('node c has another history')),
  );
  for (const name of three) await cluster.halted(name, 'log_regressed');
  expect(await cluster.placement(0)).toMatchObject({ log: { generation: 1 } });
  expect(await cluster.logStreams.describe(0, 1)).not.toHaveProperty('sealed');
});
