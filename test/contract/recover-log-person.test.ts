// What a person is told, and may decide, where nodes do not recover a log by themselves: histories that differ, a log
// that grew again under one replica, what a replica had and lost, and the loss of the only one that was recovered from.
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeRegistry, ObservedNode } from '@statestore/cluster';
import { recoverLog } from '@statestore/cluster';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { viewCluster } from '../../services/cli/src/cluster/cluster-view.ts';
import type { PartitionVerdict } from '../../services/cli/src/cluster/recovery-verdict.ts';
import { isUnsettled, judgePartition, verdictLines } from '../../services/cli/src/cluster/recovery-verdict.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';
import { hurriedClock } from './recover-log-fixture.ts';

const three = ['a', 'b', 'c'];
const two = ['a', 'b'];
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend);
  await Promise.all(three.map((name) => cluster.start(name)));
  await cluster.create(1, three);
  await cluster.running(three);
  await write(3, 'a');
  await cluster.converged(three);
});
afterEach(() => cluster.close());

async function write(count: number, name: string): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.put(name, `k${i}`, 'v');
}

/** a and b go on to 6, which is acknowledged; then the log loses what is after 3. Nobody runs. */
async function cut(): Promise<void> {
  await cluster.stop('c');
  await write(3, 'a');
  await cluster.converged(two);
  await reported('a', 6n);
  for (const name of two) await cluster.stop(name);
  backend.logs.cut(0, 1, 3n);
}

/** A node's view of a cluster of which it has heard nothing. */
function alone(registry: NodeRegistry): NodeRegistry {
  return {
    report: (said) => registry.report(said),
    remove: (name) => registry.remove(name),
    list: () => Promise.resolve([]),
    watch: () => ({ close: () => Promise.resolve() }),
  };
}

async function reported(name: string, position: bigint): Promise<void> {
  await cluster.until(`${name} has reported ${position}`, async () =>
    (await cluster.registry.list()).some(
      (report) => report.name === name && BigInt(report.replicas[0]?.appliedPosition ?? 0) >= position,
    ),
  );
}

async function observed(epoch = 0n): Promise<ReadonlyMap<string, ObservedNode>> {
  const reports = await cluster.registry.list();
  const isHere = (name: string): boolean => cluster.names.includes(name);
  return new Map(
    reports.map((report) => {
      const confirmed = isHere(report.name) && BigInt(report.epoch) >= epoch;
      return [report.name, { report, live: confirmed, confirmed }];
    }),
  );
}

async function judge(from?: string): Promise<PartitionVerdict> {
  const placement = await cluster.placement(0);
  const stream = await cluster.logStreams.describe(0, placement.log!.generation);
  return judgePartition(placement, await observed(), stream, { from });
}

/** As `statestore recover --yes --force`. */
async function carryOn(from?: string): Promise<void> {
  const { topologyStore, logStreams } = cluster;
  const { log } = await cluster.placement(0);
  const decide = async (placement: Parameters<typeof judgePartition>[0], epoch: bigint) => {
    let verdict: PartitionVerdict | undefined;
    await cluster.until('all that run have spoken', async () => {
      const nodes = await observed(epoch);
      const stream = await logStreams.describe(0, placement.log!.generation);
      verdict = judgePartition(placement, nodes, stream, { from, epoch });
      const areHeard = cluster.names.every((name) => nodes.get(name)?.confirmed === true);
      return areHeard && verdict.kind === 'recover';
    });
    return verdict?.kind === 'recover' ? verdict.decision.point : expect.fail('it is refused');
  };
  const { incarnation } = log!;
  await recoverLog(
    { topologyStore, logStreams, clock: hurriedClock },
    { partition: 0, incarnation, position: 0n, decide },
    { force: true },
  );
}

test('one that is behind by another history is not given up without being told, and the status says so', async () => {
  await cut();
  await cluster.start('c', { registry: alone(backend.registry) });
  await cluster.running(['c']);
  await cluster.put('c', 'acknowledged', 'yes');
  await cluster.stop('c');
  for (const name of ['c', 'a', 'b']) await cluster.start(name);
  for (const name of three) await cluster.halted(name, 'log_regressed');
  await cluster.until('that is reported', async () => {
    const stream = await cluster.logStreams.describe(0, 1);
    return !isUnsettled(await cluster.placement(0), await observed(), stream);
  });
  const verdict = await judge();
  const text = verdictLines(verdict, false).join('\n');
  expect(text).toMatch(/only with --force: carry on from a, position \d+/);
  expect(text).toMatch(/something else, which is given up: c/);
  expect(text).toMatch(/node c has another history than a: at \d+ they differ/);
  const { problems } = viewCluster('test', await cluster.topology(), await observed(), true);
  expect(problems.join('\n')).toMatch(/partition 0 on c has another history than on a: at \d+ they differ/);
  expect((await cluster.placement(0)).log?.generation).toBe(1);
});

/** It grows again under c, while a and b wait for what it lost. */
async function grow(): Promise<void> {
  await cut();
  for (const name of three) await backend.registry.remove(name);
  await cluster.start('c');
  await cluster.running(['c']);
  await write(8, 'c');
  for (const name of two) await cluster.start(name);
  for (const name of two) await cluster.halted(name, 'log_regressed');
}

test('a log that lost its end and grew again under one replica is not said to be sound; those that wait can be carried on', async () => {
  await grow();
  await cluster.until('it is told', async () =>
    verdictLines(await judge(), true)
      .join('\n')
      .includes('another history than c'),
  );
  expect(await judge()).toMatchObject({ kind: 'refused' });
  expect(await judge('a')).toMatchObject({ kind: 'refused' });
  await cluster.stop('c');
  await carryOn('a');
  await cluster.running(two);
  expect((await cluster.placement(0)).log).toMatchObject({ generation: 2, continues: { position: 6n } });
  await cluster.put('b', 'after', 'v');
}, 60_000);

test('where such a log is kept, those that wait are built anew as the command says, one after the other', async () => {
  await grow();
  await cluster.until('it is told', async () =>
    verdictLines(await judge(), true)
      .join('\n')
      .includes('move partitions/0/data out'),
  );
  for (const name of two) {
    await cluster.stop(name);
    await rename(join(cluster.dataPath(name), 'partitions', '0', 'data'), `${cluster.dataPath(name)}-kept`);
    await cluster.start(name);
    await cluster.converged([name, 'c']);
  }
  await cluster.until('it is sound', async () => (await judge()).kind === 'sound');
  await cluster.put('a', 'after', 'v');
  await cluster.converged(three);
}, 60_000);

test('what a replica is known to have had, and nobody has any more, is not given up without a person', async () => {
  for (const name of two) await cluster.stop(name);
  const last = await cluster.put('c', 'only here', 'acknowledged');
  await reported('c', last);
  await cluster.stop('c');
  await backend.logs.remove(0, 1);
  for (const name of two) await cluster.start(name);
  for (const name of two) await cluster.halted(name, 'log_regressed');
  await rm(cluster.dataPath('c'), { recursive: true });
  await cluster.start('c');
  await cluster.until('that is why', () =>
    cluster.notices.some(({ details }) => String(details['why']).startsWith(`a replica was at ${last}, and none has`)),
  );
  expect((await cluster.placement(0)).log?.generation).toBe(1);
  expect(verdictLines(await judge(), false).join('\n')).toContain(`known to have been at ${last}`);
  await carryOn();
  await cluster.converged(three);
}, 60_000);

test('the replica that was recovered from is lost before any was rebuilt: the rest can be carried on', async () => {
  await cluster.stop('c');
  await write(1, 'a');
  await cluster.converged(two);
  await cluster.stop('b');
  await write(1, 'a');
  const { appliedPosition, incarnation, chain } = cluster.report('a')!;
  await cluster.stop('a');
  const position = BigInt(appliedPosition);
  const continues = { incarnation, position, chain };
  const log = await backend.logs.create({ partition: 0, generation: 2, replicas: 1, first: position + 1n, continues });
  await cluster.change(0, (placement) => ({ ...placement, log }));
  // It has taken over all alone.
  await cluster.start('a');
  await cluster.running(['a']);
  await cluster.stop('a');
  await rm(cluster.dataPath('a'), { recursive: true });
  for (const name of three) await cluster.start(name);
  for (const name of ['b', 'c']) await cluster.halted(name, 'log_trimmed');
  await cluster.until('it is told', async () => (await judge()).kind === 'recover');
  const text = verdictLines(await judge(), false).join('\n');
  expect(text).toContain('only with --force: carry on from b');
  expect(text).toContain(`nobody has anything of log ${log.incarnation} any more`);
  await carryOn();
  expect((await cluster.placement(0)).log).toMatchObject({ generation: 3, continues: { incarnation } });
  await cluster.converged(three);
  await cluster.put('c', 'after', 'v');
  await cluster.converged(three);
}, 60_000);
