// A node in the simulated world: the real partition code over a simulated log, engine and time. It can
// crash between any two events, losing what was not flushed, and starts again from its disk.
import type { BinaryString, Command, CommandResult } from '@statestore/core';
import { hashToHex, loadState, StateStoreError } from '@statestore/core';
import type { Entry, FoundMany, ReadOptions } from '@statestore/link';
import type { Time } from '@statestore/node';
import { Partition } from '@statestore/node';
import type { Profile } from './profile.ts';
import type { Disk } from './sim-engine.ts';
import { newDisk, SimEngine } from './sim-engine.ts';
import type { SimStream } from './sim-log.ts';
import { SimLog } from './sim-log.ts';
import type { Life, World } from './world.ts';

/** What a replica claimed to be at a position. */
export interface Claim {
  readonly node: string;
  readonly position: bigint;
  readonly chain: string;
  readonly stateHash: string;
}

export class SimNode {
  readonly name: string;
  readonly disk: Disk = newDisk();
  readonly claims: Claim[] = [];
  readonly #world: World;
  readonly #profile: Profile;
  readonly #stream: SimStream;
  readonly #clockErrorMs: number;
  #life: Life = { alive: false };
  #engine: SimEngine | undefined;
  #partition: Partition | undefined;
  #starts = 0;
  /** Rejects what is under way when the node dies. */
  #underWay = new Set<(error: StateStoreError) => void>();
  /** Told when the process comes up, goes down, or is frozen. */
  readonly listeners = new Set<() => void>();
  /** Why it stopped for good: never, in a world without bugs. */
  halted: string | undefined;

  /* oxlint-disable-next-line max-params -- what its world is */
  constructor(world: World, profile: Profile, stream: SimStream, number: number) {
    this.#world = world;
    this.#profile = profile;
    this.#stream = stream;
    this.name = `node ${number}`;
    this.#clockErrorMs = world.between(-profile.skewMs, profile.skewMs);
  }

  get running(): boolean {
    return this.#partition !== undefined;
  }

  /** Of the process; its partition may still be starting. */
  get life(): Life {
    return this.#life;
  }

  get starts(): number {
    return this.#starts;
  }

  get frozen(): boolean {
    return this.#life.alive && (this.#life.frozenUntilMs ?? 0) > this.#world.nowMs;
  }

  /** As SIGSTOP, and SIGCONT after that many milliseconds. */
  freeze(forMs: number): void {
    if (!this.#life.alive) return;
    this.#life.frozenUntilMs = this.#world.nowMs + forMs;
    this.#world.note(`${this.name}: frozen for ${forMs} ms`);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.listeners) listener();
  }

  start(): void {
    if (this.#life.alive) return;
    const life: Life = { alive: true };
    const engine = new SimEngine(this.#world, this.#profile, this.disk, life);
    this.#life = life;
    this.#engine = engine;
    this.#starts++;
    this.#world.note(`${this.name}: starts at ${this.disk.position}`);
    this.#claim();
    this.#tell();
    void this.#open(life, engine);
  }

  async #open(life: Life, engine: SimEngine): Promise<void> {
    try {
      const partition = await Partition.open({
        partition: 0,
        log: new SimLog(this.#world, this.#profile, this.#stream, life, this.name),
        engine,
        time: this.#time(life),
        proposer: `${this.name} start ${this.#starts}`.padEnd(16, '.').slice(-16),
        flushIntervalMs: 50,
        onHalted: (reason) => {
          if (!life.alive) return;
          if (engine.failed) this.#restart(life);
          else this.#halt(reason);
        },
      });
      if (!life.alive) return;
      this.#partition = partition;
      this.#world.note(`${this.name}: runs`);
    } catch (error) {
      if (life.alive && !engine.failed) this.#halt(error);
    }
  }

  /** What its supervisor does when the disk failed, after a while in which clients still ask it. */
  #restart(life: Life): void {
    this.#world.note(`${this.name}: the disk failed`);
    this.#world.after(this.#world.between(0, 300), life, () => {
      this.crash();
      this.#world.after(this.#world.between(0, 1000), undefined, () => this.start());
    });
  }

  #halt(reason: unknown): void {
    this.halted ??= reason instanceof Error ? reason.message : String(reason);
    this.#world.note(`${this.name}: halts: ${this.halted}`);
  }

  #time(life: Life): Time {
    const world = this.#world;
    return {
      nowMs: () => world.nowMs + this.#clockErrorMs,
      elapsedMs: () => world.nowMs,
      after: (ms, run) => world.after(ms, life, run),
      defer: (run) => void world.after(0, life, run),
    };
  }

  crash(): void {
    if (!this.#life.alive) return;
    this.#life.alive = false;
    this.#engine?.crash();
    this.#partition = undefined;
    this.#world.note(`${this.name}: crashes, stored ${this.disk.position}`);
    for (const reject of this.#underWay) reject(new StateStoreError('outcome_unknown', 'the node died'));
    this.#underWay.clear();
    this.#tell();
  }

  /** A graceful stop: everything that waits is answered and stored first. */
  async stop(): Promise<void> {
    const partition = this.#partition;
    const life = this.#life;
    if (partition === undefined) return;
    this.#world.note(`${this.name}: stops`);
    this.#partition = undefined;
    await partition.close();
    if (!life.alive) return;
    life.alive = false;
    const { appliedPosition } = await partition.status();
    if (this.disk.position !== appliedPosition && this.#engine?.failed !== true)
      this.#halt(`stopped at ${appliedPosition} with only ${this.disk.position} stored`);
    this.#world.note(`${this.name}: stopped, stored ${this.disk.position}`);
    this.#tell();
  }

  /** The disk's word on where it is, to be compared with what the log says of that position. */
  #claim(): void {
    try {
      const { position, chain, stateHash } = loadState(this.disk);
      if (position > 0n)
        this.claims.push({ node: this.name, position, chain: hashToHex(chain), stateHash: hashToHex(stateHash) });
    } catch (error) {
      this.#halt(error);
    }
  }

  /** The result, and where it was applied: what the client has seen. */
  propose(command: Command): Promise<{ readonly result: CommandResult; readonly position: bigint }> {
    return this.#call(async (partition) => {
      const { position, ...result } = await partition.propose(command);
      return { result, position };
    });
  }

  /** Several entries of one point in time. */
  async read(
    store: string,
    keys: readonly BinaryString[],
    options: ReadOptions,
  ): Promise<readonly (Entry | undefined)[]> {
    return (await this.readMany(store, keys, options)).entries;
  }

  readMany(store: string, keys: readonly BinaryString[], options: ReadOptions): Promise<FoundMany> {
    return this.#call(async (partition) => {
      const stale = this.#profile.bug === 'stale-session-reads' && options.consistency === 'session';
      if (!stale) await partition.ready(options);
      return { entries: keys.map((key) => partition.get(store, key)), position: partition.position };
    });
  }

  sync(): Promise<void> {
    return this.#call((partition) => partition.sync());
  }

  #call<T>(run: (partition: Partition) => Promise<T>): Promise<T> {
    const partition = this.#partition;
    if (partition === undefined) return Promise.reject(new StateStoreError('unavailable', `${this.name} does not run`));
    return new Promise((resolve, reject) => {
      this.#underWay.add(reject);
      run(partition)
        .then(resolve, reject)
        .finally(() => this.#underWay.delete(reject));
    });
  }
}
