// Writers, readers, deleters and collectors at once, each frozen or killed at any request: what is listed can be read
// whole at every moment, and what is not needed goes in the end (docs/decisions/0011-deleting-checkpoints.md).
// STATESTORE_SEEDS=20000 runs that many seeds, STATESTORE_SEED=7 that one. A failure tells what happened.
import { StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { collectGarbage } from './collect-garbage.ts';
import { collect, decidedKeptMs, erase, newContents, read, retain, write } from './deleting-actors.testing.ts';
import { type Actor, hourMs, noFaults, SimRepository, World, type WorldOptions } from './deleting-world.testing.ts';
import { createTombstone, hasSizeOfAbandoned } from './markers.ts';
import { collectedName, latestName, manifestName, reservePrefix, tombstoneName } from './names.ts';
import { parseName } from './parse-names.ts';
import type { ObjectInfo, ObjectName, Repository } from './repository.ts';
import { keepRoom } from './spare-room.ts';

type Role = 'writer' | 'reader' | 'eraser' | 'retainer' | 'collector';

/** What is otherwise than it is by itself. */
interface Mistake {
  readonly repositoryOf?: (world: World, actor: Actor, role: Role) => Repository;
  readonly erase?: typeof erase;
  readonly collect?: typeof collect;
}

interface Scene extends WorldOptions {
  readonly roles: readonly Role[];
  readonly rounds: number;
  /** Begun in each round. */
  readonly atOnce: number;
  readonly turnsMax: number;
  readonly pauseHoursMax: number;
}

/** Everything that happens in weeks, and what a writer and a reader may rely on. */
const weeks: Scene = {
  faults: { freeze: 0.002, frozenMsMax: 200 * hourMs, kill: 0.002, clockJump: 0.0005, lost: 0.005 },
  graceMs: 24 * hourMs,
  turnMs: 60_000,
  roles: ['writer', 'writer', 'reader', 'eraser', 'retainer', 'collector', 'collector'],
  rounds: 10,
  atOnce: 3,
  turnsMax: 200,
  pauseHoursMax: 40,
};

/** All at once, and no grace worth the name: what is listed does not rely on it. */
const crowd: Scene = {
  faults: { freeze: 0.006, frozenMsMax: 60 * hourMs, kill: 0.0005, clockJump: 0.0005, lost: 0.002 },
  graceMs: 60_000,
  turnMs: 600_000,
  roles: ['writer', 'writer', 'writer', 'eraser', 'retainer', 'retainer', 'collector', 'collector'],
  rounds: 3,
  atOnce: 8,
  turnsMax: 500,
  pauseHoursMax: 0,
};

interface Outcome {
  readonly violations: readonly string[];
  readonly lines: readonly string[];
  readonly counts: { readonly steps: number; readonly completed: number; readonly removed: number };
}

async function simulate(seed: number, mistake: Mistake = {}): Promise<Outcome> {
  const scene = seed % 2 === 0 ? weeks : crowd;
  const world = new World(seed, scene);
  const contents = newContents();
  const deeds = {
    writer: (deed: Parameters<typeof read>[0]) => write(deed, contents),
    reader: read,
    eraser: mistake.erase ?? erase,
    retainer: retain,
    collector: mistake.collect ?? collect,
  };
  const begin = (role: Role, name: string): void => {
    const actor = world.actor(`${role} ${name}`);
    const repository = mistake.repositoryOf?.(world, actor, role) ?? world.repositoryOf(actor);
    world.start(actor, () => deeds[role]({ world, actor, repository }));
  };
  begin('writer', 'first');
  await world.run(400);
  for (let round = 0; round < scene.rounds && world.violations.length === 0; round++) {
    for (let i = 0; i < scene.atOnce; i++) begin(world.pick(scene.roles), `${round}.${i}`);
    await world.run(scene.turnsMax * (0.25 + 0.75 * world.random()));
    if (world.random() < 0.4) world.passHours(world.random() * scene.pauseHoursMax);
  }
  world.faults = noFaults;
  await world.run(50_000);
  if (world.violations.length === 0) await requireClean(world);
  const { steps, completed } = world;
  const removed = completed.filter((id) => !world.objects.has(manifestName(id))).length;
  return { violations: world.violations, lines: world.lines, counts: { steps, completed: completed.length, removed } };
}

/** With nobody else there, what is left in the end is what is listed. */
async function requireClean(world: World): Promise<void> {
  const actor = world.actor('last collector');
  const { graceMs } = world;
  for (const ms of [graceMs, decidedKeptMs, decidedKeptMs]) {
    world.passHours(100 + ms / 3600_000);
    world.start(actor, async () => {
      const { outcome, ...rest } = await collectGarbage({
        repository: world.repositoryOf(actor),
        graceMs,
        decidedKeptMs,
      });
      if (outcome !== 'collected') world.violations.push(`blocked in the end: ${JSON.stringify(rest)}`);
    });
    await world.run(100_000);
  }
  const needed = new Set<ObjectName>([latestName, collectedName]);
  for (const id of world.completed) {
    if (!world.isListed(id)) continue;
    needed.add(manifestName(id));
    for (const name of world.needsOf(id)) {
      needed.add(name);
      const parsed = parseName(name);
      // Says that what is not needed of the same owner may go.
      if (parsed?.kind === 'block' && !world.isListed(parsed.id)) needed.add(tombstoneName(parsed.id));
    }
  }
  for (const name of world.objects.keys())
    if (!needed.has(name) && !name.startsWith(reservePrefix)) world.violations.push(`${name} is left`);
}

const first = Number(process.env['STATESTORE_SEED'] ?? 1);
const seeds = process.env['STATESTORE_SEED'] === undefined ? Number(process.env['STATESTORE_SEEDS'] ?? 250) : 1;

async function firstFailure(mistake: Mistake, seedsMax: number): Promise<(Outcome & { seed: number }) | undefined> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const outcome = await simulate(seed, mistake);
    if (outcome.violations.length > 0) return { ...outcome, seed };
  }
  return undefined;
}

/** Takes no more than so many objects, but for the end of a run. */
class SmallRepository extends SimRepository {
  static refused = 0;

  override async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    this.#require();
    return super.put(name, bytes);
  }

  override async create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
    if (!this.world.objects.has(name)) this.#require();
    return super.create(name, bytes);
  }

  #require(): void {
    if (this.world.objects.size < 45 || this.world.faults === noFaults) return;
    SmallRepository.refused++;
    throw new StateStoreError('disk_full', 'no room');
  }
}

const small: Mistake = {
  repositoryOf: (world, actor) => new SmallRepository(world, actor),
  collect: async (deed) => {
    await collect(deed);
    await keepRoom(deed.repository);
  },
};

describe('deleting checkpoints', () => {
  test('harms nothing that is listed where the repository is full again and again, either', async () => {
    let removed = 0;
    for (let seed = first; seed < first + Math.ceil(seeds / 4); seed++) {
      const { violations, lines, counts } = await simulate(seed, small);
      removed += counts.removed;
      expect(violations, `${lines.join('\n')}\nagain: STATESTORE_SEED=${seed}`).toEqual([]);
    }
    if (seeds < 100) return;
    expect(SmallRepository.refused).toBeGreaterThan(seeds);
    expect(removed).toBeGreaterThan(seeds / 16);
  }, 300_000);

  test('harms nothing that is listed, and leaves no garbage', async () => {
    const total = { steps: 0, completed: 0, removed: 0 };
    for (let seed = first; seed < first + seeds; seed++) {
      const { violations, lines, counts } = await simulate(seed);
      for (const what of Object.keys(total) as (keyof typeof total)[]) total[what] += counts[what];
      expect(violations, `${lines.join('\n')}\nagain: STATESTORE_SEED=${seed}`).toEqual([]);
    }
    if (seeds >= 100) {
      expect(total.completed).toBeGreaterThan(seeds);
      expect(total.removed).toBeGreaterThan(seeds / 4);
    }
  }, 300_000);

  test('is the same again for the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });
});

/** A listing of these that is cut short, and does not say so. */
function cut(prefix: string) {
  return class extends SimRepository {
    override async *list(listed: string): AsyncIterable<ObjectInfo> {
      for await (const info of super.list(listed))
        if (listed !== prefix || this.world.random() < 0.5) yield info;
        else return;
    }
  };
}

/** Takes the writers that it fences for fenced without doing so. */
class FencesNobody extends SimRepository {
  override async create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
    if (!hasSizeOfAbandoned(bytes.length)) return super.create(name, bytes);
    return (await super.head(name)) === undefined ? 'created' : 'exists';
  }
}

type SimRepositoryClass = new (world: World, actor: Actor) => SimRepository;

function made(by: Role, repositoryClass: SimRepositoryClass): Mistake {
  return {
    repositoryOf: (world, actor, role) =>
      role === by ? new repositoryClass(world, actor) : new SimRepository(world, actor),
  };
}

describe('the simulation finds', () => {
  const mistakes: Readonly<Record<string, Mistake>> = {
    'a collector whose listing of checkpoints is cut short': made('collector', cut('checkpoints/')),
    'a collector that fences nobody': made('collector', FencesNobody),
    'a deleter that does not care for the newest': {
      erase: async ({ world, repository, actor }) => {
        const id = world.pick(world.completed);
        if (id !== undefined) await createTombstone(repository, { id, deletedAtMs: 0, by: actor.name }, {});
      },
    },
  };
  test.each(Object.keys(mistakes))(
    '%s',
    async (name) => {
      const found = await firstFailure(mistakes[name]!, 1000);
      expect(found).toBeDefined();
    },
    300_000,
  );
});
