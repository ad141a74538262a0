// A log that fails under the feet of the replicas: its stream is deleted, or all its servers forget the last
// seconds. What was acknowledged is in the replicas, and they make a new log from where they are.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteStream, forget } from '../torture/deeds.ts';
import { SharedCluster } from './shared-cluster.ts';

const recoveryMsMax = 30_000;
let shared: SharedCluster;
beforeAll(async () => {
  shared = await SharedCluster.start();
});
afterAll(() => shared?.close());

test('a stream is deleted: its replicas agree, and it is replaced by itself', async () => {
  await shared.under('delete a stream', (scene) => deleteStream(scene, 1, recoveryMsMax));
});

test('all servers forget what was acknowledged', async () => {
  await shared.under('forget', async (scene) => {
    await forget(scene, 2000);
    await scene.cluster.ready(recoveryMsMax);
  });
});

test('with a node away, recovery is a decision: `statestore recover`', async () => {
  await shared.under('recover', async (scene) => {
    await shared.process('node-3').kill();
    const before = (await scene.eye.generations()).get(2)!;
    await scene.eye.deleteLog(2);
    await scene.sleep(5000);
    if ((await scene.eye.generations()).get(2) === before) {
      const { code, stdout, stderr } = await scene.cluster.statestore(['recover', '--partition', '2', '--yes']);
      expect(code, `${stdout}${stderr}`).toBe(0);
    }
    await shared.process('node-3').start();
    await scene.cluster.ready();
  });
});
