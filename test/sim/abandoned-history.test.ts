// What was left behind by a recovery or a restore never comes back by itself, and what an older checkpoint still leads to
// never goes: a log that was begun is the history from then on, also where nothing was written to it yet.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ArchivedLog, Repository } from '@statestore/checkpoint';
import { collectArchive, describeArchivedLog, listSegments, MemoryRepository } from '@statestore/checkpoint';
import type { BatchRecord } from '@statestore/core';
import { hashToHex } from '@statestore/core';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PreparedRestore } from '../../services/node/src/checkpoint/restore-cluster.ts';
import { prepareRestore } from '../../services/node/src/checkpoint/restore-cluster.ts';
import { restoreFolder } from '../../services/node/src/checkpoint/restore-folder.ts';
import type { RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { planRestore } from '../../services/node/src/checkpoint/restore-plan.ts';
import { archive, checkpointAt, cluster, newLog, replicaAt } from './archived-history.ts';
import { command, steps } from './arbitrary-commands.ts';
import { logOf } from './replica.ts';

const { signal } = new AbortController();
const beginningNanos = 1_700_000_000_000_000_000n;
const secondNanos = 1_000_000_000n;
let root = '';
let source: Repository;
let records: readonly BatchRecord[];
let log: ArchivedLog;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'statestore-abandoned-'));
  const some = steps(command(fc.constantFrom(150, 1e9))).filter((each) => each.length >= 4);
  const all = fc.sample(fc.array(some, { minLength: 6, maxLength: 6 }), { numRuns: 1, seed: 7 })[0]!.flat();
  // Position n at second n - 1.
  records = logOf(all).map((record, at) => ({
    ...record,
    timestampNanos: beginningNanos + BigInt(at) * secondNanos,
  }));
  expect(records.length).toBeGreaterThan(65);
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(() => {
  source = new MemoryRepository();
  log = newLog();
});

const newest: RestoreMoment = { kind: 'newest' };
const timeOf = (position: bigint): RestoreMoment => ({
  kind: 'time',
  nanos: beginningNanos + (position - 1n) * secondNanos,
});
const now = (): RestoreMoment => ({ kind: 'time', nanos: BigInt(Date.now()) * 1_000_000n });
const to = (position: bigint): RestoreMoment => ({ kind: 'position', positions: new Map([[0, position]]) });

async function prepared(moment: RestoreMoment, options: object = {}): Promise<PreparedRestore> {
  return prepareRestore({
    source,
    into: new MemoryRepository(),
    sourceCluster: cluster,
    cluster: 'another',
    moment,
    partitions: undefined,
    scratchPath: root,
    conductor: 'n',
    version: '1',
    random: (bytes) => randomBytes(bytes),
    signal,
    ...options,
  });
}

/** Position that a restore gives, if its state is the one that replicas had there. */
async function at(moment: RestoreMoment): Promise<bigint> {
  const { position, chain } = (await prepared(moment)).manifest.partitions[0]!;
  expect(Buffer.from(chain).equals(Buffer.from(chainAt(position), 'hex'))).toBe(true);
  return position;
}

function chainAt(position: bigint): string {
  const { chain } = replicaAt(records, position).state;
  const bytes = Buffer.alloc(16);
  for (const [i, lane] of chain.entries()) bytes.writeUInt32LE(lane, i * 4);
  return bytes.toString('hex');
}

/** That carries the first one on after this position. */
function carriedOn(position: bigint, generation: number): ArchivedLog {
  const { chain } = replicaAt(records, position).state;
  return newLog(generation, { incarnation: log.incarnation, position, chain: hashToHex(chain) });
}

describe.each(['by a version before', 'by this one'])('a log that is described %s', (version) => {
  const begun = (described: ArchivedLog, second: bigint): ArchivedLog =>
    version === 'by this one' ? { ...described, beganNanos: beginningNanos + second * secondNanos } : described;

  test.each([
    ['was restored, and is not archived yet', false, false],
    ['was restored, and has no batch yet', true, false],
    ['was restored, and has a checkpoint and no batch', true, true],
  ])('%s', async (_, isDescribed, hasCheckpoint) => {
    const last = BigInt(records.length);
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, log, records, 1n, last);
    const made = await prepared(to(10n), { into: source, cluster });
    expect(made.manifest.partitions[0]!.position).toBe(10n);
    const second = {
      ...begun(carriedOn(10n, 1), BigInt(Date.now()) / 1000n - beginningNanos / secondNanos),
      ...(version === 'by this one' ? { restoredFrom: made.manifest.id } : {}),
    };
    if (isDescribed) await describeArchivedLog(source, second);
    if (hasCheckpoint) await checkpointAt(source, replicaAt(records, 10n), second);
    for (const moment of [newest, now()]) {
      if (isDescribed) expect(await at(moment)).toBe(10n);
      // Whether a cluster began with it nobody knows: neither is taken by itself.
      else await expect(at(moment)).rejects.toMatchObject({ code: 'invalid_parameter' });
    }
    // What it left behind can still be had, by its time.
    expect(await at(timeOf(15n))).toBe(15n);
  });

  test('was recovered, went on, and is quiet after two checkpoints', async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await checkpointAt(source, replicaAt(records, 8n), log);
    const second = begun(carriedOn(10n, 2), 10n);
    await archive(source, begun(log, 0n), records, 1n, 14n);
    await archive(source, second, records, 11n, 60n);
    expect(await at(timeOf(40n))).toBe(40n);
    await checkpointAt(source, replicaAt(records, 60n), second);
    await collectArchive(source);
    expect(await at(timeOf(40n))).toBe(40n);
    const { id } = await checkpointAt(source, replicaAt(records, 60n), second);
    for (const moment of [newest, now()]) {
      expect(await at(moment)).toBe(60n);
      expect((await planRestore({ repository: source, cluster, moment, signal })).checkpoint.manifest.id).toBe(id);
    }
  });

  test('was recovered and is quiet: what was lost with the one before does not come back', async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, begun(log, 0n), records, 1n, 14n);
    const second = begun(carriedOn(10n, 2), 20n);
    await describeArchivedLog(source, second);
    expect(await at(newest)).toBe(10n);
    const { id } = await checkpointAt(source, replicaAt(records, 10n), second);
    const plan = await planRestore({ repository: source, cluster, moment: newest, signal });
    expect(plan).toMatchObject({ checkpoint: { manifest: { id } }, replays: false, passedOver: [] });
    expect(await at(newest)).toBe(10n);
  });

  test('is the journal of a data folder that was restored, and nothing was written to it', async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, begun(log, 0n), records, 1n, 40n);
    const folder = (name: string, moment: RestoreMoment): ReturnType<typeof restoreFolder> =>
      restoreFolder({ dataPath: join(root, `${version}-${name}`), source, sourceCluster: cluster, moment, signal });
    expect((await folder('one', to(10n))).positions).toEqual([10n]);
    // Looking at a moment changes no history.
    expect((await folder('two', newest)).positions).toEqual([40n]);
    // As a node does that runs on it.
    await describeArchivedLog(source, begun(carriedOn(10n, 1), 50n));
    expect((await folder('three', newest)).positions).toEqual([10n]);
  });
});

test('a cluster that began with a moment of another one has none of what that one did later', async () => {
  await checkpointAt(source, replicaAt(records, 3n), log);
  await archive(source, log, records, 1n, 40n);
  await prepared(to(10n), { into: source, cluster: 'second' });
  const again = await prepared(newest, { sourceCluster: 'second' });
  expect(again.manifest.partitions[0]!.position).toBe(10n);
  await archive(source, { ...carriedOn(10n, 1), cluster: 'second' }, records, 11n, 12n);
  const later = await prepared(newest, { sourceCluster: 'second' });
  expect(later.manifest.partitions[0]!.position).toBe(12n);
  expect(await at(newest)).toBe(40n);
});

test('an interrupted restore changes nothing where the cluster goes on', async () => {
  await checkpointAt(source, replicaAt(records, 3n), log);
  await archive(source, log, records, 1n, 40n);
  await prepared(to(10n), { into: source, cluster });
  await checkpointAt(source, replicaAt(records, 30n), log);
  expect(await at(newest)).toBe(40n);
});

describe('a moment that the archive does not reach', () => {
  test('is refused where a newer checkpoint shows that the log went on, with what can be had', async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, log, records, 1n, 8n);
    const { id } = await checkpointAt(source, replicaAt(records, 20n), log);
    await expect(at(timeOf(16n))).rejects.toMatchObject({
      code: 'invalid_parameter',
      message: expect.stringMatching(
        new RegExp(`partition 0 is archived up to its position 8, .*${id} has its position 20`),
      ) as string,
      hint: 'moments from 2023-11-14T22:13:22.000Z to 2023-11-14T22:13:27.000Z can be restored, and those from 2023-11-14T22:13:39.000Z on',
    });
    await expect(at(timeOf(8n))).rejects.toThrow(/archived up to its position 8/);
    expect(await at(timeOf(7n))).toBe(7n);
    expect(await at(timeOf(20n))).toBe(20n);
  });

  test('is told with what was reached where nobody knows', async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, log, records, 1n, 8n);
    const nanos = beginningNanos + 7n * secondNanos;
    expect((await prepared(timeOf(16n))).reached).toEqual([
      {
        partition: 0,
        position: 8n,
        clockNanos: nanos,
        warning: expect.stringMatching(/after it until 2023.* not known/) as string,
      },
    ]);
    expect((await prepared(timeOf(7n))).reached).toMatchObject([{ position: 7n, warning: undefined }]);
    expect((await prepared(newest)).reached).toMatchObject([{ position: 8n, clockNanos: nanos, warning: undefined }]);
    // A checkpoint that was begun later shows it.
    await checkpointAt(source, replicaAt(records, 8n), log);
    expect((await prepared(timeOf(16n))).reached).toMatchObject([{ position: 8n, warning: undefined }]);
  });

  test('with more newer checkpoints than are looked at', { timeout: 60_000 }, async () => {
    await checkpointAt(source, replicaAt(records, 3n), log);
    await archive(source, log, records, 1n, 20n);
    for (let i = 0; i < 101; i++) await checkpointAt(source, replicaAt(records, 12n), log);
    expect(await at(timeOf(8n))).toBe(8n);
  });
});

test('the newest segment of a log stays, and what leads from a checkpoint of any log', async () => {
  await checkpointAt(source, replicaAt(records, 3n), log);
  await archive(source, log, records, 1n, 5n);
  await archive(source, log, records, 6n, 14n);
  const second = carriedOn(10n, 2);
  await archive(source, second, records, 11n, 20n);
  await archive(source, second, records, 21n, 30n);
  const first = await checkpointAt(source, replicaAt(records, 30n), second);
  const spans = async ({ incarnation }: ArchivedLog): Promise<bigint[][]> =>
    (await listSegments(source, incarnation)).map((each) => [each.first, each.last]);
  await collectArchive(source);
  expect([await spans(log), await spans(second)]).toEqual([
    [
      [1n, 5n],
      [6n, 14n],
    ],
    [
      [11n, 20n],
      [21n, 30n],
    ],
  ]);
  // Without those of the log before.
  const names: string[] = [];
  for await (const { name } of source.list('checkpoints/')) if (!name.includes(first.id)) names.push(name);
  await source.remove(names);
  await collectArchive(source);
  expect([await spans(log), await spans(second)]).toEqual([[], [[21n, 30n]]]);
});
