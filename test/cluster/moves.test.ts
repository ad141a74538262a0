// Nodes that come and go by command, under load: replicas move, everybody is served, and nothing that was
// acknowledged is lost.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandOutput, LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { Load } from './steady-load.ts';

let cluster: LocalCluster;
let load: Load;

interface Status {
  readonly epoch: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly state: string;
    readonly replicas: number;
    readonly preferred: number;
  }[];
  readonly partitions: readonly {
    readonly replicas: readonly { readonly node: string; readonly role: string; readonly state: string }[];
  }[];
  readonly problems: readonly string[];
}

beforeAll(async () => {
  cluster = await startLocalCluster({ partitions: 6, diskPercent: anyDisk() });
  await cluster.ready();
  load = new Load(cluster.gateways[0]!.url);
});
afterAll(async () => {
  await load?.stop();
  await cluster?.close();
});

async function ran(...args: readonly string[]): Promise<CommandOutput> {
  const output = await cluster.statestore(args, 200_000);
  expect(output, output.stdout + output.stderr).toMatchObject({ code: 0 });
  return output;
}

async function status(): Promise<Status> {
  return JSON.parse((await cluster.statestore(['status', '--json'])).stdout) as Status;
}

function replicasOf({ nodes }: Status): Readonly<Record<string, number>> {
  return Object.fromEntries(nodes.map(({ name, replicas }) => [name, replicas]));
}

/** Every partition has three replicas that serve, none on its way. */
function expectWhole({ partitions }: Status): void {
  for (const { replicas } of partitions) {
    expect(replicas.map(({ role, state }) => `${role} ${state}`)).toEqual(Array(3).fill('replica running'));
  }
}

test('a new node is given its share', async () => {
  await cluster.addNode();
  const before = await status();
  expect(replicasOf(before)).toEqual({ 'node-1': 6, 'node-2': 6, 'node-3': 6, 'node-4': 0 });
  const { stdout } = await ran('rebalance');
  expect(stdout).toContain('node-4 builds partition');
  const after = await status();
  expect(Object.values(replicasOf(after)).toSorted((a, b) => a - b)).toEqual([4, 4, 5, 5]);
  expectWhole(after);
  for (const { preferred } of after.nodes) expect(preferred).toBeGreaterThan(0);
  expect((await ran('rebalance')).stdout).not.toContain('epoch');
});

test('a drained node holds nothing, may be stopped and forgotten', async () => {
  await ran('drain', 'node-1');
  const drained = await status();
  expect(replicasOf(drained)).toEqual({ 'node-1': 0, 'node-2': 6, 'node-3': 6, 'node-4': 6 });
  expectWhole(drained);
  const live = await cluster.statestore(['forget', 'node-1']);
  expect(live).toMatchObject({ code: 1, stderr: expect.stringContaining('node node-1 is live') as string });
  await cluster.nodes[0]!.stop();
  await ran('forget', 'node-1');
  const { nodes, problems } = await status();
  expect(nodes.map(({ name }) => name)).toEqual(['node-2', 'node-3', 'node-4']);
  expect(problems).toEqual([]);
});

test('one that cannot be drained says why, and the wish can be taken back', async () => {
  const { code, stdout, stderr } = await cluster.statestore(['drain', 'node-2', '--timeout', '3'], 60_000);
  expect(code).toBe(1);
  expect(stdout).toMatch(/waiting: .*partition \d.*node-2/);
  expect(stderr).toContain('nothing has changed for 3 s');
  expectWhole(await status());
  expect((await cluster.statestore(['drain', 'node-9'])).stderr).toContain('there is no node node-9');
  await ran('undrain', 'node-2');
  expect(replicasOf(await status())).toEqual({ 'node-2': 6, 'node-3': 6, 'node-4': 6 });
});

test('a node that was drained and comes back gets replicas again', async () => {
  await cluster.nodes[0]!.start();
  await ran('rebalance');
  const after = await status();
  expect(Object.values(replicasOf(after)).toSorted((a, b) => a - b)).toEqual([4, 4, 5, 5]);
  expectWhole(after);
});

test('a node that dies for good is replaced when it was silent for long enough', async () => {
  await cluster.nodes[2]!.kill();
  await ran('rebalance', '--give-up-after', '8');
  const { nodes, partitions } = await status();
  const gone = nodes.find(({ name }) => name === 'node-3');
  expect(gone).toMatchObject({ replicas: 0 });
  // Whoever has only just begun to watch has not seen enough of its silence yet.
  expect(['silent', 'unknown']).toContain(gone?.state);
  for (const { replicas } of partitions) expect(replicas.filter(({ state }) => state === 'running')).toHaveLength(3);
});

test('what is there is not made again', async () => {
  expect((await ran('init', '--partitions', '6')).stdout).toContain('Nothing was changed');
  const other = await cluster.statestore(['init', '--partitions', '7']);
  expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('6 partitions already; 7 were') as string });
});

test('nobody noticed: no write failed, and each is there', async () => {
  await sleep(500);
  const written = await load.stop();
  expect(load.failures).toEqual([]);
  expect(written.size).toBeGreaterThan(500);
  const stored = await load.stored();
  expect([...written].filter(([key, value]) => stored.get(key) !== value)).toEqual([]);
});
