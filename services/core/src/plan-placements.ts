// The state that planning works on: which node is to hold a replica of which partition, counted both ways,
// and at its end the changes that lead there. Nodes and partitions are indexes here: there may be
// 1,000 of the one and 4,096 of the other.
import type { PlanNode } from './plan.ts';
import type { PartitionPlacement } from './topology.ts';

export interface NodeState {
  readonly index: number;
  readonly name: string;
  readonly zone: number;
  /** Keeps what it has. */
  readonly accepts: boolean;
  readonly live: boolean;
  /** May be given more, and may be relieved. */
  readonly usable: boolean;
  /** Indexes of partitions. */
  readonly holds: Set<number>;
}

export interface PartitionState {
  readonly index: number;
  readonly placement: PartitionPlacement;
  /** Nodes that are to hold a replica, as planned so far. All of them accept. */
  readonly holders: NodeState[];
  /** Nodes that have one, or build one: these cost nothing. */
  readonly had: ReadonlySet<NodeState>;
  readonly joining: ReadonlySet<NodeState>;
  /** Have one that is to go: taking it back costs nothing either, and is done only where one is missing. */
  readonly leaving: ReadonlySet<NodeState>;
  /** Nothing is to be changed about it. */
  readonly fixed: boolean;
}

export interface PartitionChanges {
  readonly partition: number;
  readonly adds: readonly string[];
  readonly removes: readonly string[];
}

/** A partition after the changes. */
export interface FinalPlacement {
  readonly partition: number;
  /** The first one is preferred. */
  readonly replicas: readonly NodeState[];
  /** Those of them that should be. */
  readonly candidates: readonly NodeState[];
}

export class Placements {
  readonly nodes: readonly NodeState[];
  readonly zones: number;
  readonly partitions: readonly PartitionState[];
  /** Replicas of each partition that can be: no more than nodes that accept. */
  readonly factor: number;
  /** +1 with each change of who holds what. */
  version = 0;
  readonly #wanted: number;
  readonly #byName: ReadonlyMap<string, NodeState>;

  /** `fixed`: partitions that stay as they are. */
  /* oxlint-disable-next-line max-params -- what it is made of */
  constructor(
    partitions: readonly PartitionPlacement[],
    replicationFactor: number,
    nodes: readonly PlanNode[],
    fixed: ReadonlySet<number> = new Set(),
  ) {
    const byName = nodeStates(partitions, nodes);
    this.#byName = byName;
    this.#wanted = replicationFactor;
    this.nodes = [...byName.values()];
    this.zones = this.nodes.reduce((count, { zone }) => Math.max(count, zone + 1), 0);
    this.factor = Math.min(replicationFactor, this.nodes.filter(({ accepts }) => accepts).length);
    this.partitions = partitions.map((placement, index) => {
      const joining = new Set(this.#states(placement.joining));
      const leaving = new Set(this.#states(placement.leaving));
      const stay = this.#states(placement.replicas).filter((node) => !leaving.has(node));
      const had = new Set([...stay, ...joining]);
      return { index, placement, holders: [], had, joining, leaving, fixed: fixed.has(placement.partition) };
    });
    for (const partition of this.partitions) {
      for (const node of partition.had) if (node.accepts) this.add(partition, node);
    }
  }

  add(partition: PartitionState, node: NodeState): void {
    this.version++;
    partition.holders.push(node);
    node.holds.add(partition.index);
  }

  drop(partition: PartitionState, node: NodeState): void {
    this.version++;
    partition.holders.splice(partition.holders.indexOf(node), 1);
    node.holds.delete(partition.index);
  }

  move(partition: PartitionState, from: NodeState, to: NodeState): void {
    this.drop(partition, from);
    this.add(partition, to);
  }

  /** The partition is to be on these nodes. */
  follow(partition: PartitionState, names: readonly string[]): void {
    const home = this.#states(names);
    for (const node of partition.holders.filter((each) => !home.includes(each))) this.drop(partition, node);
    for (const node of home) if (!partition.holders.includes(node)) this.add(partition, node);
  }

  /** Of the partitions that there is anything to change about. */
  *changes(): Generator<PartitionChanges> {
    for (const state of this.partitions) {
      if (state.fixed) continue;
      const { placement, had, joining, leaving } = state;
      const adds = state.holders.filter((node) => !had.has(node) || joining.has(node));
      const stays = this.#stays(state);
      const removes = [...had, ...leaving].filter((node) => !state.holders.includes(node) && !stays.includes(node));
      if (adds.length + removes.length === 0) continue;
      yield { partition: placement.partition, adds: adds.map(nameOf), removes: removes.map(nameOf) };
    }
  }

  finals(): readonly FinalPlacement[] {
    return this.partitions.map((state) => {
      const replicas = this.#finalReplicas(state);
      const live = replicas.filter((node) => node.live);
      const first = replicas[0];
      const isLeft = state.fixed && first?.live === true;
      const best = isLeft ? [first] : live.filter((node) => state.holders.includes(node));
      return { partition: state.placement.partition, replicas, candidates: best.length > 0 ? best : live };
    });
  }

  /** In the order that they have once the changes were made. */
  #finalReplicas(state: PartitionState): readonly NodeState[] {
    const stays = this.#stays(state);
    const remain = (node: NodeState): boolean => state.holders.includes(node) || stays.includes(node);
    const first = this.#states(state.placement.replicas).filter(remain);
    return [...first, ...state.holders.filter((node) => !first.includes(node))];
  }

  #states(names: readonly string[] = []): readonly NodeState[] {
    return names.flatMap((name) => this.#byName.get(name) ?? []);
  }

  /**
   * Replicas that should go and have to stay for now: where there are not enough nodes to take theirs, and where
   * those that remain are not live, so that fewer live ones would be left.
   */
  #stays({ placement, holders, had, leaving }: PartitionState): readonly NodeState[] {
    const live = (nodes: readonly NodeState[]): number => nodes.filter((node) => node.live).length;
    const serving = [...had, ...leaving].filter(({ name }) => placement.replicas.includes(name));
    const liveWanted = Math.min(this.#wanted, live([...new Set([...serving, ...holders])]));
    const stays: NodeState[] = [];
    const going = serving
      .filter((node) => !holders.includes(node))
      .sort((a, b) => Number(b.live) - Number(a.live) || Number(leaving.has(a)) - Number(leaving.has(b)));
    for (const node of going) {
      const isNeeded = holders.length + stays.length < this.#wanted;
      const isLiveOneNeeded = node.live && live(holders) + live(stays) < liveWanted;
      if (isNeeded || isLiveOneNeeded) stays.push(node);
    }
    return stays;
  }
}

/** While a replica is silent, the others are left where they are: none of them could be given up. */
export function mayLeave({ holders, had }: PartitionState, node: NodeState): boolean {
  return !had.has(node) || holders.every((holder) => holder.live);
}

/** The partition is in no fewer zones afterwards. */
export function mayGo({ holders }: PartitionState, from: NodeState, zone: number): boolean {
  return from.zone === zone || inZone(holders, zone) < inZone(holders, from.zone);
}

export function inZone(holders: readonly NodeState[], zone: number): number {
  let count = 0;
  for (const holder of holders) if (holder.zone === zone) count++;
  return count;
}

function nameOf({ name }: NodeState): string {
  return name;
}

/** In the order of their names, so that the order in which they were given decides nothing. */
function nodeStates(partitions: readonly PartitionPlacement[], nodes: readonly PlanNode[]): Map<string, NodeState> {
  const known = new Map(nodes.map((node) => [node.name, node]));
  for (const { replicas, joining = [] } of partitions) {
    for (const name of [...replicas, ...joining]) {
      if (!known.has(name)) known.set(name, { name, zone: '', accepts: false, live: false });
    }
  }
  const zones = new Map<string, number>();
  const sorted = [...known.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return new Map(
    sorted.map(({ name, zone, accepts, live }, index) => {
      if (!zones.has(zone)) zones.set(zone, zones.size);
      const usable = accepts && live;
      return [name, { index, name, zone: zones.get(zone)!, accepts, live, usable, holds: new Set<number>() }];
    }),
  );
}
