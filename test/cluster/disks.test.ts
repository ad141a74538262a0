// Full disks, on small file systems of a node's and of a NATS server's own (Linux and root): nothing
// acknowledged is lost, and when there is room again all goes on.
import { afterAll, beforeAll, test } from 'vitest';
import { fillDisk } from '../torture/deeds.ts';
import { SharedCluster } from './shared-cluster.ts';

const small = ['node-1', 'nats-1'];
const smallDiskBytes = 128 * 1024 * 1024;
let shared: SharedCluster;
beforeAll(async () => {
  const dataTmpfsBytes = (name: string): number | undefined => (small.includes(name) ? smallDiskBytes : undefined);
  shared = await SharedCluster.start({ dataTmpfsBytes }, small);
});
afterAll(() => shared?.close());

test('of a node', async () => {
  await shared.under('full disk of a node', (scene) => fillDisk(scene, shared.process('node-1'), 5000));
});

test('of a NATS server', async () => {
  await shared.under('full disk of nats', (scene) => fillDisk(scene, shared.process('nats-1'), 5000));
});

test('of both at once', async () => {
  await shared.under('full disks', async (scene) => {
    await Promise.all(small.map((name) => fillDisk(scene, shared.process(name), 4000)));
  });
});
