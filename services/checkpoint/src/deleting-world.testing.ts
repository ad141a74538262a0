// A repository in which every request, and every page of a listing, waits until a seeded scheduler lets it go on:
// before it has its effect, and again before it is answered. Whoever asks may be frozen or killed there for as long as
// the seed says; answers get lost, and what was asked for comes to pass later. After each effect it is judged whether
// all that is listed can be read.
import { StateStoreError } from '@statestore/core';
import { decodeCheckpointManifest, decodePartitionManifest } from './manifest-codec.ts';
import { hasSizeOfAbandoned } from './markers.ts';
import { checkpointsPrefix, tombstoneName } from './names.ts';
import { parseName } from './parse-names.ts';
import { blocksOf } from './presence.ts';
import type { ObjectInfo, ObjectName, Repository } from './repository.ts';

export const hourMs = 3600_000;
const pageObjects = 5;

export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Actor {
  readonly name: string;
  /** Of its clock, from the repository's. */
  readonly skewMs: number;
  frozenUntilMs: number;
  killed: boolean;
}

interface Turn {
  readonly actor: Actor;
  readonly what: string;
  readonly go: () => void;
}

interface Stored {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

export interface Faults {
  /** Of each turn. */
  readonly freeze: number;
  readonly frozenMsMax: number;
  readonly kill: number;
  readonly clockJump: number;
  /** Of each change. */
  readonly lost: number;
}

export interface WorldOptions {
  readonly faults: Faults;
  readonly graceMs: number;
  readonly turnMs: number;
}

export const noFaults: Faults = { freeze: 0, frozenMsMax: 0, kill: 0, clockJump: 0, lost: 0 };

export class World {
  readonly random: () => number;
  readonly objects = new Map<ObjectName, Stored>();
  readonly violations: string[] = [];
  readonly lines: string[] = [];
  faults: Faults;
  /** Deleted objects go when they are older; a short one shows that nothing that is listed relies on it. */
  readonly graceMs: number;
  /** How long a turn takes. */
  readonly #turnMs: number;
  /** True time, and what the repository takes for it. */
  trueMs = 0;
  #clockShiftMs = 0;
  clockHighMs = 0;
  steps = 0;
  /** Calls of a real repository that are under way. */
  busy = 0;
  #waiting: Turn[] = [];
  /** What each checkpoint that was ever complete refers to. */
  readonly #needs = new Map<string, readonly ObjectName[]>();
  #greatest = '';

  constructor(seed: number, { faults, graceMs, turnMs }: WorldOptions) {
    this.random = randomOf(seed);
    this.faults = faults;
    this.graceMs = graceMs;
    this.#turnMs = turnMs;
  }

  get repositoryMs(): number {
    return 1_700_000_000_000 + this.trueMs + this.#clockShiftMs;
  }

  get completed(): readonly string[] {
    return [...this.#needs.keys()];
  }

  pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.random() * all.length)]!;
  }

  actor(name: string): Actor {
    return { name, skewMs: (this.random() - 0.5) * 6 * hourMs, frozenUntilMs: 0, killed: false };
  }

  /** Runs beside the others; a failure that is none of the project's errors is a violation. */
  start(actor: Actor, run: () => Promise<void>): void {
    run().catch((error: unknown) => {
      if (error instanceof StateStoreError) this.note(actor.name, `ended: ${error.message}`);
      else this.violations.push(`${actor.name}: ${String(error)}`);
    });
  }

  note(who: string, what: string): void {
    this.lines.push(`${(this.trueMs / hourMs).toFixed(2)} h ${who}: ${what}`);
    if (this.lines.length > 200) this.lines.shift();
  }

  turn(actor: Actor, what: string): Promise<void> {
    return new Promise((go) => this.#waiting.push({ actor, what, go }));
  }

  /** Until nobody waits, or that many turns. */
  async run(turnsMax: number): Promise<void> {
    for (let turns = 0; turns < turnsMax; turns++) {
      // What was let go runs until it waits again; mostly that takes a few microtasks, and a macrotask always does.
      for (let i = 0; i < 20; i++) await Promise.resolve();
      if (this.#waiting.length === 0 || this.busy > 0) await new Promise((resolve) => setImmediate(resolve));
      while (this.#waiting.length === 0 && this.busy > 0) await new Promise((resolve) => setImmediate(resolve));
      if (!this.#step()) return;
      if (this.violations.length > 0) return;
    }
  }

  /** False: nobody waits. */
  #step(): boolean {
    this.#waiting = this.#waiting.filter(({ actor }) => !actor.killed);
    if (this.#waiting.length === 0) return false;
    this.steps++;
    this.#pass(this.random() * this.#turnMs);
    if (this.random() < this.faults.clockJump) this.#clockShiftMs += (this.random() - 0.5) * 100 * hourMs;
    const ready = this.#waiting.filter(({ actor }) => actor.frozenUntilMs <= this.trueMs);
    if (ready.length === 0) {
      this.#pass(Math.min(...this.#waiting.map(({ actor }) => actor.frozenUntilMs)) - this.trueMs);
      return true;
    }
    const turn = this.pick(ready);
    if (this.random() < this.faults.kill) {
      turn.actor.killed = true;
      this.note(turn.actor.name, `killed at ${turn.what}`);
    } else if (this.random() < this.faults.freeze * (isDecisive(turn.what) ? 20 : 1)) {
      turn.actor.frozenUntilMs = this.trueMs + this.random() ** 2 * this.faults.frozenMsMax;
      this.note(turn.actor.name, `frozen at ${turn.what}`);
    } else {
      this.#waiting.splice(this.#waiting.indexOf(turn), 1);
      turn.go();
    }
    return true;
  }

  #pass(ms: number): void {
    this.trueMs += ms;
    this.clockHighMs = Math.max(this.clockHighMs, this.repositoryMs);
  }

  passHours(hours: number): void {
    this.#pass(hours * hourMs);
  }

  create(who: string, name: ObjectName, bytes: Uint8Array): 'created' | 'exists' {
    if (this.objects.has(name)) return 'exists';
    this.put(who, name, bytes);
    return 'created';
  }

  put(who: string, name: ObjectName, bytes: Uint8Array): void {
    this.note(who, `writes ${name}`);
    this.objects.set(name, { bytes, modifiedAtMs: this.repositoryMs });
    const parsed = parseName(name);
    if (parsed?.kind === 'manifest' && !hasSizeOfAbandoned(bytes.length)) this.#completed(parsed.id, bytes);
    if (parsed?.kind === 'manifest' || parsed?.kind === 'tombstone') this.judge();
  }

  remove(who: string, names: readonly ObjectName[]): void {
    for (const name of names) {
      if (!this.objects.delete(name)) continue;
      this.note(who, `removes ${name}`);
      this.judge();
    }
  }

  #completed(id: string, bytes: Uint8Array): void {
    const needs: ObjectName[] = [];
    for (const { manifest, partition } of decodeCheckpointManifest(id, bytes).partitions) {
      needs.push(manifest);
      const stored = this.objects.get(manifest);
      if (stored === undefined) continue;
      needs.push(...blocksOf([decodePartitionManifest(id, partition, stored.bytes)]).keys());
    }
    this.#needs.set(id, needs);
    if (id > this.#greatest) this.#greatest = id;
  }

  isListed(id: string): boolean {
    const stored = this.objects.get(`${checkpointsPrefix}${id}`);
    return stored !== undefined && !hasSizeOfAbandoned(stored.bytes.length) && !this.objects.has(tombstoneName(id));
  }

  needsOf(id: string): readonly ObjectName[] {
    return this.#needs.get(id) ?? [];
  }

  judge(): void {
    for (const [id, needs] of this.#needs) {
      if (!this.isListed(id)) continue;
      const missing = needs.find((name) => !this.objects.has(name));
      if (missing !== undefined) this.violations.push(`${id} is listed, and ${missing} is missing`);
    }
    if (this.#greatest !== '' && !this.isListed(this.#greatest))
      this.violations.push(`the newest checkpoint, ${this.#greatest}, is not listed`);
  }

  inOrder(prefix: string, after: string): ObjectInfo[] {
    const names: ObjectName[] = [];
    for (const name of this.objects.keys()) if (name > after && name.startsWith(prefix)) names.push(name);
    return names.toSorted().map((name) => this.infoOf(name)!);
  }

  infoOf(name: ObjectName): ObjectInfo | undefined {
    const stored = this.objects.get(name);
    return stored && { name, sizeBytes: stored.bytes.length, modifiedAtMs: stored.modifiedAtMs };
  }

  repositoryOf(actor: Actor): Repository {
    return new SimRepository(this, actor);
  }
}

/** Where it matters most what happens meanwhile. */
function isDecisive(what: string): boolean {
  return /^(create (checkpoints|started|blocks)\/|remove)/.test(what);
}

/** The repository as one actor sees it. Mistakes are made by classes that inherit from it. */
export class SimRepository implements Repository {
  readonly kind = 'folder';
  readonly location = 'simulated';
  readonly world: World;
  readonly actor: Actor;

  constructor(world: World, actor: Actor) {
    this.world = world;
    this.actor = actor;
  }

  async #turns<T>(what: string, effect: () => T): Promise<T> {
    await this.world.turn(this.actor, what);
    const answer = effect();
    await this.world.turn(this.actor, `the answer of ${what}`);
    return answer;
  }

  /** As `#turns`, for a change: the answer may get lost, and the change come later, or twice. */
  async #change<T>(what: string, effect: () => T): Promise<T> {
    const answer = await this.#turns(what, () => (this.#isLost() ? undefined : { value: effect() }));
    if (answer !== undefined) return answer.value;
    const late: Actor = { ...this.world.actor(`${this.actor.name}, late`), killed: false };
    late.frozenUntilMs = this.world.trueMs + this.world.random() * 100 * hourMs;
    this.world.start(late, async () => {
      await this.world.turn(late, what);
      effect();
    });
    throw new StateStoreError('outcome_unknown', `${what}: no answer`);
  }

  #isLost(): boolean {
    return this.world.random() < this.world.faults.lost;
  }

  async probe(): Promise<void> {}

  get(name: ObjectName): Promise<Uint8Array | undefined> {
    return this.#turns(`get ${name}`, () => this.world.objects.get(name)?.bytes);
  }

  head(name: ObjectName): Promise<ObjectInfo | undefined> {
    return this.#turns(`head ${name}`, () => this.world.infoOf(name));
  }

  put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    return this.#change(`put ${name}`, () => this.world.put(this.actor.name, name, bytes));
  }

  create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
    return this.#change(`create ${name}`, () => this.world.create(this.actor.name, name, bytes));
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    let after = '';
    for (;;) {
      const from = after;
      const page = await this.#turns(`list ${prefix}`, () => this.world.inOrder(prefix, from).slice(0, pageObjects));
      yield* page;
      if (page.length < pageObjects) return;
      after = page.at(-1)!.name;
    }
  }

  remove(names: readonly ObjectName[]): Promise<void> {
    return this.#change(`remove ${names.length} objects`, () => this.world.remove(this.actor.name, names));
  }

  async close(): Promise<void> {}
}
