// The topology in a key-value bucket of real nats-servers: against the contract, and what only servers
// that stop, restart and change their leader can show.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TopologyStore } from '@statestore/cluster';
import { connectNats, jetStreamTopologyStore, topologyBucket } from '@statestore/cluster';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { topologyOf, topologyStoreContract } from './topology-store-contract.ts';

const startMs = 120_000;
const recovers = { timeout: 60_000, interval: 50 };

for (const servers of [1, 3] as const) {
  describe(`with ${servers} nats-server(s)`, () => {
    let directory: string;
    let nats: NatsCluster;
    let clusters = 0;
    const connections: NatsConnection[] = [];

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'statestore-topology-'));
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
      const made = await connectNats({ servers: nats.urls, name: 'topology test' });
      connections.push(made);
      return made;
    }

    async function open(cluster: string): Promise<TopologyStore> {
      return jetStreamTopologyStore(await connection(), cluster, { replicas: servers });
    }

    topologyStoreContract(`key-value bucket of ${servers}`, async () => {
      const cluster = `c${clusters++}`;
      return {
        open: () => open(cluster),
        lose: async () => {
          const kv = await new Kvm(await connection()).open(topologyBucket(cluster));
          await kv.destroy();
        },
        dispose: async () => {},
      };
    });

    test('many processes make the bucket at once', async () => {
      const cluster = `c${clusters++}`;
      const stores = await Promise.all(Array.from({ length: 12 }, () => open(cluster)));
      expect(await Promise.all(stores.map((store) => store.read()))).toEqual(stores.map(() => undefined));
      const kv = await new Kvm(await connection()).open(topologyBucket(cluster));
      const { config } = (await kv.status()).streamInfo;
      expect(config).toMatchObject({ num_replicas: servers, storage: 'file', allow_direct: false, discard: 'new' });
    });

    test('a document that cannot be read is named, and passed over by a watch', async () => {
      const cluster = `c${clusters++}`;
      const problems: unknown[] = [];
      const epochs: bigint[] = [];
      const store = await jetStreamTopologyStore(await connection(), cluster, {
        replicas: servers,
        onProblem: (problem) => problems.push(problem),
      });
      await store.replace(topologyOf(1n));
      const watch = store.watch(({ epoch }) => epochs.push(epoch));
      await vi.waitFor(() => expect(epochs).toEqual([1n]), recovers);
      const kv = await new Kvm(await connection()).open(topologyBucket(cluster));
      await kv.put('topology', '{"format":9}');
      await vi.waitFor(() => expect(problems[0]).toMatchObject({ code: 'data_format' }), recovers);
      await expect(store.read()).rejects.toMatchObject({ code: 'data_format' });
      await expect(store.replace(topologyOf(2n))).rejects.toMatchObject({ code: 'data_format' });
      expect(epochs).toEqual([1n]);
      await watch.close();
    });

    test('a watch goes on when its connection closes under it, and closes after it', async () => {
      const nc = await connection();
      const store = await jetStreamTopologyStore(nc, `c${clusters++}`, { replicas: servers });
      const watch = store.watch(() => {});
      await nc.close();
      await expect(store.read()).rejects.toMatchObject({ code: 'unavailable' });
      await expect(store.replace(topologyOf(1n))).rejects.toMatchObject({ code: 'unavailable' });
      await watch.close();
    });

    test('watches survive a restart of every server, and tell what changed meanwhile', async () => {
      const cluster = `c${clusters++}`;
      const [writer, reader] = [await open(cluster), await open(cluster)];
      const epochs: bigint[] = [];
      const watch = reader.watch(({ epoch }) => epochs.push(epoch));
      let epoch = 1n;
      await writer.replace(topologyOf(epoch));
      await vi.waitFor(() => expect(epochs).toEqual([1n]), recovers);
      for (const server of nats.servers) {
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
      const cluster = `c${clusters++}`;
      const store = await open(cluster);
      await vi.waitFor(async () => {
        await store.replace(topologyOf(1n));
        expect(await store.read()).toEqual(topologyOf(1n));
      }, recovers);
      await Promise.all(nats.servers.map((server) => server.kill()));
      await expect(store.read()).rejects.toMatchObject({ code: 'unavailable', retryable: true });
      await Promise.all(nats.servers.map((server) => server.start()));
      await nats.ready();
      await vi.waitFor(async () => expect(await store.read()).toEqual(topologyOf(1n)), recovers);
    });
  });
}

describe('while the leader changes', () => {
  let directory: string;
  let nats: NatsCluster;
  const connections: NatsConnection[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-topology-'));
    nats = await startNatsCluster({ directory, servers: 3 });
  }, startMs);
  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await nats?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function open(cluster: string): Promise<TopologyStore> {
    const made = await connectNats({ servers: nats.urls, name: 'topology test' });
    connections.push(made);
    return jetStreamTopologyStore(made, cluster, { replicas: 3 });
  }

  test('three writers and a frozen leader: no epoch is given twice, watchers see the last one', async () => {
    const [reader, ...writers] = await Promise.all(Array.from({ length: 4 }, () => open('frozen')));
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
    const stream = `KV_${topologyBucket('frozen')}`;
    for (const pause of [true, false]) {
      await vi.waitFor(() => expect(wrote.size).toBeGreaterThan(5), recovers);
      const before = wrote.size;
      const leader = await nats.waitForLeader(stream);
      if (pause) leader.pause();
      else await leader.kill();
      await vi.waitFor(() => expect(wrote.size).toBeGreaterThan(before + 20), recovers);
      if (pause) leader.resume();
      else await leader.start();
      await nats.ready();
    }
    load.goesOn = false;
    await Promise.all(writing);
    await nats.ready();
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
