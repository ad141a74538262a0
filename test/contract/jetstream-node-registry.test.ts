// The registry in a key-value bucket of real nats-servers: against the contract, and what only servers that
// stop, and buckets that are lost, can show.
import type { NodeRegistry } from '@statestore/cluster';
import { jetStreamNodeRegistry, nodesBucket } from '@statestore/cluster';
import { Kvm } from '@nats-io/kv';
import { expect, test, vi } from 'vitest';
import { withBucketServers } from './bucket-servers.ts';
import { Watcher, nodeRegistryContract, reportOf } from './node-registry-contract.ts';

const recovers = { timeout: 60_000, interval: 50 };

withBucketServers('nodes', (these) => {
  async function open(cluster: string, onProblem?: (problem: unknown) => void): Promise<NodeRegistry> {
    const options = { replicas: these.servers, ...(onProblem === undefined ? {} : { onProblem }) };
    return jetStreamNodeRegistry(await these.connection(), cluster, options);
  }

  nodeRegistryContract(`key-value bucket of ${these.servers}`, async () => {
    const cluster = these.newCluster();
    return { open: () => open(cluster), dispose: async () => {} };
  });

  test('many processes make the bucket at once', async () => {
    const cluster = these.newCluster();
    const registries = await Promise.all(Array.from({ length: 12 }, () => open(cluster)));
    await Promise.all(registries.map((registry, i) => registry.report(reportOf(`n${i}`, 1))));
    expect(await registries[0]!.list()).toHaveLength(12);
  });

  test('a report that cannot be read is named, and hides no other', async () => {
    const cluster = these.newCluster();
    const problems: unknown[] = [];
    const registry = await open(cluster, (problem) => problems.push(problem));
    await registry.report(reportOf('n1', 1));
    const kv = await new Kvm(await these.connection()).open(nodesBucket(cluster));
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
    const cluster = these.newCluster();
    const [node, gateway] = [await open(cluster), await open(cluster)];
    const watcher = new Watcher(gateway);
    for (const count of [1, 2]) await node.report(reportOf('n1', count));
    await node.report(reportOf('n2', 1));
    await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 2, n2: 1 }), recovers);
    const kv = await new Kvm(await these.connection()).open(nodesBucket(cluster));
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
    const cluster = these.newCluster();
    const [node, gateway] = [await open(cluster), await open(cluster)];
    const watcher = new Watcher(gateway);
    await node.report(reportOf('n1', 1));
    await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), recovers);
    await Promise.all(these.nats.servers.map((server) => server.kill()));
    await expect(node.report(reportOf('n1', 2))).rejects.toMatchObject({ code: 'unavailable' });
    await expect(gateway.list()).rejects.toMatchObject({ code: 'unavailable' });
    await Promise.all(these.nats.servers.map((server) => server.start()));
    await these.nats.ready();
    let count = 2;
    await vi.waitFor(async () => {
      await node.report(reportOf('n1', ++count));
      expect(watcher.counts['n1']).toBeGreaterThan(3);
      expect(watcher.live).toEqual(['n1']);
    }, recovers);
    await watcher.close();
  });

  test('closes where its connection was closed before', async () => {
    const nc = await these.connection();
    const registry = await jetStreamNodeRegistry(nc, these.newCluster(), { replicas: these.servers });
    const watcher = new Watcher(registry);
    await nc.close();
    await expect(registry.report(reportOf('n1', 1))).rejects.toMatchObject({ code: 'unavailable' });
    await expect(registry.remove('n1')).rejects.toMatchObject({ code: 'unavailable' });
    await watcher.close();
  });
});
