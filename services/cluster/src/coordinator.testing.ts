// A cluster as a coordinator meets it, in one process and without waiting: nodes that build, serve and
// lose replicas, clocks that a test moves, stores that fail. Everything random comes from a seed.
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { StateStoreError, limits } from '@statestore/core';
import type { Clock } from './clock.ts';
import { MemoryTopologyStore } from './memory-topology-store.ts';
import type { NodeReport, ReplicaReport } from './node-registry.ts';
import type { TopologyStore } from './topology-store.ts';

export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  elapsedMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + ms, run };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settled();
      const due = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#nowMs = due.atMs;
      due.run();
    }
    this.#nowMs = untilMs;
    await settled();
  }
}

/** What follows without waiting has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** Mulberry32 (Tommy Ettinger, public domain): 0 ≤ n < 1. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface SimReplica {
  readonly log: PartitionLog;
  /** Turns until all is copied. */
  missing: number;
}

export class SimNode {
  readonly name: string;
  readonly zone: string;
  up = true;
  draining = false;
  /** Turns that a copy takes. */
  copyTurns = 3;
  readonly replicas = new Map<number, SimReplica>();
  epoch = 0n;
  #destroyed = { atMs: -Infinity, held: new Set<number>() };
  #boot = 1;
  #count = 0;

  constructor(name: string, zone = 'z') {
    this.name = name;
    this.zone = zone;
  }

  holds(partition: number): boolean {
    return this.replicas.get(partition)?.missing === 0;
  }

  stop(): void {
    this.up = false;
  }

  start(): void {
    if (this.up) return;
    this.up = true;
    this.#boot++;
    this.#count = 0;
    this.epoch = 0n;
  }

  /** Its disk is gone. */
  destroy(nowMs: number): void {
    this.stop();
    this.#destroyed = { atMs: nowMs, held: new Set([...this.replicas.keys()].filter((each) => this.holds(each))) };
    this.replicas.clear();
  }

  /** Whether it held the partition until a moment ago: nobody can know better yet. */
  seemsToHold(partition: number, nowMs: number): boolean {
    if (this.holds(partition)) return true;
    const { atMs, held } = this.#destroyed;
    return nowMs - atMs <= limits.nodeSilenceMs + limits.registryGatherMs && held.has(partition);
  }

  /** What it makes of the topology when it sees it. `peers`: whom it could copy from. */
  follow(topology: Topology, peers: readonly SimNode[]): void {
    if (!this.up || topology.epoch < this.epoch) return;
    this.epoch = topology.epoch;
    for (const placement of topology.partitions) this.#followOne(placement, topology.epoch, peers);
    this.#letGo(topology);
  }

  /** Of partitions that are not there any more; not of those that a split is to make, or that were merged a while ago. */
  #letGo({ partitions, reshapes = [], retired = [] }: Topology): void {
    const known = new Set(partitions.map(({ partition }) => partition));
    for (const { kind, target } of reshapes) if (kind === 'split') known.add(target);
    for (const { placement, ended } of retired) if (!ended) known.add(placement.partition);
    for (const partition of this.replicas.keys()) if (!known.has(partition)) this.replicas.delete(partition);
  }

  #followOne(placement: PartitionPlacement, epoch: bigint, peers: readonly SimNode[]): void {
    const { partition, replicas, joining = [], log } = placement;
    if (log === undefined) return;
    const mine = this.replicas.get(partition);
    if (!replicas.includes(this.name) && !joining.includes(this.name)) this.replicas.delete(partition);
    else if (mine === undefined || mine.log.incarnation !== log.incarnation)
      this.replicas.set(partition, { log, missing: epoch === 1n ? 0 : this.copyTurns });
    else if (mine.missing > 0) {
      const isSource = (peer: SimNode): boolean => peer.up && replicas.includes(peer.name) && peer.holds(partition);
      if (peers.some(isSource)) mine.missing--;
    }
  }

  report(): NodeReport {
    return {
      name: this.name,
      address: `${this.name}:1`,
      zone: this.zone,
      version: '1',
      boot: `${this.name} ${this.#boot}`,
      count: ++this.#count,
      epoch: String(this.epoch),
      draining: this.draining,
      disk: { freeBytes: 1, totalBytes: 1 },
      replicas: [...this.replicas].map(([partition, replica]) => replicaReport(partition, replica)),
    };
  }
}

function replicaReport(partition: number, { log, missing }: SimReplica): ReplicaReport {
  return {
    partition,
    state: missing === 0 ? 'running' : 'copying',
    reason: '',
    incarnation: log.incarnation,
    appliedPosition: '7',
    storedPosition: '7',
    lag: 0,
    chain: 'c',
    stateHash: 's',
    entries: 0,
    bytes: 0,
  };
}

export interface StoreFaults {
  /** Probability of each; 0: never. */
  readonly refused: number;
  readonly unknown: number;
  /** A read that answers what was there a change ago. */
  readonly stale: number;
}

/** A store that many share, over which calls take a while and fail. */
export class FaultyStore implements Pick<TopologyStore, 'read' | 'replace'> {
  readonly store = new MemoryTopologyStore();
  faults: StoreFaults = { refused: 0, unknown: 0, stale: 0 };
  readonly #random: () => number;
  readonly #onChange: (before: Topology | undefined, after: Topology) => void;
  #present: Topology | undefined;
  #former: Topology | undefined;

  constructor(random: () => number, onChange: (before: Topology | undefined, after: Topology) => void) {
    this.#random = random;
    this.#onChange = onChange;
  }

  get present(): Topology | undefined {
    return this.#present;
  }

  async read(): Promise<Topology | undefined> {
    await this.#while();
    if (this.#random() < this.faults.refused) throw new StateStoreError('unavailable', 'the store is away');
    return this.#random() < this.faults.stale ? this.#former : this.store.read();
  }

  async replace(next: Topology): Promise<'replaced' | 'conflict'> {
    await this.#while();
    if (this.#random() < this.faults.refused) throw new StateStoreError('unavailable', 'the store is away');
    const isUnknown = this.#random() < this.faults.unknown;
    if (isUnknown && this.#random() < 0.5) throw new StateStoreError('outcome_unknown', 'no answer, and nothing done');
    const outcome = await this.store.replace(next);
    if (outcome === 'replaced') {
      this.#former = this.#present;
      this.#present = next;
      this.#onChange(this.#former, next);
    }
    if (isUnknown) throw new StateStoreError('outcome_unknown', 'no answer');
    return outcome;
  }

  async #while(): Promise<void> {
    for (let turns = Math.floor(this.#random() * 4); turns > 0; turns--) await Promise.resolve();
  }
}

/** As a coordinator wants it. */
export function topologyStoreOver(faulty: FaultyStore): TopologyStore {
  return {
    read: () => faulty.read(),
    replace: (next) => faulty.replace(next),
    restore: (topology) => faulty.store.restore(topology),
    watch: (onTopology) => faulty.store.watch(onTopology),
    secret: () => faulty.store.secret(),
  };
}
