// Coordinators over a cluster in which everything goes wrong: nodes die, lose their disks, are slow, come
// and go; coordinators are killed in the midst of a step and run two at a time; the store refuses, answers
// late, answers what was, or does not say what it did. Each change of the topology is judged as it happens.
import type { PartitionPlacement, Topology } from '@statestore/core';
import { checkTopology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { MemoryLogs } from '../../node/src/testing/memory-logs.ts';
import type { StepOutcome } from './coordinator.ts';
import { Coordinator } from './coordinator.ts';
import { FaultyStore, ManualClock, SimNode, randomOf, topologyStoreOver } from './coordinator.testing.ts';
import { MemoryNodeRegistry } from './memory-node-registry.ts';

const turnMs = 500;

class World {
  readonly clock = new ManualClock();
  readonly registry = new MemoryNodeRegistry({ clock: this.clock });
  readonly logs = new MemoryLogs();
  readonly nodes: SimNode[] = [];
  readonly random: () => number;
  readonly store: FaultyStore;
  readonly violations: string[] = [];
  coordinators: Coordinator[];
  changes = 0;
  joins = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
    this.store = new FaultyStore(this.random, (before, after) => this.#judge(before, after));
    const count = 3 + Math.floor(this.random() * 4);
    const zones = 1 + Math.floor(this.random() * 3);
    for (let i = 0; i < count; i++) this.nodes.push(new SimNode(`n${i}`, `z${i % zones}`));
    this.coordinators = [this.make(), this.make()];
  }

  make(): Coordinator {
    const topologyStore = topologyStoreOver(this.store);
    return new Coordinator({ topologyStore, registry: this.registry, logStreams: this.logs, clock: this.clock });
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
      const was = before.partitions.find((each) => each.partition === partition);
      const at = `epoch ${after.epoch}, partition ${partition}`;
      const [had, has] = [this.#holders(was), this.#holders(placement)];
      if (has.length < Math.min(had.length, factor)) this.violations.push(`${at}: ${had.join()} became ${has.join()}`);
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

  async happen(): Promise<void> {
    const node = this.pick(this.nodes);
    const some = this.coordinators[0]!;
    const what = Math.floor(this.random() * 10);
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
  for (const node of nodes) {
    node.start();
    node.copyTurns = 2;
  }
  let outcomes: readonly StepOutcome[] = [];
  let calm = 0;
  for (; calm < 600; calm++) {
    await world.turn(1);
    outcomes = await world.step();
    if (outcomes.every(({ kind }) => kind === 'done')) break;
    const lacking = outcomes.every((each) => each.kind === 'waiting' && each.for.includes('not enough nodes'));
    if (lacking) break;
  }
  expect(
    calm,
    JSON.stringify(outcomes, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
  ).toBeLessThan(600);
  for (const coordinator of world.coordinators) await coordinator.close();
  return world;
}

describe('coordinators, nodes and a store that fail', () => {
  const base = Number(process.env['STATESTORE_SEED'] ?? 1);
  const count = Number(process.env['STATESTORE_SEEDS'] ?? 25);
  test.each(Array.from({ length: count }, (_, i) => base + i))(
    'no change loses a replica, and calm ends where it should: STATESTORE_SEED=%i',
    async (seed) => {
      const world = await simulate(seed);
      expect(world.violations).toEqual([]);
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
