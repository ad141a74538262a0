// How long requests wait when the node that is preferred for their partition is stopped (SIGSTOP): its
// connections stay, and nothing comes from it any more. A stop of a second must cost nobody an error either. Each node is
// stopped once; more often: STALLS=30 npm run test:all -- test/cluster/stalls.test.ts
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOwners } from '@statestore/core';
import type { LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { keyOf, topologyOf } from './keys-of-partitions.ts';

const stops = Number(process.env['STALLS'] ?? 3);
const store = 'stalls';
/** Of which the last one reads. */
const clientsOfPartition = 3;
const calmMs = 1500;
const slowestMsMax = 5000;

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

interface Done {
  readonly invokedMs: number;
  readonly returnedMs: number;
  readonly status: number;
  readonly method: string;
}

test.each([1000, 4000])('%d ms each', { timeout: 60_000 + stops * 15_000 }, async (stopMs) => {
  const { partitions } = await topologyOf(http);
  const owners = slotOwners({ epoch: 1n, partitions });
  const done: Done[] = [];
  const over = new AbortController();
  const client = async (key: string, method: 'PUT' | 'GET'): Promise<void> => {
    while (!over.signal.aborted) {
      const invokedMs = performance.now();
      const sent = { path: `/v1/stores/${store}/keys/${key}`, ...(method === 'PUT' ? { body: 'x' } : {}) };
      const { statusCode: status, body } = await http.request({ method, ...sent });
      await body.dump();
      done.push({ invokedMs, returnedMs: performance.now(), status, method });
      await sleep(5);
    }
  };
  const running = Promise.all(
    partitions.flatMap(({ partition }) =>
      Array.from({ length: clientsOfPartition }, (_, n) =>
        client(keyOf(store, partition, owners, n), n === clientsOfPartition - 1 ? 'GET' : 'PUT'),
      ),
    ),
  );
  const slowest: number[] = [];
  try {
    await sleep(calmMs);
    for (let stop = 0; stop < stops; stop++) {
      const node = cluster.nodes[stop % cluster.nodes.length]!;
      const stoppedMs = performance.now();
      node.pause();
      await sleep(stopMs);
      node.resume();
      await sleep(calmMs);
      const during = done.filter(({ returnedMs }) => returnedMs >= stoppedMs);
      slowest.push(Math.max(...during.map(({ invokedMs, returnedMs }) => returnedMs - invokedMs)));
    }
  } finally {
    over.abort();
    await running;
  }
  const problems = done.filter(({ status, method }) => status >= 300 && !(method === 'GET' && status === 404));
  console.log(
    `slowest request of each stop of ${stopMs} ms: ${slowest.map(Math.round).join(', ')} ms; ${done.length} requests, ${problems.length} answered with a problem`,
  );
  expect(problems).toEqual([]);
  expect(Math.max(...slowest)).toBeLessThan(slowestMsMax);
});
