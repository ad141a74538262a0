// A log that fails under the feet of the replicas: its stream is deleted, or all its servers forget the last
// seconds. What was acknowledged is in the replicas, and they make a new log from where they are (I18).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteStream, forget } from '../torture/deeds.ts';
import { SharedCluster } from './shared-cluster.ts';

const recoveryMsMax = 30_000;
/** Longer than recovery by itself takes. */
const waitMs = 5000;
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

test('with a node away, recovery is a decision: `statestore recover` tells what is known, and does it when told to', async () => {
  await shared.under('recover', async (scene) => {
    const away = shared.process('node-3');
    const generation = async (): Promise<number | undefined> => (await scene.eye.generations()).get(2);
    await scene.during('killed, and the log of partition 2 deleted', [away], async () => {
      await away.kill();
      const before = await generation();
      await scene.eye.deleteLog(2);
      // By itself nothing happens: the node that is away could have more.
      await scene.sleep(waitMs);
      expect(await generation()).toBe(before);
      const asked = await scene.cluster.statestore(['recover', '--partition', '2', '--yes']);
      expect(asked.code, asked.stdout).not.toBe(0);
      expect(asked.stdout).toContain('node-3');
      expect(await generation()).toBe(before);
      const done = await scene.cluster.statestore(['recover', '--partition', '2', '--yes', '--force']);
      expect(done.code, `${done.stdout}${done.stderr}`).toBe(0);
      expect(await generation()).toBe(before! + 1);
      await away.start();
    });
    await scene.cluster.ready();
  });
});
