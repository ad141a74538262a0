// What may happen in the middle of a restore, in a cluster of real processes: the disk is full, the repository goes away,
// checkpoints are damaged, cannot be read, or are deleted. It is said what is wrong, the rest of the node works on, and
// the replica comes back by itself.
import { execFile } from 'node:child_process';
import { readdir, readFile, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ManagedProcess } from '@statestore/cli';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { BackedUpCluster, metric, said } from '../process/restore/backed-up-cluster.ts';
import { Orders } from '../process/restore/orders.ts';

const patient = { timeout: 60_000, interval: 100 };
const diskBytes = 96 * 1024 * 1024;
const keys = { count: 340, bytes: 60_000, atOnce: 20 };

let orders: Orders;
let world: BackedUpCluster;
let small: ManagedProcess;
/** The older one, which the logs can still be followed on from, and the newer one. */
let checkpoints: [string, string];

beforeAll(async () => {
  orders = await Orders.open();
  world = await BackedUpCluster.start(
    { nodeFlags: orders.flags, dataTmpfsBytes: (name) => (name === 'node-3' ? diskBytes : undefined) },
    ['node-3'],
  );
  small = world.cluster.nodes[2]!;
  await world.write(keys.count, keys.bytes, keys.atOnce);
  const older = await world.checkpoint();
  await world.trimBelow(older);
  // Some of each partition.
  await world.write(40, keys.bytes, 1);
  checkpoints = [older, await world.checkpoint()];
  await world.write(20, 1000);
});
afterAll(async () => {
  await world?.close();
  await orders?.close();
});
afterEach(async () => {
  for (const { name } of world.cluster.nodes) await orders.release(name);
  await world.converged(3);
  await world.expectAll();
});

interface Replica {
  readonly node: string;
  readonly state: string;
  readonly reason: string;
}

async function replicaOf(partition: number, node: ManagedProcess): Promise<Replica> {
  const { stdout } = await world.cluster.statestore(['status', '--json']);
  const view = JSON.parse(stdout) as { readonly partitions: readonly { readonly replicas: readonly Replica[] }[] };
  return view.partitions[partition]!.replicas.find((each) => each.node === node.name)!;
}

/** So that this part of it is free; returns what undoes that. */
async function fillTo(path: string, freeShare: number): Promise<() => Promise<void>> {
  const filler = join(path, '.filler');
  const { bavail, bsize, blocks } = await statfs(path);
  const bytes = Math.floor(bavail * bsize - blocks * bsize * freeShare);
  await promisify(execFile)('fallocate', ['-l', String(bytes), filler]);
  return () => rm(filler, { force: true });
}

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

test.runIf(isRoot)(
  'a disk without room for one: others of the node work on, and it comes when there is room',
  async () => {
    await world.kill(small);
    await rm(join(small.dataPath!, 'partitions', '1'), { recursive: true });
    // Not so full that writes are refused, and too full for the other one beside.
    const empty = await fillTo(small.dataPath!, 0.17);
    const failures = await metric(world.cluster.nodes[0]!, 'state_restore_failures_total');
    await small.start();
    const reason = async (): Promise<string> => (await replicaOf(1, small)).reason;
    await expect
      .poll(reason, patient)
      .toMatch(/restored from a checkpoint: the disk has \d+ of \d+ bytes free; it takes/);
    expect((await replicaOf(1, small)).state).toBe('copying');
    expect(await metric(small, 'state_restore_failures_total')).toBeGreaterThan(0);
    expect(await metric(world.cluster.nodes[0]!, 'state_restore_failures_total')).toBe(failures);
    expect(await said(small, 'a replica could not be restored from a checkpoint')).toBe(true);
    // The replica that is there follows, and nothing was taken from it.
    await world.write(20, 1000);
    await expect.poll(async () => (await replicaOf(0, small)).state, patient).toBe('running');
    expect(await metric(small, 'state_disk_level')).toBe(0);
    expect(await readdir(join(small.dataPath!, 'partitions', '1'))).toEqual(['data']);
    await empty();
    await expect.poll(() => metric(small, 'state_restores_total'), patient).toBe(1);
    await world.converged(3);
    await world.expectNothingLeft(small);
  },
);

test.runIf(isRoot)('a disk that is filled in the middle of it: it is given up, and begins anew', async () => {
  await world.wipe(small);
  await orders.hold(small.name);
  await small.start();
  await orders.isHeld(small.name);
  const empty = await fillTo(small.dataPath!, 0.03);
  await orders.release(small.name);
  await expect.poll(() => metric(small, 'state_restore_failures_total'), patient).toBeGreaterThan(0);
  expect((await replicaOf(0, small)).reason).toContain('the disk has');
  expect(await metric(small, 'state_disk_level')).toBe(2);
  // Other nodes serve meanwhile.
  await world.write(10, 1000);
  await empty();
  await world.converged(3);
  await world.expectNothingLeft(small);
});

test('the repository is away for a while, and all nodes have lost their disks: they wait, and go on', async () => {
  for (const node of world.cluster.nodes) {
    await world.wipe(node);
    await orders.hold(node.name);
  }
  await Promise.all(world.cluster.nodes.map((node) => node.start()));
  for (const { name } of world.cluster.nodes) await orders.isHeld(name);
  await rename(world.repositoryPath, `${world.repositoryPath}.away`);
  for (const { name } of world.cluster.nodes) await orders.release(name);
  const [first] = world.cluster.nodes;
  const reason = async (): Promise<string> => (await replicaOf(0, first!)).reason;
  await expect.poll(reason, patient).toMatch(/the folder .* is gone/);
  await rename(`${world.repositoryPath}.away`, world.repositoryPath);
  await world.converged(3);
  for (const node of world.cluster.nodes) await world.expectNothingLeft(node);
});

/** Blocks that the checkpoint itself brought, by their paths. */
async function blocksOf(id: string): Promise<string[]> {
  const path = join(world.repositoryPath, 'blocks', id);
  const names = await readdir(path, { recursive: true });
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => join(path, name));
}

test('a checkpoint is deleted while it is read: another one is taken', async () => {
  const node = world.cluster.nodes[1]!;
  await world.wipe(node);
  await orders.hold(node.name);
  await node.start();
  await orders.isHeld(node.name);
  const [, read] = checkpoints;
  // All that it has is changed, so that nothing of the next one refers to it.
  await world.rewrite(keys.atOnce);
  const next = await world.checkpoint();
  const repository = ['--repository', `file://${world.repositoryPath}`];
  for (const id of [read, checkpoints[0]]) {
    const deleted = await world.alone(['checkpoint', 'delete', id, ...repository]);
    expect(deleted.code, deleted.stderr).toBe(0);
  }
  // As clearing up does, a day later.
  for (const id of [read, checkpoints[0]])
    await rm(join(world.repositoryPath, 'blocks', id), { recursive: true, force: true });
  const verified = await world.alone(['checkpoint', 'verify', next, ...repository]);
  expect(verified.code, verified.stdout).toBe(0);
  await orders.release(node.name);
  await world.converged(3);
  expect(await said(node, 'a checkpoint was deleted while it was restored from')).toBe(true);
  expect(await metric(node, 'state_restores_total')).toBe(2);
  expect(await metric(node, 'state_restore_passed_over_total')).toBe(0);
  await world.trimBelow(next);
  await world.write(30, keys.bytes);
  checkpoints = [next, await world.checkpoint()];
});

test('one that cannot be read, or is damaged, is passed over for the older one; without any, a node is copied', async () => {
  const node = world.cluster.nodes[1]!;
  const [older, newer] = checkpoints;
  for (const path of await blocksOf(newer)) {
    await rm(path);
    // Neither a file nor absent: nobody can say what is in it.
    await symlink(path, path);
  }
  await world.wipe(node);
  await node.start();
  await world.converged(3);
  expect(await metric(node, 'state_restores_total')).toBe(2);
  expect(await metric(node, 'state_restore_passed_over_total')).toBe(2);
  expect(await said(node, 'a checkpoint that cannot be read is passed over')).toBe(true);
  for (const path of await blocksOf(older)) {
    const bytes = await readFile(path);
    await writeFile(path, bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1));
  }
  await world.wipe(node);
  await node.start();
  await world.converged(3);
  expect(await metric(node, 'state_restores_total')).toBe(0);
  expect(await metric(node, 'state_replica_rebuilds_total')).toBe(2);
  expect(await metric(node, 'state_restore_passed_over_total')).toBeGreaterThanOrEqual(2);
  expect(await said(node, 'a damaged checkpoint is passed over')).toBe(true);
});
