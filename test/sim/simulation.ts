// One seed, one world, one history: clients work, replicas crash, the log misbehaves, then everything is
// left in peace and must come to one state.
import type { Command } from '@statestore/core';
import { loadState, verifyState } from '@statestore/core';
import { checkHistory } from './checks.ts';
import type { HistoryRecord } from './history.ts';
import type { Bug, Profile } from './profile.ts';
import { drawProfile } from './profile.ts';
import { SimClient } from './sim-client.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimStream } from './sim-log.ts';
import { SimNode } from './sim-node.ts';
import { dump } from './sorted-map.ts';
import { World } from './world.ts';

/** Far more than any world takes that makes progress. */
const stepsMax = 200_000;
/** Of 20 s each: what was late has arrived, what was unknown was given up. */
const settlingRoundsMax = 10;
/** Of the flush interval and the slowest flush, several. */
const storedWithinMs = 2000;

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Hash of everything that happened. */
  readonly history: string;
  /** The last that happened. */
  readonly lines: readonly string[];
  readonly counts: {
    readonly steps: number;
    readonly batches: number;
    readonly crashes: number;
    readonly operations: number;
    readonly answered: number;
  };
}

export async function simulate(seed: number, bug?: Bug): Promise<Outcome> {
  const world = new World(seed);
  const simulation = new Simulation(world, drawProfile(world, bug));
  const violations = await simulation.run().catch((error: unknown) => {
    return [`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`];
  });
  return { seed, violations, history: world.history, lines: world.lines, counts: simulation.counts() };
}

/** How to see a failure again. */
export function replayCommand(seed: number, bug?: Bug): string {
  return `npm run sim -- --seed ${seed}${bug === undefined ? '' : ` --bug ${bug}`}`;
}

class Simulation {
  readonly #world: World;
  readonly #stream: SimStream;
  readonly #nodes: readonly SimNode[];
  readonly #gateways: readonly SimGateway[];
  readonly #clients: readonly SimClient[];
  readonly #history: HistoryRecord[] = [];
  readonly #profile: Profile;
  #troubled = true;
  #crashes = 0;

  constructor(world: World, profile: Profile) {
    this.#world = world;
    this.#profile = profile;
    world.note(JSON.stringify(profile));
    this.#stream = new SimStream(world, profile);
    this.#nodes = Array.from({ length: profile.replicas }, (_, i) => new SimNode(world, profile, this.#stream, i));
    const replicas = this.#nodes.map(({ name }) => name);
    const topology = { epoch: 1n, partitions: [{ partition: 0, slots: [{ start: 0, end: 4096 }], replicas }] };
    this.#gateways = Array.from(
      { length: profile.gateways },
      (_, i) => new SimGateway(world, profile, this.#nodes, topology, i),
    );
    const around = { world, profile, nodes: this.#nodes, gateways: this.#gateways, history: this.#history };
    this.#clients = Array.from({ length: profile.clients }, (_, i) => new SimClient(around, i));
  }

  counts(): Outcome['counts'] {
    return {
      steps: this.#world.steps,
      batches: this.#stream.records.length,
      crashes: this.#crashes,
      operations: this.#history.length,
      answered: this.#history.filter((record) => record.kind === 'read' || record.outcome === 'answered').length,
    };
  }

  async run(): Promise<string[]> {
    const world = this.#world;
    for (const node of this.#nodes) node.start();
    if (this.#profile.crashEveryMs > 0) this.#scheduleTrouble();
    const worked = this.#whole(
      Promise.all(
        this.#clients.flatMap((client) => Array.from({ length: this.#profile.workersPerClient }, () => client.work())),
      ),
    );
    if (!(await world.run(() => worked.done || this.#halts().length > 0, stepsMax)))
      return this.#stuck('the clients are not done');
    this.#troubled = false;
    await Promise.all(this.#gateways.map((gateway) => gateway.close()));
    if (this.#halts().length > 0) return this.#halts();
    const settled = this.#whole(this.#settle());
    if (!(await world.run(() => settled.done, stepsMax))) return this.#stuck('the replicas do not settle');
    return [...this.#halts(), ...this.#compareReplicas(), ...this.#checkHistory()];
  }

  /** A failure of the simulation itself must not look like waiting. */
  #whole(work: Promise<unknown>): { done: boolean } {
    const state = { done: false };
    work.then(
      () => (state.done = true),
      (error: unknown) => {
        this.#failure ??= `the simulation failed: ${error instanceof Error ? error.stack : String(error)}`;
        state.done = true;
      },
    );
    return state;
  }

  #failure: string | undefined;

  #stuck(what: string): string[] {
    return [...this.#halts(), `deadlock: ${what} after ${this.#world.steps} steps`];
  }

  #halts(): string[] {
    const halts = this.#nodes.flatMap(({ name, halted }) =>
      halted === undefined ? [] : [`${name} halted: ${halted}`],
    );
    return this.#failure === undefined ? halts : [this.#failure, ...halts];
  }

  #scheduleTrouble(): void {
    const world = this.#world;
    world.after(world.between(1, this.#profile.crashEveryMs * 2), undefined, () => {
      if (!this.#troubled) return;
      const node = world.random.pick(this.#nodes);
      if (world.random.chance(0.2)) void node.stop();
      else node.crash();
      this.#crashes++;
      // `stop` takes its time; a start in the middle of it does nothing, so it is tried again.
      world.after(world.between(0, 1000), undefined, () => node.start());
      this.#scheduleTrouble();
    });
  }

  /** Everybody runs, has applied the same position and has stored it. */
  async #settle(): Promise<void> {
    const world = this.#world;
    const barrier: Command = { body: { kind: 'barrier' } };
    world.calm = true;
    for (let round = 0; round < settlingRoundsMax; round++) {
      for (const node of this.#nodes) node.start();
      await world.sleep(20_000);
      if (this.#halts().length > 0) return;
      try {
        await Promise.all(this.#nodes.map((node) => node.propose(barrier)));
        const last = BigInt(this.#stream.records.length);
        await Promise.all(this.#nodes.map((node) => node.read('main', [], { consistency: 'session', atLeast: last })));
        await world.sleep(storedWithinMs);
        const late = this.#nodes.find(({ disk }) => disk.position < last);
        if (late !== undefined)
          this.#failure ??= `${late.name} has not stored position ${last} after ${storedWithinMs} ms`;
        await Promise.all(this.#nodes.map((node) => node.sync()));
      } catch {
        continue;
      }
      const end = BigInt(this.#stream.records.length);
      if (this.#nodes.every(({ disk }) => disk.position === end)) return;
    }
    this.#failure ??= 'the replicas do not settle';
  }

  #compareReplicas(): string[] {
    const [first, ...others] = this.#nodes.map(({ name, disk }) => ({ name, disk, records: dump(disk) }));
    const found = this.#nodes.flatMap(({ name, disk }) => {
      try {
        return verifyState(loadState(disk), disk).map((difference) => `${name}: ${difference}`);
      } catch (error) {
        return [`${name}: ${String(error)}`];
      }
    });
    for (const { name, disk, records } of others) {
      if (disk.position !== first!.disk.position)
        found.push(`${name} is at ${disk.position}, ${first!.name} at ${first!.disk.position}`);
      const at = records.findIndex((record, i) => record !== first!.records[i]);
      if (at !== -1 || records.length !== first!.records.length) {
        found.push(
          `${name} differs from ${first!.name}: ${records[at] ?? 'it ends early'} instead of ${first!.records[at] ?? 'the end'}`,
        );
      }
    }
    return found;
  }

  #checkHistory(): string[] {
    const claims = this.#nodes.flatMap((node) => {
      node.crash();
      node.start();
      return node.claims;
    });
    const { skewMs, logDelayMs, laggingMs } = this.#profile;
    // A replica takes the time from records as they come: late by what they take, and by one that they wait for.
    const clockErrorMs = skewMs + 2 * (logDelayMs + laggingMs);
    return checkHistory(this.#history, this.#stream.records, claims, clockErrorMs);
  }
}
