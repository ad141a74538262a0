// The registry in a key-value bucket of real nats-servers: against the contract, and what only servers that
// stop, and buckets that are lost, can show.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeRegistry } from '@statestore/cluster';
import { connectNats, jetStreamNodeRegistry, nodesBucket } from '@statestore/cluster';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { Watcher, nodeRegistryContract, reportOf } from './node-registry-contract.ts';

const startMs = 120_000;
const recovers = { timeout: 60_000, interval: 50 };

for (const servers of [1, 3] as const) {
  describe(`with ${servers} nats-server(s)`, () => {
    let directory: string;
    let nats: NatsCluster;
    let clusters = 0;
    const connections: NatsConnection[] = [];

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'statestore-nodes-'));
      nats = await startNatsCluster({ directory, servers });
    }, startMs);
    afterAll(async () => {
      await nats?.stop();
      await rm(directory, { recursive: true, force: true });
    });
    afterEach(async () => {
      await Promise.all(connections.splice(0).map((connection) => connection.close()));
    });

    async function connection(): Promise<NatsConnection> {
      const made = await connectNats({ servers: nats.urls, name: 'registry test' });
      connections.push(made);
      return made;
    }

    async function open(cluster: string, onProblem?: (problem: unknown) => void): Promise<NodeRegistry> {
      const options = { replicas: servers, ...(onProblem === undefined ? {} : { onProblem }) };
      return jetStreamNodeRegistry(await connection(), cluster, options);
    }

    nodeRegistryContract(`key-value bucket of ${servers}`, async () => {
      const cluster = `c${clusters++}`;
      return { open: () => open(cluster), dispose: async () => {} };
    });

    test('many processes make the bucket at once', async () => {
      const cluster = `c${clusters++}`;
      const registries = await Promise.all(Array.from({ length: 12 }, () => open(cluster)));
      await Promise.all(registries.map((registry, i) => registry.report(reportOf(`n${i}`, 1))));
      expect(await registries[0]!.list()).toHaveLength(12);
    });

    test('a report that cannot be read is named, and hides no other', async () => {
      const cluster = `c${clusters++}`;
      const problems: unknown[] = [];
      const registry = await open(cluster, (problem) => problems.push(problem));
      await registry.report(reportOf('n1', 1));
      const kv = await new Kvm(await connection()).open(nodesBucket(cluster));
      await kv.put('n2', '{"format":1,"name":"n2"}');
      await kv.put('n3', '{"format":2}');
      const watcher = new Watcher(registry);
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), recovers);
      expect((await registry.list()).map(({ name }) => name)).toEqual(['n1']);
      expect(problems.map((problem) => (problem as { code: string }).code)).toContain('data_corrupt');
      expect(problems.map((problem) => (problem as { code: string }).code)).toContain('data_format');
      await watcher.close();
    });

    test('a bucket that was lost is made again, and watchers go on', async () => {
      const cluster = `c${clusters++}`;
      const [node, gateway] = [await open(cluster), await open(cluster)];
      const watcher = new Watcher(gateway);
      for (const count of [1, 2]) await node.report(reportOf('n1', count));
      await node.report(reportOf('n2', 1));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 2, n2: 1 }), recovers);
      const kv = await new Kvm(await connection()).open(nodesBucket(cluster));
      await kv.destroy();
      let count = 2;
      await vi.waitFor(async () => {
        await node.report(reportOf('n1', ++count));
        expect(watcher.counts['n1']).toBeGreaterThan(3);
        expect(watcher.counts['n2']).toBeUndefined();
      }, recovers);
      await watcher.close();
    });

    test('reports and watches go on after every server was killed', async () => {
      const cluster = `c${clusters++}`;
      const [node, gateway] = [await open(cluster), await open(cluster)];
      const watcher = new Watcher(gateway);
      await node.report(reportOf('n1', 1));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), recovers);
      await Promise.all(nats.servers.map((server) => server.kill()));
      await expect(node.report(reportOf('n1', 2))).rejects.toMatchObject({ code: 'unavailable' });
      await expect(gateway.list()).rejects.toMatchObject({ code: 'unavailable' });
      await Promise.all(nats.servers.map((server) => server.start()));
      await nats.ready();
      let count = 2;
      await vi.waitFor(async () => {
        await node.report(reportOf('n1', ++count));
        expect(watcher.counts['n1']).toBeGreaterThan(3);
        expect(watcher.live).toEqual(['n1']);
      }, recovers);
      await watcher.close();
    });

    test('closes where its connection was closed before', async () => {
      const nc = await connection();
      const registry = await jetStreamNodeRegistry(nc, `c${clusters++}`, { replicas: servers });
      const watcher = new Watcher(registry);
      await nc.close();
      await expect(registry.report(reportOf('n1', 1))).rejects.toMatchObject({ code: 'unavailable' });
      await expect(registry.remove('n1')).rejects.toMatchObject({ code: 'unavailable' });
      await watcher.close();
    });
  });
}
