// One seed, one world of gateways in front of replicas that die, freeze and are cut off, as long as one of
// them is left in peace: what clients must never notice of it, and how long it may take.
import type { Command, CommandBody, Topology } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { PartitionSession } from '../../services/gateway/src/sessions.ts';
import { checkHistory } from './checks.ts';
import type { HistoryRecord, ReadRecord, WriteRecord } from './history.ts';
import { identityOf } from './history.ts';
import type { Profile } from './profile.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimStream } from './sim-log.ts';
import { SimNode } from './sim-node.ts';
import type { DrawnRead } from './workload.ts';
import { drawRead, drawReadOf, drawWrite } from './workload.ts';
import { World } from './world.ts';

const stepsMax = 400_000;
const replicas = 3;
/** What is left in peace changes after this, when all have recovered. */
const eraMs = 15_000;
/** Longest of a node's restart, its link's and a report of it. */
const recoveryMs = 4000;

export interface FailoverOutcome {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly history: string;
  readonly lines: readonly string[];
  readonly counts: { readonly writes: number; readonly reads: number; readonly faults: number };
  /** Of the requests asked and answered while the log had a leader. */
  readonly slowestWriteMs: number;
  readonly slowestReadMs: number;
  readonly failovers: number;
  readonly hedges: { readonly stuck: number; readonly slow: number };
  /** Times without a leader, summed over partitions and gateways. */
  readonly elections: number;
}

export async function simulateFailover(seed: number): Promise<FailoverOutcome> {
  const world = new World(seed);
  const failover = new Failover(world);
  const violations = await failover.run().catch((error: unknown) => {
    return [`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`];
  });
  return failover.outcome(seed, violations);
}

/** How to see a failure again. */
export function failoverCommand(seed: number): string {
  return `npm run sim -- --failover --seed ${seed}`;
}

function quietProfile(world: World): Profile {
  return {
    replicas,
    gateways: 2,
    clients: 4,
    workersPerClient: 2,
    operationsPerWorker: world.between(100, 300),
    refused: 0,
    lost: 0,
    unknown: 0,
    late: 0,
    duplicated: 0,
    flushFails: 0,
    answerLost: 0,
    crashEveryMs: 0,
    logDelayMs: world.random.pick([1, 5, 20]),
    flushDelayMs: world.random.pick([2, 20]),
    networkDelayMs: world.random.pick([0, 1, 10]),
    // A replica that falls behind for good is none that can be left alone.
    laggingMs: world.random.pick([0, 0, 50]),
    skewMs: 0,
    leaderEveryMs: 5000,
    longPauses: 0,
    bug: undefined,
  };
}

class Failover {
  readonly #world: World;
  readonly #profile: Profile;
  readonly #stream: SimStream;
  readonly #nodes: readonly SimNode[];
  readonly #gateways: readonly SimGateway[];
  readonly #history: HistoryRecord[] = [];
  readonly #violations: string[] = [];
  #topology: Topology;
  #working = true;
  #faults = 0;
  #elections = 0;
  #slowestWriteMs = 0;
  #slowestReadMs = 0;

  constructor(world: World) {
    this.#world = world;
    this.#profile = quietProfile(world);
    world.note(JSON.stringify(this.#profile));
    this.#stream = new SimStream(world, this.#profile);
    this.#nodes = Array.from({ length: replicas }, (_, i) => new SimNode(world, this.#profile, this.#stream, i));
    const names = this.#nodes.map(({ name }) => name);
    this.#topology = { epoch: 1n, partitions: [{ partition: 0, slots: [{ start: 0, end: 4096 }], replicas: names }] };
    for (const node of this.#nodes) node.start();
    this.#gateways = [0, 1].map((i) => new SimGateway(world, this.#profile, this.#nodes, this.#topology, i));
  }

  outcome(seed: number, violations: readonly string[]): FailoverOutcome {
    const sum = (of: (gateway: SimGateway) => number): number =>
      this.#gateways.reduce((all, each) => all + of(each), 0);
    const { history, lines } = this.#world;
    return {
      seed,
      violations,
      history,
      lines,
      counts: {
        writes: this.#history.filter(({ kind }) => kind === 'write').length,
        reads: this.#history.filter(({ kind }) => kind === 'read').length,
        faults: this.#faults,
      },
      slowestWriteMs: this.#slowestWriteMs,
      slowestReadMs: this.#slowestReadMs,
      failovers: sum(({ metrics }) => metrics.failovers.write + metrics.failovers.read),
      hedges: {
        stuck: sum(({ metrics }) => metrics.hedges.write.stuck + metrics.hedges.read.stuck),
        slow: sum(({ metrics }) => metrics.hedges.write.slow + metrics.hedges.read.slow),
      },
      elections: this.#elections,
    };
  }

  async run(): Promise<readonly string[]> {
    const world = this.#world;
    await world.run(() => this.#nodes.every(({ running }) => running), stepsMax);
    void this.#trouble();
    const { clients, workersPerClient } = this.#profile;
    let working = clients * workersPerClient;
    for (let client = 0; client < clients; client++) {
      const session = new PartitionSession(`client ${client}`.padEnd(16, '.'));
      const state = {
        name: `client ${client}`,
        gateway: this.#gateways[client % 2]!,
        session,
        seen: 0n,
        operations: 0,
      };
      for (let worker = 0; worker < workersPerClient; worker++) {
        this.#work(state)
          .catch((error: unknown) => this.#violations.push(error instanceof Error ? error.stack! : String(error)))
          .finally(() => working--);
      }
    }
    if (!(await world.run(() => working === 0, stepsMax))) this.#violations.push('the clients are not done');
    this.#working = false;
    await Promise.all(this.#gateways.map((gateway) => gateway.close()));
    const halts = this.#nodes.flatMap(({ name, halted }) =>
      halted === undefined ? [] : [`${name} halted: ${halted}`],
    );
    return [...halts, ...this.#violations, ...checkHistory(this.#history, this.#stream.records, [], 0)];
  }

  // What goes wrong.

  async #trouble(): Promise<void> {
    const world = this.#world;
    for (let era = world.between(0, 2); this.#working; era++) {
      const safe = this.#nodes[era % replicas]!;
      world.note(`${safe.name} is left in peace`);
      const endsMs = world.nowMs + eraMs;
      while (world.nowMs < endsMs && this.#working) {
        this.#spoil(safe, endsMs - world.nowMs);
        await world.sleep(world.between(10, 3000));
      }
      await world.sleep(recoveryMs);
      while (this.#nodes.some((node) => !node.running || node.frozen)) await world.sleep(100);
    }
  }

  #spoil(safe: SimNode, leftMs: number): void {
    const world = this.#world;
    const { random } = world;
    const node = random.pick(this.#nodes.filter((each) => each !== safe));
    const forMs = Math.min(leftMs, random.pick([200, 900, 1500, 4000, 12_000]));
    this.#faults++;
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        node.crash();
        world.after(Math.min(forMs, 3000), undefined, () => node.start());
        break;
      case 3:
        void node.stop();
        for (const delayMs of [500, 1000, 2000, 4000]) world.after(delayMs, undefined, () => node.start());
        break;
      case 4:
      case 5:
      case 6:
        node.freeze(forMs);
        break;
      case 7: {
        const gateway = random.pick(this.#gateways);
        world.note(`${gateway.name} and ${node.name} do not hear each other for ${forMs} ms`);
        gateway.links.get(node.name)?.blackOut(forMs);
        break;
      }
      case 8: {
        const [placement] = this.#topology.partitions;
        const [first, ...others] = placement!.replicas;
        const next = { ...placement!, replicas: [...others, first!] };
        this.#topology = { epoch: this.#topology.epoch + 1n, partitions: [next] };
        const topology = this.#topology;
        for (const gateway of this.#gateways) {
          world.after(world.between(0, 2000), undefined, () => gateway.place(topology));
        }
        break;
      }
      default:
        // Not one right after the other: clients wait for as long as a write may take, and no longer.
        if (world.nowMs < this.#stream.leaderlessUntilMs + 5000) break;
        this.#elections++;
        this.#stream.leaderlessUntilMs = world.nowMs + world.between(4000, 7000);
        world.note('the log has no leader');
    }
  }

  // What clients do.

  async #work(client: ClientState): Promise<void> {
    const { world, profile } = { world: this.#world, profile: this.#profile };
    for (let i = 0; i < profile.operationsPerWorker; i++) {
      await world.sleep(world.between(0, 200));
      if (world.random.chance(0.3)) await this.#read(client, drawRead(world.random));
      else {
        const { command } = await this.#write(client);
        if (!world.random.chance(0.3)) continue;
        await world.sleep(0);
        await this.#read(client, drawReadOf(world.random, command));
      }
    }
  }

  async #write(client: ClientState): Promise<WriteRecord> {
    const world = this.#world;
    const token = `${client.name} ${++client.operations};`;
    const { body } = drawWrite(world.random, token);
    const stamp = client.session.take();
    const record: WriteRecord = {
      kind: 'write',
      client: client.name,
      invoked: world.steps,
      responded: Infinity,
      command: body,
      identities: new Set([identityOf(stamp.session, stamp.counter)]),
      outcome: 'pending',
      result: undefined,
      token,
    };
    this.#history.push(record);
    const calm = this.#calm();
    const startedMs = world.nowMs;
    const answer = await this.#told(
      `${client.name}: ${describe(body)}`,
      client.gateway.propose({ stamp, body } satisfies Command),
    );
    client.session.settle(stamp.counter, answer !== undefined);
    record.responded = world.steps;
    record.outcome = answer === undefined ? 'unknown' : 'answered';
    if (answer === undefined) return record;
    const { position, result } = answer;
    record.result = result;
    if (position > client.seen) client.seen = position;
    const tookMs = world.nowMs - startedMs;
    if (calm() && tookMs > this.#slowestWriteMs) this.#slowestWriteMs = tookMs;
    world.note(`${client.name}: ${describe(body)} ${token} ${result.code} after ${tookMs} ms`);
    return record;
  }

  async #read(client: ClientState, { store, keys, consistency }: DrawnRead): Promise<void> {
    const world = this.#world;
    const record: ReadRecord = {
      kind: 'read',
      client: client.name,
      invoked: world.steps,
      invokedMs: world.nowMs,
      responded: Infinity,
      consistency,
      store,
      keys,
      entries: undefined,
      session: consistency === 'session',
    };
    this.#history.push(record);
    const calm = this.#calm();
    // Half of them have no token: the gateway remembers for them.
    const token = consistency === 'session' && world.random.chance(0.5) ? { atLeast: client.seen } : {};
    const found = await this.#told(
      `${client.name}: a ${consistency} read`,
      client.gateway.read(store, keys, { consistency, ...token }),
    );
    record.responded = world.steps;
    record.entries = found;
    const tookMs = world.nowMs - record.invokedMs;
    if (calm() && tookMs > this.#slowestReadMs) this.#slowestReadMs = tookMs;
    world.note(`${client.name}: ${consistency} read of ${keys.join(' ')} after ${tookMs} ms`);
  }

  /** While one replica lives and can be reached, no client is told of an error. */
  async #told<T>(what: string, work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      const code = error instanceof StateStoreError ? error.code : String(error);
      this.#violations.push(`${what} failed with ${code} at ${this.#world.nowMs}`);
      this.#world.note(`${what} failed with ${code}`);
      return undefined;
    }
  }

  /** Whether, asked later, the log had a leader all the time since. */
  #calm(): () => boolean {
    const startedMs = this.#world.nowMs;
    return () => this.#stream.leaderlessUntilMs < startedMs;
  }
}

interface ClientState {
  readonly name: string;
  readonly gateway: SimGateway;
  readonly session: PartitionSession;
  /** The position that this client was told of. */
  seen: bigint;
  operations: number;
}

function describe(body: CommandBody): string {
  return body.kind === 'mutate' ? (body.operations[0]?.kind ?? body.kind) : body.kind;
}
