// Disks of nodes are lost, one under load and then all of them, with logs that were trimmed: they come back from the
// checkpoint and the log, with everything that was acknowledged.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterWithRepository, patient } from './cluster-with-repository.ts';

let shared: ClusterWithRepository;
const acknowledged = new Set<string>();

beforeAll(async () => {
  shared = await ClusterWithRepository.start({ partitions: 2 });
});
afterAll(() => shared?.close());

async function write(name: string, count: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, i) => `${name}-${i}`);
  await shared.put(keys.map((key) => [key, `of ${key}`]));
  for (const key of keys) acknowledged.add(key);
}

async function expectAll(): Promise<void> {
  const keys = [...acknowledged];
  const missing: string[] = [];
  for (let at = 0; at < keys.length; at += 32) {
    const some = keys.slice(at, at + 32).map(async (key) => {
      const response = await fetch(`${shared.url}/v1/stores/s/keys/${key}`);
      const text = await response.text();
      if (!response.ok || !text.includes(`of ${key}`)) missing.push(key);
    });
    await Promise.all(some);
  }
  expect(missing).toEqual([]);
}

test('a wiped node comes back under load', async () => {
  await write('before', 400);
  const { checkpoint } = await shared.checkpoint();
  await shared.trimBelow(checkpoint);
  const enough = new AbortController();
  const load = (async () => {
    for (let i = 0; !enough.signal.aborted; i++) await write(`during-${i}`, 20);
  })();
  load.catch(() => undefined);
  const { cluster } = shared;
  const node = cluster.nodes[2]!;
  await shared.wipe(node);
  await node.start();
  await cluster.ready();
  await expect.poll(() => shared.metric(node, 'state_restores_total'), patient).toBe(2);
  expect(await shared.metric(node, 'state_replica_rebuilds_total')).toBe(0);
  enough.abort();
  await load;
  await expectAll();
});

test('all nodes are wiped at once, and nothing that was acknowledged is lost', async () => {
  const { cluster } = shared;
  await write('more', 200);
  for (const node of cluster.nodes) await shared.wipe(node);
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.ready(120_000);
  const restores = async (): Promise<number> =>
    (await shared.values('state_restores_total')).reduce((a, b) => a + b, 0);
  await expect.poll(restores, patient).toBeGreaterThanOrEqual(2);
  await expectAll();
  await write('after', 10);
  await expectAll();
});
