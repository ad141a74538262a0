// `statestore partitions balance`: spreads replicas over nodes by what partitions hold and do, and not by their number
// alone. What they do is measured while it looks: the reports of two moments are compared.
import { setTimeout as sleep } from 'node:timers/promises';
import type { PartitionLoad } from '@statestore/core';
import { sizeOf } from '../checkpoint/columns.ts';
import { clusterSettings } from '../cluster-settings.ts';
import { withCluster } from '../cluster/command.ts';
import { coordinated, coordinationSettings, nodesSettled, runToEnd, seconds } from '../cluster/coordinate.ts';
import { readSettings } from '../settings.ts';
import { loadsBetween, nodeLoads } from './loads.ts';

const balanceSettings = {
  ...clusterSettings,
  ...coordinationSettings,
  measure: seconds(10, 'how long reads and writes are counted'),
};

/** More than a plan of any size takes: a load that changes all the time ends it as well. */
const roundsMax = 1000;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

export async function balance(argv: readonly string[]): Promise<void> {
  const description = 'Spreads replicas over nodes by the bytes and operations of their partitions.';
  const settings = readSettings('statestore partitions balance', description, balanceSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { giveUpAfter, timeout, measure = 0 } = settings;
  await withCluster(settings, 'partitions-balance', async (connection, signal) => {
    const { registry, topologyStore } = connection;
    print(`Reads and writes are counted for ${measure / 1000} s.`);
    const [before, beganMs] = [await registry.list(), performance.now()];
    await sleep(measure, undefined, { signal }).catch(() => {});
    const loads = loadsBetween(before, await registry.list(), performance.now() - beganMs);
    const tell = async (): Promise<void> => print(loadText(loads, (await topologyStore.read())?.partitions ?? []));
    await tell();
    await coordinated(connection, giveUpAfter, async (coordinator) => {
      await nodesSettled(coordinator, signal);
      // As many at a time as may be under way; each time by what is left.
      for (let round = 0; round < roundsMax; round++) {
        const { moves } = await coordinator.balance(loads);
        if (moves.length === 0) return;
        for (const { partition, from, to } of moves) print(`partition ${partition} moves from ${from} to ${to}`);
        await runToEnd({ coordinator, signal, timeout, print });
      }
    });
    await tell();
  });
}

function loadText(loads: ReadonlyMap<number, PartitionLoad>, placements: Parameters<typeof nodeLoads>[1]): string {
  const rows = nodeLoads(loads, placements).map(
    ({ node, replicas, bytes, operationsPerS }) =>
      `  ${node}: ${replicas} replicas, ${sizeOf(bytes)}, ${Math.round(operationsPerS)} operations/s`,
  );
  return rows.join('\n');
}
