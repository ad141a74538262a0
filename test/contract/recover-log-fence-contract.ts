// What the fence of a log that is recovered promises: what was acknowledged while it was decided is kept, also where
// the old stream is said to be gone, is back again, or takes something once it is sealed.
import type { LogStreams, LostLog } from '@statestore/cluster';
import { recoverLog } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RecoveryWorld } from './recover-log-fixture.ts';
import { bound, LostLogWorld } from './recover-log-fixture.ts';

export function recoverLogFenceContract(name: string, replicas: number, make: () => Promise<RecoveryWorld>): void {
  describe(`the fence of a log that is recovered: ${name}`, { timeout: 120_000 }, () => {
    let given: LostLogWorld;
    let world: RecoveryWorld;
    let lost: PartitionLog;

    beforeEach(async () => {
      world = await make();
      given = await LostLogWorld.make(world, replicas);
      ({ lost } = given);
    });

    test('what is appended just before the old one is sealed may be followed while it is waited for', async () => {
      await given.append(lost, 2);
      let late = (): Promise<unknown> => given.append(lost);
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        async seal(...args) {
          await late();
          late = () => Promise.resolve([]);
          await world.logStreams.seal(...args);
        },
      };
      const log = await recoverLog({ ...world, logStreams }, given.at(2n, lost, [2n, 3n]));
      expect(log).toMatchObject({ generation: 2, continues: { position: 3n } });
      expect(await given.later()).toEqual([2]);
    });

    test('from where is decided when the old one is sealed, by an epoch that is later', async () => {
      await given.append(lost, 3);
      const before = (await world.topologyStore.read())!;
      const epochs: bigint[] = [];
      const decide: LostLog['decide'] = async (placement, epoch) => {
        epochs.push(epoch);
        expect(await world.logStreams.describe(0, 1)).toMatchObject({ sealed: true });
        expect(await world.topologyStore.read()).toEqual({ ...before, epoch });
        expect(placement).toEqual(before.partitions[0]);
        return given.point(5n);
      };
      expect(await recoverLog(world, { ...given.at(9n), decide })).toMatchObject({ continues: { position: 5n } });
      expect(epochs).toEqual([2n, 2n]);
    });

    test('where the best replica moved until the new one was made, all is begun again', async () => {
      const log = await recoverLog(world, given.at(9n, lost, [9n, 10n]));
      expect(log).toMatchObject({ generation: 3, continues: { position: 10n } });
      // Twice a fence, and the name.
      expect((await world.topologyStore.read())!.epoch).toBe(4n);
      expect(await given.later()).toEqual([3]);
    });

    test('where it cannot be decided nothing is named', async () => {
      const decide = (): Promise<never> => Promise.reject(new StateStoreError('unavailable', 'a replica runs'));
      await expect(recoverLog(world, { ...given.at(9n), decide })).rejects.toMatchObject({ message: 'a replica runs' });
      expect(await given.named()).toEqual(lost);
      expect(await given.later()).toEqual([]);
    });

    test('an old one that takes something once it is sealed is fenced again', async () => {
      await given.append(lost, 3);
      let looks = 0;
      let seals = 0;
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        seal(...args) {
          seals++;
          return world.logStreams.seal(...args);
        },
        async describe(...args) {
          const found = await world.logStreams.describe(...args);
          // Before the seal, after it: a leader that was elected then had not heard of it.
          return found !== undefined && args[1] === 1 && ++looks === 2 ? { ...found, last: 2n } : found;
        },
      };
      expect(await recoverLog({ ...world, logStreams }, given.at(9n))).toMatchObject({ generation: 2 });
      expect(seals).toBe(2);
    });

    test('an old one that is only said to be gone is sealed all the same', async () => {
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        describe: (...args) => (args[1] === 1 ? Promise.resolve(undefined) : world.logStreams.describe(...args)),
      };
      await given.append(lost, 3);
      const log = await recoverLog({ ...world, logStreams }, given.at(3n));
      expect(await given.append(lost)).toEqual(['refused']);
      expect(await given.append(log)).toEqual(['appended']);
    });

    test('an old one that is back after it was gone is fenced again', async () => {
      await given.append(lost, 3);
      let looks = 0;
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        seal: (...args) => (looks < 3 ? Promise.resolve() : world.logStreams.seal(...args)),
        describe: (...args) =>
          args[1] === 1 && ++looks < 3 ? Promise.resolve(undefined) : world.logStreams.describe(...args),
      };
      expect(await recoverLog({ ...world, logStreams }, given.at(3n))).toMatchObject({ generation: 2 });
      expect(await given.append(lost)).toEqual(['refused']);
    });

    test('it is given up at any time, and finished by another', async () => {
      const giveUp = new AbortController();
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        async seal(...args) {
          await world.logStreams.seal(...args);
          setTimeout(() => giveUp.abort(new Error('given up')), 20);
        },
      };
      await expect(recoverLog({ ...world, logStreams }, given.at(9n), { signal: giveUp.signal })).rejects.toThrow(
        'given up',
      );
      expect(await given.named()).toEqual(lost);
      expect(await recoverLog(world, given.at(9n))).toMatchObject({ generation: 2 });
    });
  });
}
