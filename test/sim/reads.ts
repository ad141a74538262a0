// One seed, one world of clients that write and read by turns at replicas that lag, fail and crash: whether
// each read was as fresh as it was asked to be. Every answer tells of a position, and the log has the order
// of all of them, so freshness is a comparison of positions.
import type { BinaryString } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  defaultTtl,
  noCondition,
  readEntry,
  StateStoreError,
} from '@statestore/core';
import type { ReadOptions } from '@statestore/link';
import type { Bug, Profile } from './profile.ts';
import { drawProfile } from './profile.ts';
import { Replica } from './replica.ts';
import { SimStream } from './sim-log.ts';
import { SimNode } from './sim-node.ts';
import { World } from './world.ts';

const stepsMax = 200_000;
const store = 'main';
const keys: readonly BinaryString[] = ['a', 'b', 'c'];

interface Answered {
  readonly client: number;
  /** Undefined: a write. */
  readonly read?: { readonly options: ReadOptions; readonly key: BinaryString; readonly value: string | undefined };
  /** Steps of the world, and its time. */
  readonly invoked: number;
  readonly responded: number;
  readonly invokedMs: number;
  readonly respondedMs: number;
  readonly position: bigint;
}

export interface ReadsOutcome {
  readonly violations: readonly string[];
  /** Reads by consistency that were answered; `bounded`: eventual, with a bound. */
  readonly counts: Readonly<Record<'strong' | 'session' | 'eventual' | 'bounded' | 'atOnce', number>>;
}

export async function simulateReads(seed: number, bug?: Bug): Promise<ReadsOutcome> {
  const world = new World(seed);
  const profile = { ...drawProfile(world, bug), replicas: world.between(2, 3), gateways: 0 };
  const stream = new SimStream(world, profile);
  const nodes = Array.from({ length: profile.replicas }, (_, i) => new SimNode(world, profile, stream, i));
  for (const node of nodes) node.start();
  const progress = { working: true };
  if (profile.crashEveryMs > 0) crashNowAndThen(world, profile, nodes, progress);
  const answered: Answered[] = [];
  const clients = Array.from({ length: 4 }, (_, i) => new Client(world, profile, nodes, answered, i));
  const failures: string[] = [];
  void Promise.all(clients.map((client) => client.work()))
    .catch((error: unknown) => failures.push(`the simulation failed: ${String(error)}`))
    .finally(() => (progress.working = false));
  const halted = (): string[] =>
    nodes.flatMap(({ name, halted: why }) => (why === undefined ? [] : [`${name}: ${why}`]));
  if (!(await world.run(() => !progress.working || halted().length > 0, stepsMax))) failures.push('it does not end');
  for (const node of nodes) node.crash();
  return { violations: [...failures, ...halted(), ...check(answered, stream)], counts: countsOf(answered) };
}

function crashNowAndThen(
  world: World,
  profile: Profile,
  nodes: readonly SimNode[],
  progress: { readonly working: boolean },
): void {
  world.after(world.between(1, profile.crashEveryMs * 2), undefined, () => {
    if (!progress.working) return;
    const node = world.random.pick(nodes);
    node.crash();
    world.after(world.between(0, 1000), undefined, () => node.start());
    crashNowAndThen(world, profile, nodes, progress);
  });
}

class Client {
  readonly #world: World;
  readonly #profile: Profile;
  readonly #nodes: readonly SimNode[];
  readonly #answered: Answered[];
  readonly #number: number;
  /** Its session token. */
  #seen = 0n;

  /* oxlint-disable-next-line max-params -- the pieces of one world */
  constructor(world: World, profile: Profile, nodes: readonly SimNode[], answered: Answered[], number: number) {
    this.#world = world;
    this.#profile = profile;
    this.#nodes = nodes;
    this.#answered = answered;
    this.#number = number;
  }

  async work(): Promise<void> {
    const world = this.#world;
    for (let i = 0; i < 40; i++) {
      await world.sleep(world.between(0, 150));
      const node = world.random.pick(this.#nodes);
      const [invoked, invokedMs] = [world.steps, world.nowMs];
      await this.#travel();
      const key = world.random.pick(keys);
      const options = world.random.chance(0.35) ? undefined : this.#drawOptions();
      try {
        const answer = options === undefined ? await this.#write(node, key, i) : await this.#read(node, key, options);
        await this.#travel();
        if (answer.position > this.#seen) this.#seen = answer.position;
        const [responded, respondedMs] = [world.steps, world.nowMs];
        this.#answered.push({ client: this.#number, invoked, invokedMs, responded, respondedMs, ...answer });
      } catch (error) {
        if (!(error instanceof StateStoreError)) throw error;
      }
    }
  }

  #travel(): Promise<void> {
    return this.#world.sleep(this.#world.between(0, this.#profile.networkDelayMs));
  }

  #drawOptions(): ReadOptions {
    const { random } = this.#world;
    return random.pick<ReadOptions>([
      { consistency: 'strong' },
      { consistency: 'session', atLeast: this.#seen },
      { consistency: 'eventual' },
      { consistency: 'eventual', maxLagMs: random.pick([1, 20, 200, 2000]) },
      { consistency: 'eventual', maxLagMs: random.pick([20, 200, 2000]) },
    ]);
  }

  async #write(node: SimNode, key: BinaryString, i: number): Promise<Pick<Answered, 'position'>> {
    const value = bytesFromBinary(`${this.#number}/${i}`);
    const operation = { kind: 'put', key, condition: noCondition, value, contentType: '', ttl: defaultTtl } as const;
    const { position } = await node.propose({
      body: { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] },
    });
    return { position };
  }

  async #read(node: SimNode, key: BinaryString, options: ReadOptions): Promise<Pick<Answered, 'read' | 'position'>> {
    const { entries, position } = await node.readMany(store, [key], options);
    const value = entries[0] === undefined ? undefined : binaryFromBytes(entries[0].value);
    return { position, read: { options, key, value } };
  }
}

function check(answered: readonly Answered[], { records }: SimStream): string[] {
  const replica = new Replica();
  const valueAt = [keys.map((): string | undefined => undefined)];
  for (const record of records) {
    replica.apply(record);
    const values = keys.map((key) => readEntry(replica.state, replica.records, store, key, 0)?.value);
    valueAt.push(values.map((value) => (value === undefined ? undefined : binaryFromBytes(value))));
  }
  return answered.flatMap((each) => {
    if (each.read === undefined) return [];
    const { options, key, value } = each.read;
    const name = `client ${each.client}, step ${each.invoked}: ${options.consistency} read${options.maxLagMs === undefined ? '' : ` within ${options.maxLagMs} ms`}`;
    const least = leastPosition(each, options, answered);
    const there = valueAt[Number(each.position)]?.[keys.indexOf(key)];
    return [
      ...(each.position < least ? [`${name} saw position ${each.position}; it had to see ${least}`] : []),
      ...(value === there ? [] : [`${name} of ${key} at ${each.position} is ${value}; the log says ${there}`]),
    ];
  });
}

/** The greatest position that the read had to see. */
function leastPosition(read: Answered, { consistency, maxLagMs }: ReadOptions, answered: readonly Answered[]): bigint {
  const counts = ({ client, responded, respondedMs }: Answered): boolean => {
    if (consistency === 'strong') return responded < read.invoked;
    if (consistency === 'session') return client === read.client && responded < read.invoked;
    return maxLagMs !== undefined && respondedMs < read.invokedMs - maxLagMs;
  };
  return answered.reduce((most, other) => (counts(other) && other.position > most ? other.position : most), 0n);
}

function countsOf(answered: readonly Answered[]): ReadsOutcome['counts'] {
  const counts = { strong: 0, session: 0, eventual: 0, bounded: 0, atOnce: 0 };
  for (const { read, invokedMs, respondedMs } of answered) {
    if (read === undefined) continue;
    const bounded = read.options.maxLagMs !== undefined;
    counts[bounded ? 'bounded' : read.options.consistency]++;
    if (bounded && respondedMs === invokedMs) counts.atOnce++;
  }
  return counts;
}
