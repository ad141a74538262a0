// The HTTP contract over a cluster in one process: a gateway that routes over links to three nodes, each
// with a replica of every partition, over logs that they share.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryNodeRegistry, MemoryTopologyStore } from '@statestore/cluster';
import { evenTopology, limits, StateStoreError, type PartitionPlacement } from '@statestore/core';
import { openClusterGateway } from '@statestore/gateway';
import { connectLink, serveLink, type NodeService } from '@statestore/link';
import { openClusterNode } from '@statestore/node';
import { describe } from 'vitest';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import { httpContract } from './http-contract.ts';

const nodes = ['n1', 'n2', 'n3'];
const partitions = 4;

describe('gateway over a cluster of three nodes', () => {
  httpContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-http-'));
    const topologyStore = new MemoryTopologyStore();
    const registry = new MemoryNodeRegistry();
    const logs = new MemoryLogs(limits.logMessageBytesMax);
    const closers: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
    for (const name of nodes) {
      const service: { of?: NodeService } = {};
      const server = await serveLink({ service: forwarding(service), host: '127.0.0.1', port: 0 });
      const node = await openClusterNode({
        cluster: 'http',
        name,
        zone: '',
        address: `127.0.0.1:${server.port}`,
        dataPath: join(folder, name),
        engine: 'memory',
        version: '0.0.0',
        topologyStore,
        registry,
        logStreams: logs,
        openLog: (partition, log) => logs.open(partition, log),
        readDisk: () => Promise.resolve({ freeBytes: 80e9, totalBytes: 100e9 }),
        connectionState: { connected: true, onChange: () => () => undefined },
        connectPeer: (address) => connectLink({ host: '127.0.0.1', port: Number(address.split(':')[1]) }),
        onFatal: (reason) => {
          throw reason;
        },
      });
      service.of = node.node;
      closers.push(
        () => node.close(),
        () => server.close(),
      );
    }
    const placements: PartitionPlacement[] = [];
    for (const placement of evenTopology(partitions, nodes).partitions) {
      const { partition } = placement;
      const replicas = nodes.map((_, i) => nodes[(i + partition) % nodes.length]!);
      const log = await logs.create({ partition, generation: 1, replicas: 3 });
      placements.push({ ...placement, replicas, log });
    }
    const spec = { replicationFactor: nodes.length, logReplicas: 3, drained: [] };
    await topologyStore.replace({ epoch: 1n, spec, partitions: placements });
    const opened = await openClusterGateway({ topologyStore, nodeRegistry: registry, version: '0.0.0' });
    closers.push(() => opened.close());
    const baseUrl = await opened.gateway.app.listen({ host: '127.0.0.1', port: 0 });
    while ((await fetch(`${baseUrl}/readyz`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 50));
    return {
      baseUrl,
      async close() {
        for (const each of closers.toReversed()) await each();
      },
    };
  });
});

/** A service that is there before its node is: the node has to be told its own address. */
function forwarding(service: { readonly of?: NodeService }): NodeService {
  return new Proxy({} as NodeService, {
    get(_target, name) {
      const { of } = service;
      if (of === undefined) throw new StateStoreError('unavailable', 'the node starts');
      const method = Reflect.get(of, name) as (...args: unknown[]) => unknown;
      return method.bind(of);
    },
  });
}
