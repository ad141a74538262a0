// Whom gateways prefer as proposer: each partition one of its live replicas, spread so that no node has
// more than one more of them than it must. A node with too many hands one on, if need be over others: a
// chain along which each passes on a partition that the next one holds too. Where no such chain is left,
// nothing is more even (Harvey, Ladner, Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing).
import type { FinalPlacement, NodeState } from './plan-placements.ts';

interface Choice {
  readonly placement: FinalPlacement;
  chosen: NodeState | undefined;
}

/** `choice` is to be handed on to `to`. */
interface Link {
  readonly choice: Choice;
  readonly to: NodeState;
}

export interface Preference {
  readonly partition: number;
  readonly node: string;
}

/** The preferences that are to change; each one, in this order, makes it more even or no less. */
export function preferEvenly(placements: readonly FinalPlacement[]): readonly Preference[] {
  const preferring = new Preferring(placements);
  preferring.level();
  return preferring.changes();
}

class Preferring {
  readonly #chosenBy = new Map<NodeState, Set<Choice>>();
  /**
   * From these no chain leads to one that has two fewer: one was looked for in vain from a node that had as
   * many or more, and reached them. True in a round in which nothing changes, and that is the one that decides.
   */
  readonly #exhausted = new Set<NodeState>();
  /** In the order of their last change. */
  readonly #changed = new Set<Choice>();
  /** How many may be chosen for anything. */
  readonly #nodes: number;

  constructor(placements: readonly FinalPlacement[]) {
    this.#nodes = new Set(placements.flatMap(({ candidates }) => candidates)).size;
    const undecided: Choice[] = [];
    for (const placement of placements) {
      const { replicas, candidates } = placement;
      const choice: Choice = { placement, chosen: undefined };
      if (replicas[0] !== undefined && candidates.includes(replicas[0])) this.#put(choice, replicas[0]);
      else if (candidates.length > 0) undecided.push(choice);
    }
    this.#changed.clear();
    for (const choice of undecided) {
      this.#put(
        choice,
        choice.placement.candidates.reduce((a, b) => (this.#count(b) < this.#count(a) ? b : a)),
      );
    }
  }

  level(): void {
    for (let improved = true; improved;) {
      improved = false;
      this.#exhausted.clear();
      const nodes = [...this.#chosenBy.keys()];
      nodes.sort((a, b) => this.#count(b) - this.#count(a) || a.index - b.index);
      for (const node of nodes) {
        for (let chain = this.#chainFrom(node); chain !== undefined; chain = this.#chainFrom(node)) {
          for (const { choice, to } of chain) this.#put(choice, to);
          improved = true;
        }
      }
    }
  }

  changes(): readonly Preference[] {
    return [...this.#changed].flatMap(({ placement: { partition, replicas }, chosen }) =>
      chosen === undefined || replicas[0] === chosen ? [] : [{ partition, node: chosen.name }],
    );
  }

  #count(node: NodeState): number {
    return this.#chosenBy.get(node)?.size ?? 0;
  }

  #put(choice: Choice, node: NodeState): void {
    if (choice.chosen !== undefined) this.#chosenBy.get(choice.chosen)?.delete(choice);
    choice.chosen = node;
    const those = this.#chosenBy.get(node);
    if (those === undefined) this.#chosenBy.set(node, new Set([choice]));
    else those.add(choice);
    this.#changed.delete(choice);
    this.#changed.add(choice);
  }

  /**
   * A shortest chain to a node that has at least two fewer, of these to the one that has fewest. Its last
   * link comes first.
   */
  #chainFrom(start: NodeState): readonly Link[] | undefined {
    const enough = this.#count(start) - 2;
    if (enough < 0 || this.#exhausted.has(start)) return undefined;
    const links = new Map<NodeState, Link>();
    for (let ring = [start]; ring.length > 0;) {
      const next: NodeState[] = [];
      for (const node of ring) this.#reach(node, start, links, next);
      if (next.length === 0) break;
      const end = next.reduce((a, b) => (this.#count(b) < this.#count(a) ? b : a));
      if (this.#count(end) <= enough) {
        this.#exhausted.clear();
        return chainTo(end, start, links);
      }
      ring = next;
    }
    for (const node of [start, ...links.keys()]) this.#exhausted.add(node);
    return undefined;
  }

  /** Those to whom the node can hand on, and who were not reached before. */
  /* oxlint-disable-next-line max-params -- what was reached so far, and where it is added */
  #reach(node: NodeState, start: NodeState, links: Map<NodeState, Link>, next: NodeState[]): void {
    for (const choice of this.#chosenBy.get(node) ?? []) {
      // All are reached: with many partitions on few nodes that is so after a few of them.
      if (links.size + 1 >= this.#nodes) return;
      for (const to of choice.placement.candidates) {
        if (to === start || links.has(to)) continue;
        links.set(to, { choice, to });
        next.push(to);
      }
    }
  }
}

function chainTo(end: NodeState, start: NodeState, links: ReadonlyMap<NodeState, Link>): readonly Link[] {
  const chain: Link[] = [];
  for (let node = end; node !== start;) {
    const link = links.get(node)!;
    chain.push(link);
    node = link.choice.chosen!;
  }
  return chain;
}
