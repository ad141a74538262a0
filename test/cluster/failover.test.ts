// How long writes wait when the node that proposes them is killed: from kill -9 to the next write of each of
// its partitions that succeeds, as a client sees it through a gateway (I21). Each node is killed several times; as often
// as one likes: FAILOVER_KILLS=100 npm run test:all -- test/cluster/failover.test.ts
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOwners } from '@statestore/core';
import type { LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { keyOf, topologyOf } from './keys-of-partitions.ts';

const kills = Number(process.env['FAILOVER_KILLS'] ?? 9);
const store = 'failover';
const writersOfPartition = 3;
const settleMs = 500;
const p99MsMax = 5000;

let cluster: LocalCluster;
let http: Pool;
beforeAll(async () => {
  cluster = await startLocalCluster({ diskPercent: anyDisk() });
  await cluster.ready();
  http = new Pool(cluster.gateways[0]!.url, { pipelining: 1 });
});
afterAll(async () => {
  await http?.close();
  await cluster?.close();
});

interface Write {
  readonly partition: number;
  readonly invokedMs: number;
  readonly returnedMs: number;
  readonly status: number;
}

test(`${kills} times`, { timeout: 60_000 + kills * 15_000 }, async () => {
  const topology = await topologyOf(http);
  const owners = slotOwners(topology);
  const writes: Write[] = [];
  const stop = new AbortController();
  const writer = async (partition: number, key: string): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const invokedMs = performance.now();
      const path = `/v1/stores/${store}/keys/${key}`;
      const { statusCode, body } = await http.request({ method: 'PUT', path, body: String(i) });
      await body.dump();
      writes.push({ partition, invokedMs, returnedMs: performance.now(), status: statusCode });
    }
  };
  const partitions = topology.partitions.map(({ partition }) => partition);
  const running = Promise.all(
    partitions.flatMap((partition) =>
      Array.from({ length: writersOfPartition }, (_, n) => writer(partition, keyOf(store, partition, owners, n))),
    ),
  );
  const tookMs: number[] = [];
  try {
    await sleep(settleMs);
    for (let kill = 0; kill < kills; kill++) {
      const node = cluster.nodes[kill % cluster.nodes.length]!;
      const { partitions: placed } = await topologyOf(http);
      const its = placed.filter(({ replicas }) => replicas[0] === node.name).map(({ partition }) => partition);
      const killedMs = performance.now();
      await node.kill();
      await sleep(2 * settleMs);
      await node.start();
      await cluster.ready();
      await sleep(settleMs);
      for (const partition of its) {
        const next = writes.find((one) => one.partition === partition && one.status < 300 && one.invokedMs >= killedMs);
        expect(next, `partition ${partition} was never written again`).toBeDefined();
        tookMs.push(next!.returnedMs - killedMs);
      }
    }
  } finally {
    stop.abort();
    await running;
  }
  const problems = writes.filter(({ status }) => status >= 300);
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!);
  console.log(
    `failover, ms, of ${sorted.length} partitions in ${kills} kills: p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}; ${writes.length} writes, ${problems.length} answered with a problem`,
  );
  expect(problems).toEqual([]);
  expect(sorted.length).toBeGreaterThan(0);
  expect(at(0.99)).toBeLessThan(p99MsMax);
});
