// The topology in a key-value bucket of real nats-servers: against the contract, and what only servers
// that stop, restart and change their leader can show.
import type { TopologyStore } from '@statestore/cluster';
import { jetStreamTopologyStore, topologyBucket } from '@statestore/cluster';
import { Kvm } from '@nats-io/kv';
import { expect, test, vi } from 'vitest';
import { withBucketServers } from './bucket-servers.ts';
import { topologyOf, topologyStoreContract } from './topology-store-contract.ts';

const recovers = { timeout: 60_000, interval: 50 };

withBucketServers('topology', (these) => {
  async function open(cluster: string): Promise<TopologyStore> {
    return jetStreamTopologyStore(await these.connection(), cluster, { replicas: these.servers });
  }

  topologyStoreContract(`key-value bucket of ${these.servers}`, async () => {
    const cluster = these.newCluster();
    return {
      open: () => open(cluster),
      lose: async () => {
        const kv = await new Kvm(await these.connection()).open(topologyBucket(cluster));
        await kv.destroy();
      },
      dispose: async () => {},
    };
  });

  test('many processes make the bucket at once', async () => {
    const cluster = these.newCluster();
    const stores = await Promise.all(Array.from({ length: 12 }, () => open(cluster)));
    expect(await Promise.all(stores.map((store) => store.read()))).toEqual(stores.map(() => undefined));
    const kv = await new Kvm(await these.connection()).open(topologyBucket(cluster));
    const { config } = (await kv.status()).streamInfo;
    expect(config).toMatchObject({ num_replicas: these.servers, storage: 'file', allow_direct: false, discard: 'new' });
  });

  test('a document that cannot be read is named, and passed over by a watch', async () => {
    const cluster = these.newCluster();
    const problems: unknown[] = [];
    const epochs: bigint[] = [];
    const store = await jetStreamTopologyStore(await these.connection(), cluster, {
      replicas: these.servers,
      onProblem: (problem) => problems.push(problem),
    });
    await store.replace(topologyOf(1n));
    const watch = store.watch(({ epoch }) => epochs.push(epoch));
    await vi.waitFor(() => expect(epochs).toEqual([1n]), recovers);
    const kv = await new Kvm(await these.connection()).open(topologyBucket(cluster));
    await kv.put('topology', '{"format":9}');
    await vi.waitFor(() => expect(problems[0]).toMatchObject({ code: 'data_format' }), recovers);
    await expect(store.read()).rejects.toMatchObject({ code: 'data_format' });
    await expect(store.replace(topologyOf(2n))).rejects.toMatchObject({ code: 'data_format' });
    expect(epochs).toEqual([1n]);
    await watch.close();
  });

  test('a watch goes on when its connection closes under it, and closes after it', async () => {
    const nc = await these.connection();
    const store = await jetStreamTopologyStore(nc, these.newCluster(), { replicas: these.servers });
    const watch = store.watch(() => {});
    await nc.close();
    await expect(store.read()).rejects.toMatchObject({ code: 'unavailable' });
    await expect(store.replace(topologyOf(1n))).rejects.toMatchObject({ code: 'unavailable' });
    await watch.close();
  });

  test('watches survive a restart of every server, and tell what changed meanwhile', async () => {
    const cluster = these.newCluster();
    const [writer, reader] = [await open(cluster), await open(cluster)];
    const epochs: bigint[] = [];
    const watch = reader.watch(({ epoch }) => epochs.push(epoch));
    let epoch = 1n;
    await writer.replace(topologyOf(epoch));
    await vi.waitFor(() => expect(epochs).toEqual([1n]), recovers);
    for (const server of these.nats.servers) {
      await server.kill();
      await server.start();
      await vi.waitFor(() => writer.read(), recovers);
      const next = ++epoch;
      await vi.waitFor(async () => {
        await writer.replace(topologyOf(next));
        expect((await writer.read())?.epoch).toBe(next);
      }, recovers);
      await vi.waitFor(() => expect(epochs.at(-1)).toBe(next), recovers);
    }
    expect(epochs).toEqual([...epochs].sort((a, b) => Number(a - b)));
    expect(new Set(epochs).size).toBe(epochs.length);
    await watch.close();
  });

  test('what cannot be asked is unavailable, and comes back', async () => {
    const cluster = these.newCluster();
    const store = await open(cluster);
    await vi.waitFor(async () => {
      await store.replace(topologyOf(1n));
      expect(await store.read()).toEqual(topologyOf(1n));
    }, recovers);
    await Promise.all(these.nats.servers.map((server) => server.kill()));
    await expect(store.read()).rejects.toMatchObject({ code: 'unavailable', retryable: true });
    await Promise.all(these.nats.servers.map((server) => server.start()));
    await these.nats.ready();
    await vi.waitFor(async () => expect(await store.read()).toEqual(topologyOf(1n)), recovers);
  });

  // One server alone has no other leader.
  if (these.servers === 1) return;
  test('three writers and a frozen leader: no epoch is given twice, watchers see the last one', async () => {
    const cluster = these.newCluster();
    const [reader, ...writers] = await Promise.all(Array.from({ length: 4 }, () => open(cluster)));
    const seen = new Map<bigint, readonly string[]>();
    const watch = reader!.watch(({ epoch, partitions }) => seen.set(epoch, partitions[0]!.replicas));
    const wrote = new Map<bigint, string>();
    const uncertain = new Set<bigint>();
    const load = { goesOn: true };
    const writing = writers.map(async (store, i) => {
      while (load.goesOn) {
        try {
          const next = ((await store.read())?.epoch ?? 0n) + 1n;
          const name = `n${i}`;
          try {
            if ((await store.replace(topologyOf(next, name))) !== 'replaced') continue;
          } catch (error) {
            expect(error).toMatchObject({ retryable: true });
            if ((error as { code: string }).code === 'outcome_unknown') uncertain.add(next);
            continue;
          }
          expect(wrote.has(next), `epoch ${next} was given twice`).toBe(false);
          wrote.set(next, name);
        } catch (error) {
          expect(error).toMatchObject({ code: 'unavailable' });
        }
      }
    });
    const stream = `KV_${topologyBucket(cluster)}`;
    for (const pause of [true, false]) {
      await vi.waitFor(() => expect(wrote.size).toBeGreaterThan(5), recovers);
      const before = wrote.size;
      const leader = await these.nats.waitForLeader(stream);
      if (pause) leader.pause();
      else await leader.kill();
      await vi.waitFor(() => expect(wrote.size).toBeGreaterThan(before + 20), recovers);
      if (pause) leader.resume();
      else await leader.start();
      await these.nats.ready();
    }
    load.goesOn = false;
    await Promise.all(writing);
    await these.nats.ready();
    await vi.waitFor(async () => {
      const last = await reader!.read();
      expect([...seen.keys()].at(-1)).toBe(last!.epoch);
      expect(last!.epoch >= [...wrote.keys()].reduce((a, b) => (a > b ? a : b))).toBe(true);
    }, recovers);
    // Whoever was told that its document is there is whom the watchers saw.
    for (const [epoch, nodes] of seen) {
      if (!uncertain.has(epoch) && wrote.has(epoch)) expect(nodes).toEqual([wrote.get(epoch)]);
    }
    await watch.close();
  });
});
