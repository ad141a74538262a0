// The scene of deleting.simulation.test.ts on a real folder: the same writers, deleters and collectors, each call a
// real one, several under way at once. What they did is kept beside, judged, and compared with the folder.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listCheckpoints } from './catalog.ts';
import { collectGarbage } from './collect-garbage.ts';
import { cluster, collect, erase, newContents, type read, retain, write } from './deleting-actors.testing.ts';
import { type Actor, hourMs, noFaults, SimRepository, World } from './deleting-world.testing.ts';
import { FolderRepository } from './folder-repository.ts';
import { manifestName } from './names.ts';
import type { ObjectInfo, ObjectName, Repository, RepositoryCall } from './repository.ts';

let path = '';
let folder: Repository;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'statestore-deleting-'));
  folder = await FolderRepository.open({ type: 'folder', path, concurrency: 8 });
});
afterEach(async () => {
  await folder.close();
  await rm(path, { recursive: true, force: true });
});

async function listed(prefix: string): Promise<readonly ObjectInfo[]> {
  const infos: ObjectInfo[] = [];
  for await (const info of folder.list(prefix)) infos.push(info);
  return infos;
}

/** Names that a change of is under way, and how many. */
let changing: Map<ObjectName, number>;
/** Names that were changed by several at once: in which order the folder took them, their answers do not tell. */
let contested: Set<ObjectName>;
beforeEach(() => {
  changing = new Map();
  contested = new Set();
});

async function changes<T>(names: readonly ObjectName[], call: () => Promise<T>): Promise<T> {
  for (const name of names) {
    const others = changing.get(name) ?? 0;
    if (others > 0) contested.add(name);
    changing.set(name, others + 1);
  }
  try {
    return await call();
  } finally {
    for (const name of names) changing.set(name, changing.get(name)! - 1);
  }
}

/** Each call waits for its turn, is made, is noted in the world, and waits again. */
class InFolder extends SimRepository {
  async #turns<T>(what: string, call: () => Promise<T>, note: (answer: T) => void = () => undefined): Promise<T> {
    await this.world.turn(this.actor, what);
    this.world.busy++;
    const answer = await call().finally(() => {
      this.world.busy--;
    });
    note(answer);
    await this.world.turn(this.actor, `the answer of ${what}`);
    return answer;
  }

  override get(name: ObjectName): Promise<Uint8Array | undefined> {
    return this.#turns(`get ${name}`, () => folder.get(name));
  }

  override head(name: ObjectName): Promise<ObjectInfo | undefined> {
    return this.#turns(`head ${name}`, () => folder.head(name));
  }

  override put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    const note = (): void => this.world.put(this.actor.name, name, bytes);
    return this.#turns(`put ${name}`, () => changes([name], () => folder.put(name, bytes)), note);
  }

  override create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
    const note = (outcome: 'created' | 'exists'): void => {
      if (outcome === 'created') this.world.put(this.actor.name, name, bytes);
    };
    return this.#turns(`create ${name}`, () => changes([name], () => folder.create(name, bytes)), note);
  }

  override async *list(prefix: string): AsyncIterable<ObjectInfo> {
    yield* await this.#turns(`list ${prefix}`, () => listed(prefix));
  }

  override remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void> {
    // Before: a judge is to see what may be gone as gone.
    const note = (): void => this.world.remove(this.actor.name, names);
    return this.#turns(`remove ${names.length} objects`, () => changes(names, () => folder.remove(names, call)), note);
  }
}

test.each([1, 2, 3, 4])('a folder keeps all that is listed, and nothing else in the end (seed %i)', async (seed) => {
  const faults = { freeze: 0.01, frozenMsMax: 50 * hourMs, kill: 0.001, clockJump: 0, lost: 0 };
  // The grace is of the real clock here.
  const world = new World(seed, { faults, graceMs: 20, turnMs: 600_000 });
  const contents = newContents();
  const deeds = { write: (deed: Parameters<typeof read>[0]) => write(deed, contents), erase, retain, collect };
  const begin = (deed: keyof typeof deeds, name: string): void => {
    const actor: Actor = world.actor(`${deed} ${name}`);
    world.start(actor, () => deeds[deed]({ world, actor, repository: new InFolder(world, actor) }));
  };
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 2; i++) begin('write', `${round}.${i}`);
    for (const deed of ['erase', 'retain', 'collect', 'collect'] as const) begin(deed, String(round));
    await world.run(600);
    expect(world.violations).toEqual([]);
  }
  world.faults = noFaults;
  await world.run(20_000);
  expect(world.violations).toEqual([]);
  expect(world.completed.length).toBeGreaterThan(2);
  const ofOne = (names: Iterable<ObjectName>): readonly ObjectName[] =>
    [...names].filter((name) => !contested.has(name)).toSorted();
  expect(ofOne((await listed('')).map(({ name }) => name))).toEqual(ofOne(world.objects.keys()));

  for (let i = 0; i < 3; i++) {
    const done = await collectGarbage({ repository: folder, graceMs: -1, decidedKeptMs: -1 });
    expect(done).toMatchObject({ outcome: 'collected' });
  }
  const kept = await listCheckpoints({ repository: folder, cluster });
  expect(kept.map(({ id }) => id).toSorted()).toEqual(world.completed.filter((id) => world.isListed(id)).toSorted());
  expect(kept.length).toBeLessThan(limits.checkpointCandidatesMax);
  const needed = kept.flatMap(({ id }) => [manifestName(id), ...world.needsOf(id)]);
  const left = (await listed('')).map(({ name }) => name);
  for (const name of needed) expect(left).toContain(name);
  expect(left.filter((name) => name.startsWith('blocks/')).toSorted()).toEqual(
    [...new Set(needed.filter((name) => name.startsWith('blocks/')))].toSorted(),
  );
});
