// What recovering a log promises, over any streams and any topology store: interrupted anywhere it is finished by
// beginning again, of several one wins, and the old log takes nothing more once the new one is named.
import type { LogStreams, RecoverySurroundings, TopologyStore } from '@statestore/cluster';
import { recoverLog } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RecoveryWorld } from './recover-log-fixture.ts';
import { bound, bytes, chain, LostLogWorld } from './recover-log-fixture.ts';

export function recoverLogContract(name: string, replicas: number, make: () => Promise<RecoveryWorld>): void {
  describe(`recovering a log: ${name}`, { timeout: 120_000 }, () => {
    let given: LostLogWorld;
    let world: RecoveryWorld;
    let lost: PartitionLog;

    beforeEach(async () => {
      world = await make();
      given = await LostLogWorld.make(world, replicas);
      ({ lost } = given);
    });

    test('it is carried on after what is kept; the old one can be read and takes nothing', async () => {
      expect(await given.append(lost, 3)).toEqual(['appended', 'appended', 'appended']);
      const log = await recoverLog(world, given.at(9n));
      expect(log).toMatchObject({ generation: 2, continues: { incarnation: lost.incarnation, position: 9n, chain } });
      expect(await given.named()).toEqual(log);
      expect((await world.topologyStore.read())!.epoch).toBe(3n);
      expect(await world.logStreams.describe(0, 2)).toMatchObject({ log, first: 10n, last: 9n });
      expect(await world.logStreams.describe(0, 1)).toMatchObject({ first: 1n, last: 3n, sealed: true });
      expect((await world.logStreams.describe(0, 2))?.sealed).toBeUndefined();
      expect(await given.append(lost)).toEqual(['refused']);
      expect(await given.append(log)).toEqual(['appended']);
      // One that carries on another is recovered like any other.
      const next = await recoverLog(world, given.at(10n, log));
      expect(next).toMatchObject({ generation: 3, continues: { incarnation: log.incarnation, position: 10n } });
      expect(await given.append(log)).toEqual(['refused']);
    });

    test('done once, it is done', async () => {
      const log = await recoverLog(world, given.at(9n));
      expect(await given.append(log)).toEqual(['appended']);
      expect(await recoverLog(world, given.at(9n))).toEqual(log);
      expect((await world.topologyStore.read())!.epoch).toBe(3n);
      expect(await given.later()).toEqual([2]);
    });

    test('another log than the lost one is left alone, and named', async () => {
      const log = await recoverLog(world, given.at(9n));
      await expect(recoverLog(world, given.at(8n))).rejects.toMatchObject({
        code: 'data_format',
        message: expect.stringContaining(`${log.incarnation} (generation 2)`),
      });
      expect(await given.append(log)).toEqual(['appended']);
      expect(await given.later()).toEqual([2]);
    });

    test('a log that has more is not given up without being told so, and goes on', async () => {
      await given.append(lost, 3);
      await expect(recoverLog(world, given.at(2n))).rejects.toMatchObject({
        code: 'data_format',
        message: expect.stringMatching(/goes to position 3; .*carried on after 2/),
      });
      expect(await given.named()).toEqual(lost);
      expect(await given.append(lost)).toEqual(['appended']);
      expect(await recoverLog(world, given.at(2n), { force: true })).toMatchObject({ continues: { position: 2n } });
      expect(await given.append(lost)).toEqual(['refused']);
    });

    test('what is appended just before the old one is sealed is seen', async () => {
      await given.append(lost, 2);
      const logStreams: LogStreams = {
        ...bound(world.logStreams),
        async seal(...args) {
          await given.append(lost);
          await world.logStreams.seal(...args);
        },
      };
      await expect(recoverLog({ ...world, logStreams }, given.at(2n))).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('had more (3) than any replica (2)'),
      });
      expect(await given.named()).toEqual(lost);
      expect(await given.later()).toEqual([]);
      // It is carried on from whoever followed it to its end.
      expect(await recoverLog(world, given.at(3n))).toMatchObject({ continues: { position: 3n } });
    });

    test('a stream that is gone, or another one in its place, is not needed', async () => {
      await world.logStreams.remove(0, 1);
      const foreign = await world.logStreams.create({ partition: 0, generation: 1, replicas });
      await given.append(foreign, 20);
      const log = await recoverLog(world, given.at(9n));
      expect(await given.append(foreign)).toEqual(['appended']);
      await world.logStreams.remove(0, 2);
      expect(await recoverLog(world, given.at(9n, log))).toMatchObject({ generation: 3 });
    });

    test('the stream of another attempt is left alone', async () => {
      const continues = { incarnation: lost.incarnation, position: 8n, chain };
      const theirs = await world.logStreams.create({ partition: 0, generation: 2, replicas, first: 9n, continues });
      expect(await recoverLog(world, given.at(9n))).toMatchObject({ generation: 3, continues: { position: 9n } });
      expect((await world.logStreams.describe(0, 2))?.log).toEqual(theirs);
    });

    test('streams of attempts without end are not walked past for ever', async () => {
      const describeAll: LogStreams = {
        ...bound(world.logStreams),
        describe: (_, generation) =>
          generation === 1
            ? world.logStreams.describe(0, 1)
            : Promise.resolve({ log: { generation, incarnation: 'x' }, first: 1n, last: 0n, sizeBytes: 0 }),
      };
      await expect(recoverLog({ ...world, logStreams: describeAll }, given.at(9n))).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining(String(limits.recoverGenerationsMax)),
      });
    });

    describe.each(['before', 'after'] as const)('ended %s any step', (when) => {
      test('it is finished by beginning again, and leaves nothing behind', async () => {
        await given.append(lost, 3);
        let steps = 0;
        for (let dieAt = 1; ; dieAt++) {
          const dying = breaking(world, dieAt, when);
          const outcome = await recoverLog(dying, given.at(9n)).then(
            () => 'done',
            (error: unknown) => (error === died ? 'died' : Promise.reject(error as Error)),
          );
          steps = dieAt;
          if (outcome === 'done') break;
        }
        // Reads, looks, seal, look, fence, look, look for a name, make, read, look, name: and it died at each of them.
        expect(steps).toBeGreaterThan(9);
        const log = await recoverLog(world, given.at(9n));
        expect(log).toMatchObject({ generation: 2, continues: { position: 9n } });
        expect(await given.named()).toEqual(log);
        expect(await given.later()).toEqual([2]);
        expect(await given.append(lost)).toEqual(['refused']);
        expect(await given.append(log)).toEqual(['appended']);
      });
    });

    test('a change of the topology with an unknown outcome is looked up', async () => {
      const cases = [1, 2].flatMap((unclear) => [true, false].map((happened) => ({ unclear, happened })));
      // The epoch of the fence, and the name.
      for (const { unclear, happened } of cases) {
        const before = await given.named();
        let changes = 0;
        const topologyStore = {
          read: () => world.topologyStore.read(),
          async replace(next: Parameters<TopologyStore['replace']>[0]) {
            if (++changes !== unclear) return world.topologyStore.replace(next);
            if (happened) await world.topologyStore.replace(next);
            throw new StateStoreError('outcome_unknown', 'nobody answered');
          },
        };
        const log = await recoverLog({ ...world, topologyStore }, given.at(9n, before));
        expect(await given.named()).toEqual(log);
        expect(log.generation).toBe(before.generation + 1);
      }
      expect(await given.later()).toEqual([2, 3, 4, 5]);
    });

    test('other changes of the topology are kept', async () => {
      let changes = 0;
      const topologyStore = {
        read: () => world.topologyStore.read(),
        async replace(next: Parameters<TopologyStore['replace']>[0]) {
          // Once before the fence, once before the name.
          if (changes++ % 2 === 0) {
            const topology = (await world.topologyStore.read())!;
            const [placement] = topology.partitions;
            const partitions = [{ ...placement!, replicas: [...placement!.replicas, `n${changes}`] }];
            await world.topologyStore.replace({ ...topology, epoch: topology.epoch + 1n, partitions });
          }
          return world.topologyStore.replace(next);
        },
      };
      const log = await recoverLog({ ...world, topologyStore }, given.at(9n));
      expect(log.generation).toBe(2);
      expect((await world.topologyStore.read())!.partitions[0]).toMatchObject({
        replicas: ['a', 'n1', 'n3'],
        log,
      });
      expect(await given.later()).toEqual([2]);
    });

    test('of several at once one wins; from the same point they agree', async () => {
      const same = await Promise.all([1, 2, 3].map(() => recoverLog(world, given.at(9n))));
      const log = await given.named();
      expect(new Set(same.map(({ incarnation }) => incarnation))).toEqual(new Set([log.incarnation]));
      expect(await given.later()).toEqual([log.generation]);
    });

    test('of several at once one wins; from different points the others are told', async () => {
      const outcomes = await Promise.allSettled([7n, 8n, 9n].map((position) => recoverLog(world, given.at(position))));
      const log = await given.named();
      const won = outcomes.filter(({ status }) => status === 'fulfilled');
      expect(won).toMatchObject([{ value: log }]);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'data_format' });
      }
      expect(await given.later()).toEqual([log.generation]);
      expect(await given.append(log)).toEqual(['appended']);
    });

    test('the old one acknowledges nothing once the new one may be named', async () => {
      const opened = await world.openLog(0, lost);
      let naming = false;
      const stop = new AbortController();
      let acknowledged = 0;
      const late: string[] = [];
      const publish = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          const isLate = naming;
          const { kind } = await opened.append(bytes);
          if (kind === 'appended') acknowledged++;
          if (isLate && kind !== 'refused') late.push(kind);
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const publishing = [publish(), publish(), publish()];
      await expect.poll(() => acknowledged).toBeGreaterThan(30);
      const topologyStore = {
        read: () => world.topologyStore.read(),
        replace(next: Parameters<TopologyStore['replace']>[0]) {
          naming = true;
          return world.topologyStore.replace(next);
        },
      };
      const log = await recoverLog({ ...world, topologyStore }, given.at(1_000_000n));
      const { last } = (await world.logStreams.describe(0, 1))!;
      await new Promise((resolve) => setTimeout(resolve, 200));
      stop.abort();
      await Promise.all(publishing);
      expect(late).toEqual([]);
      expect((await world.logStreams.describe(0, 1))!.last).toBe(last);
      expect(acknowledged).toBeLessThanOrEqual(Number(last));
      expect(await given.append(log)).toEqual(['appended']);
      await opened.close();
    });
  });
}

const died = new Error('it ended here');

/** The same world, which ends with its n-th step. */
function breaking(world: RecoveryWorld, dieAt: number, when: 'before' | 'after'): RecoverySurroundings {
  let steps = 0;
  const step = async <T>(work: () => Promise<T>): Promise<T> => {
    const dies = ++steps === dieAt;
    if (dies && when === 'before') throw died;
    const done = await work();
    if (dies) throw died;
    return done;
  };
  const { topologyStore, logStreams, clock } = world;
  return {
    clock,
    topologyStore: {
      read: () => step(() => topologyStore.read()),
      replace: (next) => step(() => topologyStore.replace(next)),
    },
    logStreams: {
      create: (log) => step(() => logStreams.create(log)),
      startAt: (...args) => step(() => logStreams.startAt(...args)),
      describe: (...args) => step(() => logStreams.describe(...args)),
      seal: (...args) => step(() => logStreams.seal(...args)),
      remove: (...args) => step(() => logStreams.remove(...args)),
    },
  };
}
