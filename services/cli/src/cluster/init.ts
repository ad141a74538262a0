// `statestore init`: makes the topology of a new cluster, once: waits for the nodes, makes the logs, and says
// which node holds what. Where there is a topology it changes nothing.
import type { Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { clusterSettings } from '../cluster-settings.ts';
import type { Setting } from '../settings.ts';
import { readSettings, wholeNumber } from '../settings.ts';
import { withCluster } from './command.ts';
import { coordinated } from './coordinate.ts';
import { placingSettings } from './placing-settings.ts';

const initSettings = {
  ...clusterSettings,
  partitions: {
    schema: wholeNumber(1, limits.partitionsMax).default(8),
    allowed: `1 to ${limits.partitionsMax}`,
    help: 'how many partitions; each has a log in NATS and replicas on nodes',
    fallback: '8',
  } satisfies Setting<number>,
  ...placingSettings,
};

export async function init(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore init', 'Makes the topology of a new cluster.', initSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { partitions, replicas: replicationFactor, waitNodes, logReplicas, timeout } = settings;
  await withCluster(settings, 'init', async (connection, interrupted) => {
    const signal = timeout === undefined ? interrupted : AbortSignal.any([interrupted, AbortSignal.timeout(timeout)]);
    const wait = { signal, ...(waitNodes === undefined ? {} : { nodes: waitNodes }) };
    const outcome = await coordinated(connection, undefined, (coordinator) =>
      coordinator.initialise({ partitions, replicationFactor, logReplicas }, wait),
    );
    if (outcome.kind === 'present') tellPresent(outcome.topology, partitions);
    else tellMade(outcome.topology);
  });
}

function tellMade({ partitions, spec }: Topology): void {
  const nodes = new Set(partitions.flatMap(({ replicas }) => replicas));
  process.stdout.write(
    `Made ${partitions.length} partitions of ${spec?.replicationFactor} replicas on ${nodes.size} nodes, logs of ${spec?.logReplicas}.\n`,
  );
}

function tellPresent({ epoch, partitions }: Topology, wanted: number): void {
  if (partitions.length !== wanted) {
    throw new StateStoreError(
      'invalid_settings',
      `there is a topology of ${partitions.length} partitions already; ${wanted} were asked for`,
      { hint: 'nothing was changed' },
    );
  }
  process.stdout.write(
    `There is a topology already, of epoch ${epoch} and ${wanted} partitions. Nothing was changed.\n`,
  );
}
