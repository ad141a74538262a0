// When which fault begins, and for how long: from the seed alone. Keeping to it is left to `play`.
import { SeededRandom } from '../process/seeded-random.ts';
import type { FaultGroup, FaultName } from './faults.ts';
import { faultNames, faults } from './faults.ts';
import type { Scene } from './scene.ts';

export interface PlannedFault {
  readonly name: FaultName;
  /** After the start of the load. */
  readonly atMs: number;
  readonly lastsMs: number;
  /** Of the random numbers with which it chooses its targets. */
  readonly seed: number;
}

const quietMs = 1000;
const gapMsMin = 300;
const gapMsMax = 1200;
/** One begins before the last one has ended. */
const overlapShare = 0.35;
/** What a fault takes beside its own time, roughly: processes that start. */
const aroundMs = 1000;
/** Pauses of ten seconds only where most of the time is left for other things. */
const longFaultShareMax = 0.25;

export function planFaults(seed: number, seconds: number, groups: ReadonlySet<FaultGroup>): PlannedFault[] {
  const random = new SeededRandom(seed);
  const names = faultNames.flatMap((name) => {
    const { group, lasts, weight = 1 } = faults[name];
    const isWanted = groups.has(group) && lasts[1] <= seconds * 1000 * longFaultShareMax;
    return isWanted ? Array.from({ length: weight }, () => name) : [];
  });
  if (names.length === 0) return [];
  const planned: PlannedFault[] = [];
  let bag: FaultName[] = [];
  for (let atMs = quietMs; ;) {
    // Each kind comes as often as it should before any comes again.
    if (bag.length === 0) bag = shuffled(names, random);
    const name = bag.pop()!;
    const [min, max] = faults[name].lasts;
    const lastsMs = Math.round(min + random.next() * (max - min));
    if (atMs + lastsMs > seconds * 1000) return planned;
    planned.push({ name, atMs: Math.round(atMs), lastsMs, seed: random.below(2 ** 31) });
    const wholeMs = lastsMs + aroundMs;
    atMs += random.chance(overlapShare) ? wholeMs * random.next() : wholeMs;
    atMs += gapMsMin + random.next() * (gapMsMax - gapMsMin);
  }
}

function shuffled<T>(all: readonly T[], random: SeededRandom): T[] {
  const rest = [...all];
  return all.map(() => rest.splice(random.below(rest.length), 1)[0]!);
}

const togetherMax = 2;
/** Between two faults where the cluster is behind the plan: clients are to get through now and then. */
const breathMs = 600;

/**
 * Carries out the plan, as far as the cluster keeps up with it. `goOn`: asked before each fault; false or an
 * exception ends it. Resolves with the faults that took place, when all of them are undone.
 */
export async function play(scene: Scene, plan: readonly PlannedFault[], goOn: () => boolean): Promise<FaultName[]> {
  const startedMs = performance.now();
  const active = new Set<Promise<void>>();
  const took: FaultName[] = [];
  let failure: { readonly cause: unknown } | undefined;
  for (const { name, atMs, lastsMs, seed } of plan) {
    const { alone } = faults[name];
    await scene.sleep(Math.max(0, startedMs + atMs - performance.now()));
    while (active.size >= (alone ? 1 : togetherMax)) await Promise.race(active);
    if (active.size === 0) await scene.sleep(breathMs);
    if (failure !== undefined || !goOn()) break;
    const fault: Promise<void> = faults[name]
      .run(scene, lastsMs, new SeededRandom(seed))
      .catch((cause: unknown) => {
        failure ??= { cause: new Error(`${name}: ${String(cause)}`, { cause }) };
      })
      .finally(() => active.delete(fault));
    active.add(fault);
    took.push(name);
    if (alone) await fault;
  }
  await Promise.all(active);
  if (failure !== undefined) throw failure.cause;
  return took;
}
