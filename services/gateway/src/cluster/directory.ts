// Which nodes there are, how they are connected, and which of them hold which partition, kept up to date by
// whoever watches the registry and the topology (open.ts). What becomes of a request is dispatcher.ts.
import type { ObservedNode } from '@statestore/cluster';
import { StateStoreError, TopologyOrder, type Topology } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import type { NodeDescription, NodeDirectory } from '../options.ts';
import { ClusterService } from './cluster-service.ts';
import { Dispatcher } from './dispatcher.ts';
import { type Connect, Member, type NodeLink } from './member.ts';
import { ClusterMetrics, type NodeConnection } from './metrics.ts';
import { NodeView } from './node-view.ts';
import { PartitionReplicas, type Surroundings } from './replicas.ts';
import { type RoutingTime, systemTime } from './time.ts';
import { defaultTiming, type RoutingTiming } from './timing.ts';

export interface ClusterDirectoryOptions {
  readonly connect: Connect;
  /** Failure domain of this gateway: eventual reads go to a node of the same one. Default: none. */
  readonly zone?: string;
  readonly timing?: Partial<RoutingTiming>;
  readonly time?: RoutingTime;
  readonly metrics?: ClusterMetrics;
  /** A node did not have what the topology says: a newer one should be looked for. */
  readonly onOutdated?: () => void;
}

interface Retiring {
  readonly link: NodeLink;
  readonly closeAt: number;
}

export class ClusterDirectory implements NodeDirectory, Surroundings {
  readonly timing: RoutingTiming;
  readonly zone: string;
  readonly metrics: ClusterMetrics;
  version = 0;
  readonly #connect: Connect;
  readonly #onOutdated: (() => void) | undefined;
  readonly #time: RoutingTime;
  readonly #dispatcher: Dispatcher;
  readonly #service: ClusterService;
  readonly #members = new Map<string, Member>();
  readonly #views = new Map<string, NodeView>();
  readonly #partitions = new Map<number, PartitionReplicas>();
  /** Nodes that looked stuck at the last tick. */
  #suspects = new Set<Member>();
  #observed: ReadonlyMap<string, ObservedNode> = new Map();
  readonly #order = new TopologyOrder();
  /** Partitions of each node, by the topology. */
  #held: ReadonlyMap<string, ReadonlySet<number>> = new Map();
  readonly #retiring = new Set<Retiring>();
  #closing: Promise<void> | undefined;

  constructor(options: ClusterDirectoryOptions) {
    this.timing = { ...defaultTiming, ...options.timing };
    this.zone = options.zone ?? '';
    this.metrics = options.metrics ?? new ClusterMetrics();
    this.#connect = options.connect;
    this.#onOutdated = options.onOutdated;
    this.#time = options.time ?? systemTime;
    this.#dispatcher = new Dispatcher({
      timing: this.timing,
      time: this.#time,
      metrics: this.metrics,
      onTick: () => this.#tick(),
      onChanged: () => this.#changed(),
      onOutdated: () => this.refresh(),
    });
    this.#service = new ClusterService({
      dispatcher: this.#dispatcher,
      replicasOf: (partition) => this.#replicasOf(partition),
      nodes: () => this.nodes(),
    });
  }

  // What the gateway asks.

  /** One for all partitions: it finds the replicas itself. */
  nodeOf(): NodeService {
    return this.#service;
  }

  nodes(): readonly NodeView[] {
    return [...this.#views.values()];
  }

  describe(): readonly NodeDescription[] {
    return [...this.#observed.values()].map(({ report, live }) => {
      const { name, address, zone, version, draining, replicas, reshapes } = report;
      const connected = this.#members.get(name)?.connected ?? false;
      return { name, address, zone, version, live, connected, draining, replicas, reshapes };
    });
  }

  refresh(): void {
    this.#onOutdated?.();
  }

  /** For metrics. */
  connections(): readonly NodeConnection[] {
    return [...this.#members.values()].map(({ name, live, link }) => {
      const { openConnections, silentMs, inFlight } = link;
      return { name, live, openConnections, silentMs, inFlight };
    });
  }

  /** Requests that wait for an answer. */
  get waiting(): number {
    return this.#dispatcher.waiting;
  }

  // What replicas.ts asks.

  nowMs(): number {
    return this.#time.elapsedMs();
  }

  member(name: string): Member | undefined {
    return this.#members.get(name);
  }

  #replicasOf(partition: number): PartitionReplicas {
    let replicas = this.#partitions.get(partition);
    if (replicas === undefined) this.#partitions.set(partition, (replicas = new PartitionReplicas(partition, this)));
    return replicas;
  }

  // What is new.

  /** An older one is ignored. */
  updateTopology(topology: Topology): void {
    if (this.#closing !== undefined || !this.#order.isLater(topology)) return;
    this.#order.take(topology);
    const placements = new Map(topology.partitions.map((placement) => [placement.partition, placement]));
    const retired = new Set<number>();
    // Those that were merged away are asked for a while still: by watches, and what became of requests.
    for (const { placement, ended } of topology.retired ?? []) {
      if (ended === true) continue;
      placements.set(placement.partition, placement);
      retired.add(placement.partition);
    }
    const held = new Map<string, Set<number>>();
    for (const { partition, replicas } of topology.partitions) {
      for (const node of replicas) held.set(node, (held.get(node) ?? new Set()).add(partition));
    }
    this.#held = held;
    for (const partition of placements.keys()) this.#replicasOf(partition);
    for (const [partition, replicas] of this.#partitions) {
      replicas.place(placements.get(partition), retired.has(partition));
    }
    this.#connectMembers();
    this.#news();
  }

  updateNodes(observed: ReadonlyMap<string, ObservedNode>): void {
    if (this.#closing !== undefined) return;
    this.#observed = observed;
    const lifted = this.#connectMembers();
    if (lifted) this.#news();
    else this.#changed();
  }

  /** Returns whether there is news that those who wait have waited for. */
  #connectMembers(): boolean {
    let news = false;
    for (const [name, node] of this.#observed) {
      const member = this.#members.get(name);
      if (!this.#isWanted(name, node)) continue;
      if (member !== undefined && member.address === node.report.address) {
        const before = member.report;
        member.observe(node);
        if (before !== node.report && this.#liftPenalties(member, before.boot)) news = true;
      } else {
        if (member !== undefined) this.#retire(member);
        const link = this.#connect(node.report.address, () => this.#news());
        this.#members.set(name, new Member(node, link));
        this.#views.set(name, this.#views.get(name) ?? this.#viewOf(name));
        news = true;
      }
    }
    for (const [name, member] of this.#members) {
      const node = this.#observed.get(name);
      if (node !== undefined && this.#isWanted(name, node)) continue;
      this.#members.delete(name);
      this.#views.delete(name);
      this.#retire(member);
      news = true;
    }
    return news;
  }

  #viewOf(name: string): NodeView {
    return new NodeView(() => this.#members.get(name), {
      timing: this.timing,
      time: this.#time,
      holds: (partition) => this.#held.get(name)?.has(partition) === true,
    });
  }

  /** A node that neither lives nor is to hold anything may be gone for good. */
  #isWanted(name: string, { live }: ObservedNode): boolean {
    return live || this.#held.has(name);
  }

  /** Of replicas that began to run since the node's report before, and of all where the process is another one. */
  #liftPenalties(member: Member, bootBefore: string): boolean {
    let lifted = false;
    for (const partition of this.#held.get(member.name) ?? []) {
      const replica = this.#replicasOf(partition).replicas.find(({ node }) => node === member.name);
      const began = member.began(partition) || member.report.boot !== bootBefore;
      if (replica === undefined || !began) continue;
      const { log, local } = replica.health;
      if ([log.lift(), local.lift()].includes(true)) lifted = true;
    }
    return lifted;
  }

  /** Its link takes no new requests, and is closed when it has the answers to the old ones. */
  #retire(member: Member): void {
    const { now } = this.#dispatcher;
    this.#retiring.add({ link: member.link, closeAt: now + this.timing.drainMs });
    for (const partition of this.#held.get(member.name) ?? []) {
      const replica = this.#replicasOf(partition).replicas.find(({ node }) => node === member.name);
      // Asked of others as well: nobody knows whether it will ever answer.
      if (replica !== undefined) for (const health of Object.values(replica.health)) health.stuckUntil = now;
    }
    this.#dispatcher.needTicks();
  }

  #changed(): void {
    this.version++;
  }

  /** Something that those who pause may have waited for. */
  #news(): void {
    this.#changed();
    for (const replicas of this.#partitions.values()) replicas.moveFollowers();
    this.#dispatcher.resumeAll();
  }

  /** Returns whether there is something to watch besides requests. */
  #tick(): boolean {
    const suspects = new Set([...this.#members.values()].filter((member) => member.suspect(this.timing.suspectMs)));
    if (suspects.size !== this.#suspects.size || [...suspects].some((member) => !this.#suspects.has(member))) {
      this.#suspects = suspects;
      this.#changed();
    }
    let following = false;
    for (const replicas of this.#partitions.values()) {
      if (replicas.followers.size === 0) continue;
      following = true;
      replicas.moveFollowers();
    }
    for (const retiring of this.#retiring) {
      const { link, closeAt } = retiring;
      if (link.inFlight > 0 && this.#dispatcher.now < closeAt) continue;
      this.#retiring.delete(retiring);
      void link.close();
    }
    return following || this.#retiring.size > 0;
  }

  /** Rejects what still waits, closes every link. Idempotent: every call resolves when that is done. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#dispatcher.close(new StateStoreError('shutting_down', 'the gateway is shutting down'));
    const links = [...this.#retiring, ...this.#members.values()].map(({ link }) => link);
    this.#retiring.clear();
    this.#members.clear();
    this.#changed();
    await Promise.all(links.map((link) => link.close()));
  }
}
