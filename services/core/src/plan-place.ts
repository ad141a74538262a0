// Chooses who holds which replica: drops what is too much, fills what is missing, spreads over zones, and
// then moves single replicas from nodes above their target to nodes below, directly or over others.
// Within a zone a direct move always exists (who holds more has one that the other has not), and over
// zones a chain of moves does (an exchange argument); so the targets are met but where nodes that are
// silent stand in the way.
//
// A replica that this plan places costs nothing to place elsewhere; such ones are moved first. So as many
// copies are made as targets and losses need, and hardly any more.
import type { NodeState, PartitionState, Placements } from './plan-placements.ts';
import { inZone, mayGo, mayLeave } from './plan-placements.ts';
import { targetsOf } from './plan-targets.ts';

/** Three are enough as a rule; a bound, should they go round in a circle. */
const roundsMax = 8;

interface Hop {
  readonly partition: PartitionState;
  readonly from: NodeState;
  readonly to: NodeState;
}

/** By zone. */
type NodeSets = ReadonlyMap<number, Set<NodeState>>;

/** `isEven`: replicas also move for the sake of evenness, and of zones; else only those that have to. */
export function place(placements: Placements, isEven = true): void {
  new Placing(placements, isEven).run();
}

class Placing {
  readonly #placements: Placements;
  readonly #partitions: readonly PartitionState[];
  readonly #isEven: boolean;
  readonly #usable: readonly NodeState[];
  readonly #byZone: ReadonlyMap<number, readonly NodeState[]>;
  #targets: Int32Array;
  #mayCallBack = false;

  constructor(placements: Placements, isEven: boolean) {
    this.#placements = placements;
    this.#partitions = placements.partitions.filter(({ fixed }) => !fixed);
    this.#isEven = isEven;
    this.#usable = placements.nodes.filter((node) => node.usable);
    this.#byZone = Map.groupBy(this.#usable, ({ zone }) => zone);
    this.#targets = new Int32Array(placements.nodes.length);
  }

  run(): void {
    const { factor } = this.#placements;
    for (const partition of this.#partitions) {
      while (partition.holders.length > factor) if (!this.#dropSilent(partition)) break;
    }
    this.#settle();
    // What is even now is even with those who leave left out, too; what is not may be with one called back.
    this.#mayCallBack = true;
    this.#settle();
  }

  /** Targets depend on who holds what, a little: where they settle, planning the result finds nothing to do. */
  #settle(): void {
    const { factor } = this.#placements;
    const partitions = this.#partitions;
    for (let round = 0; round < roundsMax; round++) {
      this.#targets = targetsOf(this.#placements);
      const before = this.#placements.version;
      for (const partition of partitions) while (partition.holders.length > factor) this.#dropOne(partition);
      for (const partition of partitions) while (partition.holders.length < factor) if (!this.#addOne(partition)) break;
      if (this.#isEven) {
        for (const partition of partitions) this.#spread(partition);
        this.#level();
      }
      if (this.#placements.version === before) break;
    }
  }

  /** How many replicas the node has too many; negative: has room for. */
  #excess(node: NodeState): number {
    return node.holds.size - this.#targets[node.index]!;
  }

  /** Who was told to leave is called back last, lest two ways of being even alternate. */
  #mayTake({ holders, leaving }: PartitionState, node: NodeState): boolean {
    return !holders.includes(node) && (this.#mayCallBack || !leaving.has(node));
  }

  #dropSilent(partition: PartitionState): boolean {
    const silent = partition.holders.findLast((node) => !node.usable);
    if (silent !== undefined) this.#placements.drop(partition, silent);
    return silent !== undefined;
  }

  /** One that others of its zone make superfluous; then where there are most; then one that is not built yet. */
  #dropOne(partition: PartitionState): void {
    const { holders, joining } = partition;
    const [first] = [...holders].sort(
      (a, b) =>
        inZone(holders, b.zone) - inZone(holders, a.zone) ||
        this.#excess(b) - this.#excess(a) ||
        Number(joining.has(b)) - Number(joining.has(a)),
    );
    this.#placements.drop(partition, first!);
  }

  /** To a node that was about to leave, else in the zone with fewest, where there is most room. */
  #addOne(partition: PartitionState): boolean {
    const { holders, leaving } = partition;
    let best: NodeState | undefined;
    for (const node of this.#usable) {
      if (holders.includes(node)) continue;
      const isBetter =
        best === undefined ||
        (Number(leaving.has(best)) - Number(leaving.has(node)) ||
          inZone(holders, node.zone) - inZone(holders, best.zone) ||
          this.#excess(node) - this.#excess(best) ||
          scatter(partition, node) - scatter(partition, best)) < 0;
      if (isBetter) best = node;
    }
    if (best === undefined) return false;
    this.#placements.add(partition, best);
    return true;
  }

  #spread(partition: PartitionState): void {
    for (;;) {
      let best: Hop | undefined;
      let most = -Infinity;
      for (const hop of this.#spreadingMoves(partition)) {
        const cost = partition.had.has(hop.from) ? 1 : 0;
        const gain = this.#excess(hop.from) - this.#excess(hop.to) - cost;
        if (gain <= most) continue;
        best = hop;
        most = gain;
      }
      if (best === undefined) return;
      this.#placements.move(partition, best.from, best.to);
    }
  }

  /** From a zone that has at least two more of its replicas than the one it comes to. */
  *#spreadingMoves(partition: PartitionState): Generator<Hop> {
    const { holders } = partition;
    for (const from of holders) {
      const crowd = inZone(holders, from.zone);
      if (crowd < 2 || !from.usable || !mayLeave(partition, from)) continue;
      for (const [zone, nodes] of this.#byZone) {
        if (crowd - inZone(holders, zone) < 2) continue;
        for (const to of nodes) if (this.#mayTake(partition, to)) yield { partition, from, to };
      }
    }
  }

  /** What costs nothing first, be it a chain; then single moves, and chains where there is none. */
  #level(): void {
    const above = this.#usable.filter((node) => this.#excess(node) > 0);
    above.sort((a, b) => this.#excess(b) - this.#excess(a));
    for (const from of above) while (this.#excess(from) > 0) if (!this.#relieveByChain(from, 'free')) break;
    for (const from of above) {
      while (this.#excess(from) > 0) if (!this.#relieve(from) && !this.#relieveByChain(from, 'any')) break;
    }
  }

  #relieve(from: NodeState): boolean {
    const below = this.#zoned((node) => this.#excess(node) < 0);
    for (const { partition, to } of this.#moves(from, below, 'any')) {
      this.#placements.move(partition, from, to);
      return true;
    }
    return false;
  }

  /** The shortest chain of moves that ends at a node below its target. */
  #relieveByChain(from: NodeState, which: 'free' | 'any'): boolean {
    if (!this.#usable.some((node) => this.#excess(node) < 0)) return false;
    const cameFrom = new Map<NodeState, Hop>();
    const unseen = this.#zoned((node) => node !== from);
    for (let ring: NodeState[] = [from]; ring.length > 0;) {
      const next: NodeState[] = [];
      for (const node of ring) {
        for (const hop of this.#moves(node, unseen, which)) {
          unseen.get(hop.to.zone)!.delete(hop.to);
          cameFrom.set(hop.to, hop);
          if (this.#excess(hop.to) < 0) return this.#follow(hop.to, from, cameFrom);
          next.push(hop.to);
        }
      }
      ring = next;
    }
    return false;
  }

  /** Usable nodes by zone, those with most room first. */
  #zoned(isOne: (node: NodeState) => boolean): NodeSets {
    const nodes = this.#usable.filter(isOne).sort((a, b) => this.#excess(a) - this.#excess(b));
    const zones = new Map<number, Set<NodeState>>();
    for (const node of nodes) {
      const zone = zones.get(node.zone);
      if (zone === undefined) zones.set(node.zone, new Set([node]));
      else zone.add(node);
    }
    return zones;
  }

  /** Where the replicas of a node may go; those that it has last, of these those that are not built yet last. */
  *#moves(from: NodeState, to: NodeSets, which: 'free' | 'any'): Generator<Hop> {
    const { partitions } = this.#placements;
    for (const isJoining of [false, true]) {
      for (const index of from.holds) {
        const partition = partitions[index]!;
        if (partition.fixed || partition.joining.has(from) !== isJoining || !mayLeave(partition, from)) continue;
        if (which === 'free' && partition.had.has(from)) yield* this.#exchanges(partition, from, to);
        else yield* this.#movesOf(partition, from, to);
      }
    }
  }

  /** To those that have one as well, or had: they need not give it up, and `from` does. */
  *#exchanges(partition: PartitionState, from: NodeState, to: NodeSets): Generator<Hop> {
    for (const node of [...partition.had, ...partition.leaving]) {
      if (!node.usable || to.get(node.zone)?.has(node) !== true) continue;
      if (mayGo(partition, from, node.zone) && this.#mayTake(partition, node)) yield { partition, from, to: node };
    }
  }

  *#movesOf(partition: PartitionState, from: NodeState, to: NodeSets): Generator<Hop> {
    for (const [zone, nodes] of to) {
      if (nodes.size === 0 || !mayGo(partition, from, zone)) continue;
      for (const node of nodes) if (this.#mayTake(partition, node)) yield { partition, from, to: node };
    }
  }

  /** False where the moves stand in each other's way. */
  #follow(end: NodeState, start: NodeState, cameFrom: ReadonlyMap<NodeState, Hop>): boolean {
    const hops: Hop[] = [];
    for (let to = end; to !== start;) {
      const hop = cameFrom.get(to)!;
      hops.push(hop);
      to = hop.from;
    }
    // A partition that moves twice may not be where the first of its moves was found any more.
    if (new Set(hops.map(({ partition }) => partition)).size < hops.length) return false;
    for (const { partition, from, to } of hops) this.#placements.move(partition, from, to);
    return true;
  }
}

/** So that the peers of a node's replicas are many: when it fails, many help to replace it. */
function scatter({ placement }: PartitionState, { index }: NodeState): number {
  let mixed = Math.imul(placement.partition + 1, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
