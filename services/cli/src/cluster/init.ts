// `statestore init`: makes the topology of a new cluster, once: waits for the nodes, makes the logs, and says
// which node holds what. Where there is a topology it changes nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeRegistry, ObservedNode } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { evenTopology, limits, StateStoreError } from '@statestore/core';
import { z } from 'zod';
import { clusterSettings } from '../cluster-settings.ts';
import type { Setting } from '../settings.ts';
import { readSettings, wholeNumber } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';

const replicasMax = 9;

const initSettings = {
  ...clusterSettings,
  partitions: {
    schema: wholeNumber(1, limits.partitionsMax).default(8),
    allowed: `1 to ${limits.partitionsMax}`,
    help: 'how many partitions; each has a log in NATS and replicas on nodes',
    fallback: '8',
  } satisfies Setting<number>,
  replicas: {
    schema: wholeNumber(1, replicasMax).default(3),
    allowed: `1 to ${replicasMax}; not more than there are nodes`,
    help: 'replicas of each partition, on nodes',
    fallback: '3',
  } satisfies Setting<number>,
  waitNodes: {
    schema: wholeNumber(1, 1000).optional(),
    allowed: '1 to 1000',
    help: 'wait for this many nodes before the partitions are placed',
    fallback: 'as many as replicas',
  } satisfies Setting<number | undefined>,
  timeout: {
    schema: z
      .string()
      .regex(/^\d{1,6}$/)
      .default('300')
      .transform((text) => Number(text) * 1000),
    allowed: 'seconds',
    help: 'how long to wait for nodes and NATS',
    fallback: '300',
  } satisfies Setting<number>,
};

export async function init(argv: readonly string[]): Promise<void> {
  const settings = readSettings('statestore init', 'Makes the topology of a new cluster.', initSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { partitions, replicas, waitNodes = replicas, logReplicas, timeout } = settings;
  await withCluster(settings, 'init', async (connection, interrupted) => {
    const signal = AbortSignal.any([interrupted, AbortSignal.timeout(timeout)]);
    const present = await patiently(() => connection.topologyStore.read(), signal);
    if (present !== undefined) return tellPresent(present, partitions);
    const nodes = await liveNodes(connection.registry, Math.max(replicas, waitNodes), signal);
    const topology = await makeTopology(connection, { partitions, replicas, logReplicas }, nodes, signal);
    const outcome = await patiently(() => connection.topologyStore.replace(topology), signal);
    if (outcome === 'conflict') return tellPresent((await connection.topologyStore.read())!, partitions);
    process.stdout.write(
      `Made ${partitions} partitions of ${replicas} replicas on ${nodes.length} nodes, logs of ${logReplicas}.\n`,
    );
  });
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

const retryMs = 500;

/** Again, for as long as NATS has no leader. */
async function patiently<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof StateStoreError) || !error.retryable || signal.aborted) throw error;
    }
    await sleep(retryMs, undefined, { signal }).catch(() => {});
  }
}

function liveNodes(registry: NodeRegistry, count: number, signal: AbortSignal): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    let live: readonly string[] = [];
    const giveUp = (): void => {
      void watch.close();
      reject(
        new StateStoreError('unavailable', `${live.length} of ${count} nodes are there: ${live.join(', ') || 'none'}`),
      );
    };
    const watch = registry.watch((nodes: ReadonlyMap<string, ObservedNode>) => {
      live = [...nodes.values()].filter(({ confirmed }) => confirmed).map(({ report }) => report.name);
      if (live.length < count) return;
      signal.removeEventListener('abort', giveUp);
      void watch.close();
      resolve(live.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })));
    });
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
  });
}

interface Spec {
  readonly partitions: number;
  readonly replicas: number;
  readonly logReplicas: number;
}

/* oxlint-disable-next-line max-params -- what, where, and until when */
async function makeTopology(
  { logStreams }: ClusterConnection,
  { partitions, replicas, logReplicas }: Spec,
  nodes: readonly string[],
  signal: AbortSignal,
): Promise<Topology> {
  const placements: PartitionPlacement[] = [];
  for (const { partition, slots } of evenTopology(partitions, nodes).partitions) {
    const log = await patiently(() => logStreams.create({ partition, generation: 1, replicas: logReplicas }), signal);
    const first = partition % nodes.length;
    const order = [...nodes.slice(first), ...nodes.slice(0, first)];
    placements.push({ partition, slots, replicas: order.slice(0, replicas), log });
  }
  return { epoch: 1n, spec: { replicationFactor: replicas, logReplicas, drained: [] }, partitions: placements };
}
