// One seed, one cluster that is split, merged and moved at random instants, under writes, while everybody who has a part in
// it dies, lags, and is late: and what must hold all the same.
import type { Topology } from '@statestore/core';
import { applyBatch, limits } from '@statestore/core';
import { slotCountOf } from '../../../services/core/src/slot-ranges.ts';
import type { Apply } from '../replica.ts';
import { mutatedApply } from './mutated-apply.ts';
import { Referee, writable } from './referee.ts';
import type { ReshapeBug } from './reshape-bugs.ts';
import type { Counts } from './reshape-client.ts';
import { clearedStore, mainStore, quotaStore, ReshapeClient } from './reshape-client.ts';
import { ReshapeCoordinator } from './reshape-coordinator.ts';
import type { Desk } from './reshape-driver.ts';
import { ReshapeDriver } from './reshape-driver.ts';
import { ReshapeGateway } from './reshape-gateway.ts';
import { ReshapeLog } from './reshape-log.ts';
import type { Around } from './reshape-node.ts';
import { NodeReplica, ReshapeNode } from './reshape-node.ts';
import { logOfPlacement, TopologyDocument } from './reshape-topology.ts';
import { ReshapeWatcher } from './reshape-watcher.ts';
import { ReshapeWorld } from './reshape-world.ts';
import { SortedMap } from '../sorted-map.ts';

export interface ReshapeOutcome {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly lines: readonly string[];
  readonly counts: Counts & {
    readonly steps: number;
    readonly splits: number;
    readonly merges: number;
    readonly cancelled: number;
    readonly crashes: number;
  };
}

export function reshapeCommand(seed: number, bug?: ReshapeBug): string {
  return `npm run sim -- --reshape --seed ${seed}${bug === undefined ? '' : ` --bug ${bug}`}`;
}

export function simulateReshapes(seed: number, bug?: ReshapeBug): ReshapeOutcome {
  const simulation = new ReshapeSimulation(seed, bug);
  try {
    simulation.run();
  } catch (error) {
    simulation.world.wrong(`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  return simulation.outcome(seed);
}

const quotaEntries = 20;
const stepsOfTrouble = 3000;
const settlingStepsMax = 60_000;

class ReshapeSimulation {
  readonly world: ReshapeWorld;
  readonly #apply: Apply;
  readonly #document: TopologyDocument;
  readonly #referee: Referee;
  readonly #nodes: ReshapeNode[] = [];
  readonly #around: Around;
  readonly #desk: Desk;
  readonly #drivers: readonly ReshapeDriver[];
  readonly #gateways: readonly ReshapeGateway[];
  readonly #clients: readonly ReshapeClient[];
  readonly #watcher: ReshapeWatcher;
  readonly #coordinator: ReshapeCoordinator;
  readonly #counts: Counts = { acknowledged: 0, unknown: 0, moved: 0, reads: 0, lists: 0, clears: 0 };
  /** Of each log: what the state's clock was, and when. */
  readonly #clocks = new Map<string, { readonly atMs: number; readonly clockMs: number }[]>();
  #crashes = 0;
  /** Of one node: how seldom it follows. */
  readonly #laziness: number;

  constructor(seed: number, bug: ReshapeBug | undefined) {
    const world = new ReshapeWorld(seed, bug);
    this.world = world;
    this.#apply = mutatedApply(bug, applyBatch);
    this.#laziness = world.random.pick([0.4, 0.4, 0.9, 0.98]);
    const names = Array.from({ length: world.between(2, 4) }, (_, i) => `node-${i}`);
    this.#document = new TopologyDocument(world, world.between(1, 3), names.slice(0, world.between(2, 3)));
    this.#referee = new Referee(world, this.#apply);
    const topology = (): Topology => this.#document.now;
    this.#around = { world, referee: this.#referee, apply: this.#apply, topology, nodes: () => this.#nodes };
    this.#begin(names);
    this.#desk = this.#newDesk();
    this.#drivers = this.#nodes.map((node) => new ReshapeDriver(node, this.#desk));
    this.#gateways = [0, 1].map((i) => new ReshapeGateway(this.#around, `gateway-${i}`));
    const client = (_: unknown, i: number): ReshapeClient =>
      new ReshapeClient(this.#around, this.#gateways, `c${i}`, this.#counts);
    this.#clients = Array.from({ length: world.between(2, 5) }, client);
    this.#watcher = new ReshapeWatcher(this.#around, new ReshapeGateway(this.#around, 'watcher'));
    this.#coordinator = new ReshapeCoordinator(this.#around, this.#document, this.#watcher);
  }

  outcome(seed: number): ReshapeOutcome {
    const { splits, merges, cancels } = this.#coordinator;
    const { violations, lines, step } = this.world;
    return {
      seed,
      violations,
      lines,
      counts: { ...this.#counts, steps: step, splits, merges, cancelled: cancels, crashes: this.#crashes },
    };
  }

  #begin(names: readonly string[]): void {
    const { world } = this;
    for (const name of names) this.#nodes.push(new ReshapeNode(this.#around, name));
    const { partitions } = this.#document.now;
    for (const [i, placement] of partitions.entries()) {
      const log = new ReshapeLog(world, placement.partition, 1, 0n);
      this.#referee.begin(log, placement.slots);
      const allowanceEntries =
        Math.floor((quotaEntries * (i + 1)) / partitions.length) - Math.floor((quotaEntries * i) / partitions.length);
      const settings = { defaultTtlMs: 0, quotaEntries, quotaBytes: undefined };
      const quota = {
        kind: 'configure',
        store: quotaStore,
        settings,
        settingsVersion: 1,
        allowanceEntries,
        allowanceBytes: undefined,
      } as const;
      this.#referee.append(log, [{ body: quota }]);
      for (const node of this.#nodes) {
        if (placement.replicas.includes(node.name))
          node.replicas.set(log.id, new NodeReplica(log, new SortedMap(), this.#apply));
      }
    }
  }

  #newDesk(): Desk {
    const { world } = this;
    return {
      propose: (who, log, command) => {
        world.note(`${who} proposes ${command.body.kind} to ${log.id}`);
        world.send(command.body.kind, () => {
          if (!log.isGone) this.#referee.append(log, [command]);
        });
      },
      change: (who, node, edit, why) => {
        const seen = node.view;
        world.send(why, () => void this.#document.change(seen, edit, `${who}: ${why}`));
      },
    };
  }

  run(): void {
    const { world } = this;
    for (let left = stepsOfTrouble; left > 0 && world.violations.length === 0; left--) this.#step(true);
    world.calm = true;
    for (let left = settlingStepsMax; left > 0 && world.violations.length === 0; left--) {
      this.#step(false);
      if (left % 50 === 0 && this.#isSettled()) return this.#check();
    }
    if (world.violations.length === 0) world.wrong(`it does not settle: ${this.#unsettled()}`);
  }

  #step(isTrouble: boolean): void {
    const { world } = this;
    const { random } = world;
    world.tick();
    const node = random.pick(this.#nodes);
    const dice = random.below(100);
    if (dice < 35) return this.#follow(node);
    if (dice < 55) return this.#deliver();
    if (dice < 80) return random.pick(this.#clients).step(isTrouble);
    if (dice < 87) return this.#drive(node);
    if (dice < 91) return this.#watch();
    if (dice < 93) return isTrouble ? this.#sweep(node) : this.#watch();
    if (dice < 95) return this.#work(node);
    if (dice < 97) return (random.chance(0.7) ? node : this.#gateways[0]!).refresh();
    if (dice < 99) return this.#coordinator.step(isTrouble);
    if (isTrouble) return this.#trouble(node);
    this.#watcher.refresh();
  }

  #deliver(): void {
    for (let left = this.world.calm ? 20 : this.world.between(1, 5); left > 0 && this.world.deliver(); left--);
  }

  #follow(node: ReshapeNode): void {
    const { random } = this.world;
    for (const replica of Array.from(node.replicas.values())) {
      // Some are behind for long.
      if (!this.world.calm && random.chance(node === this.#nodes[0] ? this.#laziness : 0.4)) continue;
      for (let left = this.world.calm ? 50 : this.world.between(1, 6); left > 0 && node.applyNext(replica); left--);
      if (random.chance(0.2)) replica.flush();
    }
  }

  #watch(): void {
    for (let left = this.world.calm ? 50 : 8; left > 0; left--) this.#watcher.step();
  }

  #drive(node: ReshapeNode): void {
    const { reshapes = [] } = node.view;
    const driver = this.#drivers[this.#nodes.indexOf(node)]!;
    if (reshapes.length === 0) return node.refresh();
    driver.drive(this.world.random.pick(reshapes));
  }

  #work(node: ReshapeNode): void {
    const { random } = this.world;
    node.settle();
    if (random.chance(0.3)) node.clean();
    const reshape = random.chance(0.5) ? node.view.reshapes?.[0] : undefined;
    if (reshape?.kind === 'split') node.buildChild(reshape);
    if (reshape?.kind === 'merge') node.stage(reshape, random.chance(0.5));
  }

  #sweep(node: ReshapeNode): void {
    const { world } = this;
    const replicas = [...node.replicas.values()];
    if (replicas.length === 0) return;
    const { log, live } = world.random.pick(replicas);
    const clocks = this.#clocks.get(log.id) ?? [];
    this.#clocks.set(log.id, clocks);
    // What it was a window ago, by a clock that nobody sets.
    const past = clocks.findLast(({ atMs }) => atMs <= world.nowMs - limits.deduplicationWindowMs);
    clocks.push({ atMs: world.nowMs, clockMs: Number(live.state.clockNanos / 1_000_000n) });
    const limit = world.random.pick([2, 5, 1000]);
    const changesKeptBytes = world.random.pick([0, 300, 1e9]);
    const forgetBeforeMs = past?.clockMs ?? 0;
    this.#desk.propose(node.name, log, {
      body: { kind: 'sweep', limit, changesKeptBytes, countStore: '', forgetBeforeMs },
    });
  }

  #trouble(node: ReshapeNode): void {
    const { world } = this;
    if (world.random.chance(0.9)) {
      this.#crashes++;
      return node.crash();
    }
    // More time than anything is remembered for: by then nobody asks any more, and nothing is on its way.
    world.calm = true;
    while (world.deliver());
    world.calm = false;
    for (const client of this.#clients) client.abandon();
    for (const gateway of this.#gateways) gateway.newSessions();
    world.pass(limits.deduplicationWindowMs + 1000);
    world.note('much time passes');
  }

  #isSettled(): boolean {
    const { reshapes = [], partitions } = this.#document.now;
    if (this.world.waiting > 0 || reshapes.length > 0 || !this.#clients.every(({ isIdle }) => isIdle)) return false;
    const isPlaced = partitions.every((placement) =>
      placement.replicas.every((name) => {
        const replica = this.#nodes.find((node) => node.name === name)!.replicas.get(logOfPlacement(placement));
        return replica !== undefined && replica.live.state.position === replica.log.last;
      }),
    );
    return isPlaced && this.#watcher.isAtEnd();
  }

  #unsettled(): string {
    const { reshapes = [], partitions } = this.#document.now;
    const busy = this.#clients.filter(({ isIdle }) => !isIdle).length;
    const late = partitions.flatMap((placement) =>
      placement.replicas.map((name) => {
        const replica = this.#nodes.find((node) => node.name === name)!.replicas.get(logOfPlacement(placement));
        return `${name} ${logOfPlacement(placement)} ${replica?.live.state.position} of ${replica?.log.last}`;
      }),
    );
    return `${this.world.waiting} messages, ${reshapes.length} reshapes, ${busy} clients, watch ${this.#watcher.isAtEnd()}, ${late.join('; ')}`;
  }

  #check(): void {
    const { world } = this;
    const referee = this.#referee;
    const { partitions } = this.#document.now;
    referee.checkAllOwned(new Map(partitions.map((placement) => [logOfPlacement(placement), placement.slots])));
    referee.checkContent([mainStore, clearedStore, quotaStore]);
    for (const node of this.#nodes) {
      node.clean();
      for (const replica of node.replicas.values()) {
        node.verify(replica);
        if (replica.live.state.position === replica.log.last)
          referee.checkRecords(`${node.name}'s replica`, replica.log, replica.live);
      }
    }
    this.#watcher.check();
    const owners = [...referee.all.values()].filter((each) => slotCountOf(writable(each)) > 0);
    const allowance = owners.reduce(
      (sum, { replica }) => sum + (replica.state.stores.get(quotaStore)?.allowanceEntries ?? 0),
      0,
    );
    if (allowance !== quotaEntries)
      world.wrong(`partitions may have ${allowance} entries of a quota of ${quotaEntries}`);
  }
}
