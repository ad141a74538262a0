// A restore to any moment gives the state that replicas had then, entry for entry and by its hashes: to each position
// of a history, to each time, through logs that carry each other on, and in other partitions.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { listCheckpoints, MemoryRepository, openRepository, restorePartition } from '@statestore/checkpoint';
import { hashToHex, loadState, slotOf, verifyState } from '@statestore/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Materialised } from '../../services/node/src/checkpoint/materialise.ts';
import { materialise } from '../../services/node/src/checkpoint/materialise.ts';
import type { RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { planRestore } from '../../services/node/src/checkpoint/restore-plan.ts';
import type { EngineKind } from '../../services/node/src/engine/engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import {
  archive,
  checkpointAt,
  cluster,
  contentOf,
  newLog,
  positionAt,
  replicaAt,
  scratchOf,
} from './archived-history.ts';
import { command, steps } from './arbitrary-commands.ts';
import { logOf } from './replica.ts';

const { signal } = new AbortController();
let root = '';
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'statestore-moment-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

function repositoryOf(): Promise<Repository> {
  return openRepository({ type: 'folder', path: join(root, `${folders++}`), concurrency: 4 });
}

interface Wanted {
  readonly source: Repository;
  readonly moment: RestoreMoment;
  readonly kind?: EngineKind;
  readonly partitions?: number;
}

/** Materialised into a repository of its own, and read from there. */
async function restored({ source, moment, kind = 'memory', partitions }: Wanted): Promise<{
  readonly engines: readonly MemoryEngine[];
  readonly made: Materialised;
}> {
  const into = new MemoryRepository();
  const plan = await planRestore({ repository: source, cluster, moment, signal });
  const made = await materialise({
    plan,
    source,
    into,
    cluster: 'other',
    partitions,
    openScratch: scratchOf(kind),
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
  });
  const again = await planRestore({
    repository: into,
    cluster: 'other',
    moment: { kind: 'checkpoint', id: undefined },
    signal,
  });
  const engines: MemoryEngine[] = [];
  for (const { manifest } of again.partitions) {
    const target = new MemoryEngine();
    await restorePartition({ repository: into, manifest, target, signal });
    engines.push(target);
  }
  return { engines, made };
}

const histories = steps(command(fc.constantFrom(150, 1e9))).filter((some) => some.length >= 4);

describe.each(['memory', 'lmdb'] as const)('through an engine of kind %s', (kind) => {
  test('every position, and every time, of a random history', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(), fc.array(fc.nat(), { maxLength: 3 }), async (some, begin, cuts) => {
        const records = logOf(some);
        const last = BigInt(records.length);
        const log = newLog();
        const source = await repositoryOf();
        const start = BigInt(begin) % last;
        await checkpointAt(source, replicaAt(records, start), log);
        // Segments that overlap, and together have everything.
        await archive(source, log, records, start + 1n, last);
        for (const cut of cuts) {
          const from = 1n + (BigInt(cut) % last);
          await archive(source, log, records, from, from + (BigInt(cut) % (last - from + 1n)));
        }
        for (let position = start; position <= last; position++) {
          const moment = { kind: 'position', positions: new Map([[0, position]]) } as const;
          const { engines } = await restored({ source, moment, kind });
          const expected = replicaAt(records, position);
          expect(contentOf(engines[0]!)).toEqual(contentOf(expected.records));
          const { chain, stateHash } = loadState(engines[0]!);
          expect(hashToHex(chain)).toBe(hashToHex(expected.state.chain));
          expect(hashToHex(stateHash)).toBe(hashToHex(expected.state.stateHash));
        }
        const { clockNanos } = replicaAt(records, start).state;
        const times = new Set(records.flatMap(({ timestampNanos: at }) => [at - 1n, at, at + 1n]));
        for (const nanos of [...times].filter((each) => each >= clockNanos).slice(0, 6)) {
          const { engines } = await restored({ source, moment: { kind: 'time', nanos }, kind });
          const position = positionAt(records, nanos);
          expect(contentOf(engines[0]!)).toEqual(
            contentOf(replicaAt(records, position > start ? position : start).records),
          );
        }
      }),
      // A smaller example would take longer than it is worth.
      { numRuns: kind === 'memory' ? 10 : 4, endOnFailure: true },
    );
  });
});

describe('a history', () => {
  const long = (): ReturnType<typeof logOf> => {
    const one = fc.sample(fc.array(histories, { minLength: 4, maxLength: 4 }), { numRuns: 1, seed: 7 })[0]!.flat();
    // Ascending, so that each time has one position.
    return logOf(one).map((record, at) => ({
      ...record,
      timestampNanos: 1_700_000_000_000_000_000n + BigInt(at) * 1_000_000_000n,
    }));
  };

  test('goes on in the logs that were recovered and restored, and ends where it did at that time', async () => {
    const records = long();
    const last = BigInt(records.length);
    const source = await repositoryOf();
    const chainAt = (position: bigint): string => hashToHex(replicaAt(records, position).state.chain);
    const first = newLog();
    const second = newLog(2, { incarnation: first.incarnation, position: 20n, chain: chainAt(20n) });
    await checkpointAt(source, replicaAt(records, 5n), first);
    // The first log had more, which was lost with it.
    const lost = records.map((record) => (record.position > 20n ? { ...record, bytes: records[0]!.bytes } : record));
    await archive(source, first, lost, 4n, 22n);
    await archive(source, second, records, 21n, last);
    const at = async (moment: RestoreMoment): Promise<string[]> =>
      contentOf((await restored({ source, moment })).engines[0]!);
    for (const position of [20n, 21n, 25n, last]) {
      const moment = { kind: 'position', positions: new Map([[0, position]]) } as const;
      expect(await at(moment)).toEqual(contentOf(replicaAt(records, position).records));
    }
    expect(await at({ kind: 'newest' })).toEqual(contentOf(replicaAt(records, last).records));
    const before = records[18]!.timestampNanos;
    expect(await at({ kind: 'time', nanos: before })).toEqual(contentOf(replicaAt(records, 19n).records));
  });

  test('a checkpoint of what was left behind is passed over', async () => {
    const records = long();
    const source = await repositoryOf();
    const chainAt = (position: bigint): string => hashToHex(replicaAt(records, position).state.chain);
    const first = newLog();
    const second = newLog(1, { incarnation: first.incarnation, position: 8n, chain: chainAt(8n) });
    const good = await checkpointAt(source, replicaAt(records, 5n), first);
    const left = await checkpointAt(source, replicaAt(records, 15n), first);
    await archive(source, first, records, 1n, 15n);
    const later = records.map((record) => ({ ...record, timestampNanos: record.timestampNanos + 3_600_000_000_000n }));
    const both = [...records.slice(0, 8), ...later.slice(8)];
    await archive(source, second, both, 9n, 30n);
    const plan = await planRestore({ repository: source, cluster, moment: { kind: 'newest' }, signal });
    expect(plan.checkpoint.manifest.id).toBe(good.id);
    expect(plan.passedOver).toEqual([expect.stringContaining(left.id)]);
    // While it was not left behind, it will do.
    const nanos = records[15]!.timestampNanos;
    const then = await planRestore({ repository: source, cluster, moment: { kind: 'time', nanos }, signal });
    expect(then.checkpoint.manifest.id).toBe(left.id);
  });

  test('what is not archived is named, and nothing is made', async () => {
    const records = long();
    const source = await repositoryOf();
    const log = newLog();
    await checkpointAt(source, replicaAt(records, 5n), log);
    await archive(source, log, records, 6n, 10n);
    await archive(source, log, records, 13n, 20n);
    const into = await repositoryOf();
    const moment = { kind: 'position', positions: new Map([[0, 15n]]) } as const;
    const plan = await planRestore({ repository: source, cluster, moment, signal });
    const options = {
      plan,
      source,
      into,
      cluster,
      openScratch: scratchOf('memory'),
      conductor: 'n',
      version: '1',
      signal,
    };
    await expect(materialise({ ...options, random: (bytes) => randomBytes(bytes) })).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining('11 to 12') as string,
    });
    expect(await listCheckpoints({ repository: into })).toEqual([]);
    const early = { kind: 'position', positions: new Map([[0, 3n]]) } as const;
    await expect(planRestore({ repository: source, cluster, moment: early, signal })).rejects.toThrow(
      /is at 5, after 3/,
    );
  });

  test('in other partitions, each entry is in one of them', async () => {
    const records = long();
    const source = await repositoryOf();
    const log = newLog();
    await checkpointAt(source, replicaAt(records, 5n), log);
    await archive(source, log, records, 6n, 40n);
    const moment = { kind: 'position', positions: new Map([[0, 40n]]) } as const;
    const whole = replicaAt(records, 40n);
    const entriesOf = (engine: MemoryEngine): string[] => {
      const state = loadState(engine);
      expect(verifyState(state, engine)).toEqual([]);
      return [...engine.range({ start: '\x10', end: '\x11' })].map(({ key, value }) => {
        const store = [...state.stores.values()].find(
          ({ keyPrefix }) => keyPrefix !== '' && key.startsWith(keyPrefix),
        )!;
        return `${store.name}/${slotOf(store.name, key.slice(store.keyPrefix.length))}/${key.slice(store.keyPrefix.length)}=${Buffer.from(value).toString('hex')}`;
      });
    };
    const expected = [...whole.records.range({ start: '\x10', end: '\x11' })].flatMap(({ key, value }) => {
      const store = [...whole.state.stores.values()].find(
        ({ keyPrefix }) => keyPrefix !== '' && key.startsWith(keyPrefix),
      );
      if (store === undefined) return [];
      const userKey = key.slice(store.keyPrefix.length);
      return [`${store.name}/${slotOf(store.name, userKey)}/${userKey}=${Buffer.from(value).toString('hex')}`];
    });
    expect(expected.length).toBeGreaterThan(3);
    const four = await restored({ source, moment, partitions: 4 });
    expect(four.engines).toHaveLength(4);
    expect(four.engines.flatMap((engine) => entriesOf(engine)).toSorted()).toEqual(expected.toSorted());
    const again = await restored({ source, moment, partitions: 4 });
    // The same sources give the same states.
    expect(
      again.made.manifest.partitions.map(({ chain, stateHash, incarnation }) => [chain, stateHash, incarnation]),
    ).toEqual(
      four.made.manifest.partitions.map(({ chain, stateHash, incarnation }) => [chain, stateHash, incarnation]),
    );
    expect(new Set(four.made.manifest.partitions.map(({ incarnation }) => incarnation)).size).toBe(4);
  });

  test('four partitions as three', async () => {
    const records = long();
    const source = await repositoryOf();
    const log = newLog();
    await checkpointAt(source, replicaAt(records, 40n), log);
    const whole = replicaAt(records, 40n).state;
    const four = await repositoryOf();
    const options = {
      openScratch: scratchOf('memory'),
      conductor: 'n',
      version: '1',
      signal,
      random: (n: number) => randomBytes(n),
    };
    const plan = await planRestore({
      repository: source,
      cluster,
      moment: { kind: 'checkpoint', id: undefined },
      signal,
    });
    await materialise({ ...options, plan, source, into: four, cluster, partitions: 4 });
    const { engines } = await restored({ source: four, moment: { kind: 'checkpoint', id: undefined }, partitions: 3 });
    const states = engines.map((engine) => loadState(engine));
    for (const [at, engine] of engines.entries()) expect(verifyState(states[at]!, engine)).toEqual([]);
    expect(states.reduce((sum, { entries }) => sum + entries, 0)).toBe(whole.entries);
    expect(states.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(whole.bytes);
    // A sum over entries: in other partitions it is the same.
    const sum = states.reduce(
      (total, { stateHash }) => total.map((lane, at) => lane + stateHash[at]!),
      new Uint32Array(4),
    );
    expect(hashToHex(sum)).toBe(hashToHex(whole.stateHash));
  });
});
