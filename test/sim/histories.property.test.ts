// Whatever happens to the logs of a cluster, and whatever is archived, kept and cleared up of them: a restore to any moment
// gives what was there then, or is refused. It never gives what was left behind, nor less without saying so.
import { chainFromHex, readArchive } from '@statestore/checkpoint';
import { extendChain, hashToHex, StateStoreError } from '@statestore/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type PartitionPlan,
  planRestore,
  pointOf,
  type RestoreMoment,
} from '../../services/node/src/checkpoint/restore-plan.ts';
import { HistoryWorld, type RestoreEnd, second, type TrueLog } from './history-world.ts';

const { signal } = new AbortController();

type Deed =
  | { readonly kind: 'write'; readonly partition: number; readonly count: number; readonly back: number }
  | { readonly kind: 'archive'; readonly partition: number; readonly cut: number; readonly left: number }
  | { readonly kind: 'checkpoint'; readonly describes: boolean }
  | { readonly kind: 'retain'; readonly keep: number }
  | { readonly kind: 'recover'; readonly partition: number; readonly lost: number; readonly isTold: boolean }
  | { readonly kind: 'restore'; readonly moment: number; readonly end: RestoreEnd }
  | { readonly kind: 'wait'; readonly seconds: number };

const partition = fc.nat(1);
const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      partition,
      count: fc.integer({ min: 1, max: 4 }),
      back: fc.constantFrom(0, 0, 2),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('archive' as const),
      partition,
      cut: fc.integer({ min: 1, max: 4 }),
      left: fc.constantFrom(0, 0, 0, 1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('checkpoint' as const), describes: fc.constantFrom(true, true, false) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('retain' as const), keep: fc.integer({ min: 2, max: 5 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('recover' as const),
      partition,
      lost: fc.nat(3),
      isTold: fc.constantFrom(true, true, false),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('restore' as const),
      moment: fc.nat(1000),
      end: fc.constantFrom<RestoreEnd>('told', 'told', 'told', 'partly told', 'not told', 'interrupted'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 200 }) }),
  },
);

async function run(world: HistoryWorld, done: Deed): Promise<void> {
  switch (done.kind) {
    case 'write':
      return world.write(done.partition, done.count, done.back);
    case 'archive':
      return world.archive(done.partition, done.cut, done.left);
    case 'checkpoint':
      if (done.describes) for (const each of world.logs.keys()) await world.describe(each);
      return world.checkpoint();
    case 'retain':
      return world.retain(done.keep);
    case 'recover':
      world.recover(done.partition, done.lost);
      if (done.isTold) await world.describe(done.partition);
      return;
    case 'restore': {
      const some = momentsOf(world);
      const moment = some[done.moment % some.length]!;
      await world.restore(moment, done.end).catch(refused);
      return;
    }
    case 'wait':
      return world.wait(done.seconds);
  }
}

/** Around everything that happened, and now. */
function momentsOf(world: HistoryWorld): RestoreMoment[] {
  const times = new Set<bigint>([world.nowNanos]);
  for (const { records, beganNanos } of world.logs.flat())
    for (const at of [beganNanos, ...records.map(({ timestampNanos }) => timestampNanos)])
      for (const nanos of [at - second / 2n, at, at + second / 2n]) if (nanos <= world.nowNanos) times.add(nanos);
  const sorted = [...times].toSorted((a, b) => (a < b ? -1 : 1));
  return [{ kind: 'newest' }, ...sorted.map((nanos) => ({ kind: 'time' as const, nanos }))];
}

function refused(error: unknown): undefined {
  if (
    error instanceof StateStoreError &&
    ['invalid_parameter', 'data_corrupt', 'invalid_settings'].includes(error.code)
  )
    return undefined;
  throw error;
}

interface Given {
  readonly position: bigint;
  readonly chain: string;
  readonly warning: string | undefined;
}

/** What the plan leads to, by chains alone: they tell every history from every other one. */
async function given(
  world: HistoryWorld,
  { manifest, path, segments, nanos, through, warning }: PartitionPlan,
): Promise<Given> {
  const after = pointOf(manifest.summary);
  const chain = chainFromHex(after.chain);
  let { position } = after;
  const parts = readArchive({
    repository: world.repository,
    path,
    segments,
    after,
    through,
    signal,
  });
  for await (const { batches } of parts) {
    for (const batch of batches) {
      if (nanos !== undefined && batch.timestampNanos > nanos)
        return { position, chain: hashToHex(chain), warning: undefined };
      extendChain(chain, batch);
      position = batch.position;
    }
  }
  return { position, chain: hashToHex(chain), warning };
}

/** What was there, and in which log: of all that began, or of those that the repository can know of. */
function truthAt(
  logs: readonly TrueLog[],
  nanos: bigint | undefined,
): { readonly log: TrueLog; readonly position: bigint } {
  const log = logs.findLast(({ beganNanos }) => nanos === undefined || beganNanos <= nanos) ?? logs[0]!;
  const later = nanos === undefined ? -1 : log.records.findIndex(({ timestampNanos }) => timestampNanos > nanos);
  return { log, position: BigInt(later === -1 ? log.records.length : later) };
}

function isTrue(logs: readonly TrueLog[], nanos: bigint | undefined, { position, chain, warning }: Given): boolean {
  const truth = truthAt(logs, nanos);
  if (chain === truth.log.chains[Number(truth.position)] && position === truth.position) return true;
  if (nanos !== undefined && warning === undefined) return false;
  const { archived, chains } = truth.log;
  if (position >= truth.position || chain !== chains[Number(position)]) return false;
  // Less is told, or it is the newest that is archived; without a hole on the way it is no less than that.
  const isLess = position < (archived < truth.position ? archived : truth.position);
  return !isLess || (nanos === undefined && warning !== undefined);
}

/** Logs of which nothing is in the repository cannot be told from logs that never were. */
function knownOf(world: HistoryWorld, at: number): TrueLog[] {
  const marked = new Set([...world.checkpoints.values()].map((points) => points[at]!.incarnation));
  const known = world.logs[at]!.filter(({ log, isDescribed }) => isDescribed || marked.has(log.incarnation));
  return known.length > 0 ? known : world.logs[at]!.slice(0, 1);
}

/** Whether everything is there that leads to a moment: then it must be had. */
function mustBeHad(world: HistoryWorld, nanos: bigint): boolean {
  if (!world.isClear || world.logs.flat().some(({ isWhole, isDescribed }) => !isWhole || !isDescribed)) return false;
  return [...world.checkpoints.values()].some((points) =>
    points.every(({ incarnation, position, clockNanos }, at) => {
      const { log, position: wanted } = truthAt(world.logs[at]!, nanos);
      const isOn =
        position === 0n || incarnation === log.log.incarnation || position <= (log.before.get(incarnation) ?? -1n);
      return isOn && position <= wanted && clockNanos <= nanos;
    }),
  );
}

const seen = { restored: 0, refused: 0, due: 0 };

async function look(world: HistoryWorld, moment: RestoreMoment): Promise<void> {
  const nanos = moment.kind === 'time' ? moment.nanos : undefined;
  // Around a restore older versions left open which log was there.
  const due = (world.tells || nanos === undefined) && mustBeHad(world, nanos ?? world.nowNanos);
  if (due) seen.due++;
  const { repository, cluster } = world;
  let results: Given[];
  try {
    const plan = await planRestore({ repository, cluster, moment, signal });
    results = [];
    for (const each of plan.partitions) results.push(await given(world, each));
  } catch (error) {
    refused(error);
    if (due) throw error;
    seen.refused++;
    return;
  }
  seen.restored++;
  for (const [at, result] of results.entries()) {
    const isRight = isTrue(world.logs[at]!, nanos, result) || isTrue(knownOf(world, at), nanos, result);
    if (isRight) continue;
    const { log, position } = truthAt(world.logs[at]!, nanos);
    throw new Error(
      `partition ${at} at ${nanos ?? 'the newest'} (now ${world.nowNanos}): wanted ${position} of ${log.log.incarnation}, got ${result.position}, ${result.warning ?? 'without a warning'}; logs ${JSON.stringify(
        world.logs[at]!.map(({ log: each, records, archived, beganNanos, isDescribed }) => [
          each.incarnation.slice(0, 4),
          each.continues?.incarnation.slice(0, 4),
          `${each.continues?.position}`,
          records.length,
          `${archived} ${beganNanos}`,
          isDescribed,
        ]),
      )}`,
    );
  }
}

test('every moment of a random tree of logs is what it was, or is refused', { timeout: 240_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(deed, { minLength: 6, maxLength: 24 }),
      fc.boolean(),
      fc.boolean(),
      fc.infiniteStream(fc.nat(9999)),
      async (deeds, tells, isDiligent, draws) => {
        const world = new HistoryWorld(tells);
        // With no checkpoint there is nothing to look at; the first one may also be of partitions that hold nothing.
        await world.checkpoint();
        const anywhere = (of: readonly RestoreMoment[]): RestoreMoment => of[draws.next().value! % of.length]!;
        for (const each of deeds) {
          await run(world, isDiligent && each.kind === 'restore' ? { ...each, end: 'told' } : each);
          // Versions before told of a log as soon as it was there: what it was in between nobody could say.
          if (!tells) for (const at of world.logs.keys()) await world.describe(at);
          if (isDiligent) for (const at of world.logs.keys()) await world.archive(at, 3, 0);
          await look(world, { kind: 'newest' });
          for (let i = 0; i < 3; i++) await look(world, anywhere(momentsOf(world)));
        }
        for (const moment of momentsOf(world)) await look(world, moment);
      },
    ),
    { numRuns: Number(process.env.HISTORIES ?? 40), endOnFailure: process.env.SHRINK === undefined },
  );
  // It is no test where all is refused.
  expect(seen.due).toBeGreaterThan(100);
  expect(seen.restored).toBeGreaterThan(seen.refused);
  if (process.env.HISTORIES !== undefined) console.log(seen);
});
