// A gateway of a cluster: waits until there is a topology, follows it and the registry of nodes, and keeps
// links to the nodes. Where both are kept is the caller's (ports of services/cluster).
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeRegistry, TopologyStore } from '@statestore/cluster';
import { limits, StateStoreError, TopologyOrder, type Topology } from '@statestore/core';
import { connectLink } from '@statestore/link';
import { Registry } from 'prom-client';
import { buildGateway, type Gateway } from '../app.ts';
import type { GatewayOptions } from '../options.ts';
import { ClusterDirectory } from './directory.ts';
import type { Connect } from './member.ts';
import type { RoutingTiming } from './timing.ts';

export interface ClusterGatewayOptions extends Omit<
  GatewayOptions,
  'topology' | 'topologyStore' | 'node' | 'cursorKey'
> {
  readonly topologyStore: TopologyStore;
  readonly nodeRegistry: NodeRegistry;
  /** Failure domain of this gateway: eventual reads go to nodes of the same one. Default: none. */
  readonly zone?: string;
  /** The nodes' link token, where they ask for one. */
  readonly linkToken?: string;
  readonly timing?: Partial<RoutingTiming>;
  /** Default: links over TCP. */
  readonly connect?: Connect;
  /** Ends the wait for a topology: the call rejects with `shutting_down`. */
  readonly signal?: AbortSignal;
}

export interface ClusterGateway {
  readonly gateway: Gateway;
  readonly directory: ClusterDirectory;
  /** Takes no more connections, finishes what is in flight, closes the links; store and registry stay the caller's. Idempotent. */
  close(): Promise<void>;
}

const secretRetryMs = 500;

/** Resolves when there is a topology and the gateway can listen; nodes may be missing still. */
export async function openClusterGateway(options: ClusterGatewayOptions): Promise<ClusterGateway> {
  const { topologyStore, nodeRegistry, zone, timing, log, signal, timeouts } = options;
  const metricsRegistry = options.registry ?? new Registry();
  let gateway: Gateway | undefined;
  let newest: Topology | undefined;
  const order = new TopologyOrder();
  const { promise: first, resolve: found } = Promise.withResolvers<void>();
  const take = (topology: Topology): void => {
    if (!order.isLater(topology)) return;
    try {
      gateway?.updateTopology(topology);
      directory.updateTopology(topology);
      newest = topology;
      order.take(topology);
      found();
    } catch (error) {
      log?.error({ err: error, epoch: String(topology.epoch) }, 'a topology that cannot be used was left aside');
    }
  };
  const refresh = refresher(topologyStore, take, timing?.refreshMs ?? limits.gatewayTopologyRefreshMs);
  const directory = new ClusterDirectory({
    connect: options.connect ?? linkTo(options.version, options.linkToken),
    onOutdated: refresh,
    timing: { ...(timeouts?.proposeMs === undefined ? {} : { proposeMs: timeouts.proposeMs }), ...timing },
    ...(zone === undefined ? {} : { zone }),
  });
  directory.metrics.export(
    metricsRegistry,
    () => directory.connections(),
    () => directory.waiting,
  );
  const nodes = nodeRegistry.watch((observed) => directory.updateNodes(observed));
  const topologies = topologyStore.watch(take);
  const close = async (): Promise<void> => {
    await gateway?.close();
    await Promise.all([topologies.close(), nodes.close()]);
    await directory.close();
  };
  try {
    await untilAborted(first, signal);
    const cursorKey = await secretOf(topologyStore, signal);
    gateway = await buildGateway({
      ...options,
      registry: metricsRegistry,
      topology: newest!,
      node: directory,
      cursorKey,
    });
    // One that came while it was built.
    gateway.updateTopology(newest!);
  } catch (error) {
    await close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return { gateway, directory, close: () => (closing ??= close()) };
}

/** Links that leave it to the routing what to do when they break. */
function linkTo(version: string, token: string | undefined): Connect {
  return (address, onConnections) => {
    const colon = address.lastIndexOf(':');
    return connectLink({
      host: address.slice(0, colon).replaceAll(/[[\]]/g, ''),
      port: Number(address.slice(colon + 1)),
      software: `statestore-gateway ${version}`,
      heartbeatMs: limits.gatewayPingMs,
      silenceMs: limits.gatewayCutMs,
      resends: false,
      connectWaitMs: 0,
      onConnections,
      ...(token === undefined ? {} : { token }),
    });
  };
}

/** Asks for the topology beside its watch, which may be late; once at a time, and not too often. */
function refresher(store: TopologyStore, take: (topology: Topology) => void, everyMs: number): () => void {
  let under = false;
  let lastMs = -Infinity;
  return () => {
    const nowMs = performance.now();
    if (under || nowMs - lastMs < everyMs) return;
    under = true;
    lastMs = nowMs;
    store
      .read()
      .then((topology) => {
        if (topology !== undefined) take(topology);
      })
      // The watch goes on, and whoever is told `moved` again asks again.
      .catch(() => undefined)
      .finally(() => (under = false));
  };
}

async function secretOf(store: TopologyStore, signal: AbortSignal | undefined): Promise<Uint8Array> {
  for (;;) {
    try {
      return await untilAborted(store.secret(), signal);
    } catch (error) {
      if (!(error instanceof StateStoreError) || !error.retryable || signal?.aborted === true) throw error;
    }
    await untilAborted(sleep(secretRetryMs), signal);
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new StateStoreError('shutting_down', 'the gateway was stopped before it was up'));
    if (signal.aborted) {
      work.catch(() => undefined);
      return abort();
    }
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
