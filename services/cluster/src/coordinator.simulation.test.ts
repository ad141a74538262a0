// Coordinators over a cluster in which everything goes wrong: nodes die, lose their disks, are slow, come
// and go; coordinators are killed in the midst of a step and run two at a time; the store refuses, answers
// late, answers what was, or does not say what it did. Each change of the topology is judged as it happens.
import type { PartitionPlacement, Topology } from '@statestore/core';
import { checkTopology, limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import type { StepOutcome } from './coordinator.ts';
import { Coordinator } from './coordinator.ts';
import { FaultyStore, ManualClock, SimNode, randomOf, topologyStoreOver } from './coordinator.testing.ts';
import { MemoryNodeRegistry } from './memory-node-registry.ts';
import { ReshapeDriver } from './reshape-driver.testing.ts';
import { isResizing, resizeCancelled, resizePaused, withPartitions } from './resize-edits.ts';
import { changeTopology } from './change-topology.ts';

const turnMs = 500;

class World {
  readonly clock = new ManualClock();
  readonly registry = new MemoryNodeRegistry({ clock: this.clock });
  readonly logs = new MemoryLogs();
  readonly nodes: SimNode[] = [];
  readonly random: () => number;
  readonly store: FaultyStore;
  readonly driver: ReshapeDriver;
  readonly violations: string[] = [];
  #ids = 0;
  coordinators: Coordinator[];
  changes = 0;
  joins = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
    this.store = new FaultyStore(this.random, (before, after) => this.#judge(before, after));
    this.driver = new ReshapeDriver({ nodes: this.nodes, store: this.store, random: this.random });
    const count = 3 + Math.floor(this.random() * 4);
    const zones = 1 + Math.floor(this.random() * 3);
    for (let i = 0; i < count; i++) this.nodes.push(new SimNode(`n${i}`, `z${i % zones}`));
    this.coordinators = [this.make(), this.make()];
  }

  make(): Coordinator {
    const topologyStore = topologyStoreOver(this.store);
    const newId = (): string => `0198c5a4-0000-4000-8000-${String(++this.#ids).padStart(12, '0')}`;
    return new Coordinator({ topologyStore, registry: this.registry, logStreams: this.logs, clock: this.clock, newId });
  }

  edit(change: Parameters<typeof changeTopology>[1]): Promise<unknown> {
    return changeTopology(this.store, change);
  }

  pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.random() * all.length)]!;
  }

  #node(name: string): SimNode | undefined {
    return this.nodes.find((node) => node.name === name);
  }

  /** Replicas of the topology that have the data, whether their node is up or not, as far as anybody can know. */
  #holders(placement: PartitionPlacement | undefined): readonly string[] {
    const nowMs = this.clock.elapsedMs();
    return placement?.replicas.filter((name) => this.#node(name)?.seemsToHold(placement.partition, nowMs)) ?? [];
  }

  #judge(before: Topology | undefined, after: Topology): void {
    this.changes++;
    checkTopology(after);
    if (before === undefined) return;
    if (after.epoch !== before.epoch + 1n) this.violations.push(`epoch ${after.epoch} came after ${before.epoch}`);
    const factor = after.spec!.replicationFactor;
    const nowMs = this.clock.elapsedMs();
    for (const placement of after.partitions) {
      const { partition } = placement;
      const { origin } = placement;
      const former = (number: number | undefined): PartitionPlacement | undefined =>
        before.partitions.find((each) => each.partition === number);
      const was = former(partition) ?? former(origin?.partition);
      const at = `epoch ${after.epoch}, partition ${partition}`;
      const had = this.#holders(was);
      const has = this.#holders(placement);
      // A node that is down builds its replica of a child when it is back, as of any partition.
      const least = former(partition) === undefined ? 1 : Math.min(had.length, factor);
      if (has.length < least) this.violations.push(`${at}: ${had.join()} became ${has.join()}`);
      for (const name of placement.replicas) {
        if (was?.replicas.includes(name) === true || this.#node(name)?.seemsToHold(partition, nowMs) === true) continue;
        this.violations.push(`${at}: ${name} serves and has nothing`);
      }
      for (const name of placement.joining ?? []) if (was?.joining?.includes(name) !== true) this.joins++;
    }
  }

  /** Nodes see what they see and report, and time passes. */
  async turn(seeing: number): Promise<void> {
    for (const node of this.nodes) {
      if (!node.up) continue;
      if (this.store.present !== undefined && this.random() < seeing) node.follow(this.store.present, this.nodes);
      if (this.random() < 0.8) await this.registry.report(node.report());
    }
    if (this.store.present !== undefined) await this.driver.turn(this.store.present);
    await this.clock.advance(turnMs);
  }

  /** A node that loses its disk while another one does would lose data whatever is planned. */
  wreck(): void {
    const present = this.store.present!;
    const safe = this.nodes.filter(
      (node) =>
        node.up &&
        present.partitions.every(({ partition, replicas }) => {
          const others = this.nodes.filter(({ name }) => replicas.includes(name) && name !== node.name);
          return others.filter((other) => other.holds(partition)).length >= 2;
        }),
    );
    if (safe.length > 0) this.pick(safe).destroy(this.clock.elapsedMs());
  }

  /** Coordinators may fail in any way; a killed one never comes to its end. */
  async step(): Promise<readonly StepOutcome[]> {
    const outcomes = await Promise.all(this.coordinators.map((coordinator) => coordinator.step()));
    if (this.random() < 0.1) {
      const at = Math.floor(this.random() * this.coordinators.length);
      const killed = this.coordinators[at]!;
      void killed.step().catch(() => undefined);
      this.coordinators[at] = this.make();
      await killed.close();
    }
    return outcomes;
  }

  /** What was merged away is kept for its time, and no longer. */
  async forgetRetired(): Promise<void> {
    const had = this.store.present!.retired?.length ?? 0;
    if (had === 0) return;
    await this.clock.advance(limits.retiredKeptMs / 2);
    await this.#calmTurns(4);
    if (this.store.present!.retired?.length !== had) this.violations.push('a retired partition went before its time');
    for (let i = 0; i < 3; i++) await this.clock.advance(limits.retiredKeptMs / 4);
    await this.#calmTurns(30);
    if (isResizing(this.store.present!)) this.violations.push('a retired partition stays for ever');
  }

  async #calmTurns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.turn(1);
      for (const coordinator of this.coordinators) await coordinator.step();
    }
  }

  async happen(): Promise<void> {
    const node = this.pick(this.nodes);
    const some = this.coordinators[0]!;
    const what = Math.floor(this.random() * 14);
    try {
      if (what === 0 && this.nodes.length < 12) this.nodes.push(new SimNode(`n${this.nodes.length}`, node.zone));
      if (what === 1) node.stop();
      if (what === 2 || what === 3) for (const each of this.nodes) each.start();
      if (what === 4) this.wreck();
      if (what === 5) await some.drain(node.name);
      if (what === 6) await some.undrain(node.name);
      if (what === 7) await some.setReplicationFactor(2 + Math.floor(this.random() * 2));
      if (what === 8) {
        const { partition, replicas } = this.pick(this.store.present!.partitions);
        await some.moveReplica({ partition, from: this.pick(replicas), to: node.name });
      }
      if (what === 9) node.copyTurns = 1 + Math.floor(this.random() * 20);
      if (what === 10 || what === 11) {
        const count = 1 + Math.floor(this.random() * 20);
        await this.edit((topology) => withPartitions(topology, count));
      }
      if (what === 12) await this.edit((topology) => resizePaused(topology, topology.spec?.resizePaused !== true));
      if (what === 13 && this.random() < 0.5) await this.edit(resizeCancelled);
    } catch {
      // Refused, or the store was away.
    }
  }
}

async function simulate(seed: number): Promise<World> {
  const world = new World(seed);
  const { coordinators, store, nodes } = world;
  const wish = { partitions: 1 + Math.floor(world.random() * 12), replicationFactor: 3, logReplicas: 3 };
  store.faults = { refused: 0.05, unknown: 0.1, stale: 0.1 };
  const signal = new AbortController().signal;
  const making = Promise.all(coordinators.map((coordinator) => coordinator.initialise(wish, { signal })));
  for (let i = 0; i < 60 && store.present === undefined; i++) await world.turn(1);
  store.faults = { refused: 0, unknown: 0, stale: 0 };
  for (let i = 0; i < 8; i++) await world.turn(1);
  await making;

  for (let turn = 0; turn < 150; turn++) {
    store.faults = { refused: 0.05, unknown: 0.1, stale: 0.1 };
    if (world.random() < 0.15) await world.happen();
    await world.turn(0.7);
    await world.step();
  }

  store.faults = { refused: 0, unknown: 0, stale: 0 };
  await world.edit((topology) => resizePaused(topology, false));
  for (const node of nodes) {
    node.start();
    node.copyTurns = 2;
  }
  let outcomes: readonly StepOutcome[] = [];
  let calm = 0;
  for (; calm < 1200; calm++) {
    await world.turn(1);
    outcomes = await world.step();
    if (outcomes.every(({ kind }) => kind === 'done')) break;
    const lacking = outcomes.every((each) => each.kind === 'waiting' && each.for.includes('not enough nodes'));
    if (lacking) break;
  }
  expect(
    calm,
    JSON.stringify(outcomes, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
  ).toBeLessThan(1200);
  for (const { kind } of outcomes) if (kind === 'done') await world.forgetRetired();
  for (const coordinator of world.coordinators) await coordinator.close();
  return world;
}

describe('coordinators, nodes and a store that fail', () => {
  const reshapes = { done: 0, dropped: 0 };
  const base = Number(process.env['STATESTORE_SEED'] ?? 1);
  const count = Number(process.env['STATESTORE_SEEDS'] ?? 25);
  test.each(Array.from({ length: count }, (_, i) => base + i))(
    'no change loses a replica, and calm ends where it should: STATESTORE_SEED=%i',
    async (seed) => {
      const world = await simulate(seed);
      expect(world.violations).toEqual([]);
      reshapes.done += world.driver.done;
      reshapes.dropped += world.driver.dropped;
      expect(world.changes).toBeGreaterThan(0);
      const { partitions, spec } = world.store.present!;
      for (const placement of partitions) {
        const accepting = placement.replicas.filter((name) => !spec!.drained.includes(name));
        const usable = world.nodes.filter(({ name }) => !spec!.drained.includes(name)).length;
        expect(accepting.length).toBe(Math.min(spec!.replicationFactor, usable));
        expect(placement.joining).toBeUndefined();
      }
    },
  );

  test.skipIf(count < 20)('splits and merges were done and given up meanwhile', () => {
    expect(reshapes.done).toBeGreaterThan(count);
    expect(reshapes.dropped).toBeGreaterThan(0);
  });

  test('the same seed does the same', async () => {
    const [one, other] = [await simulate(7), await simulate(7)];
    const told = ({ store, changes, joins }: World): unknown => ({
      changes,
      joins,
      placements: store.present!.partitions.map(({ replicas }) => replicas),
    });
    expect(told(one)).toEqual(told(other));
  });
});
