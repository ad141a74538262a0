// The part of nodes in splits and merges, as a coordinator meets it: they take a while, are decided at one moment, may be
// given up before that and never after it, and whoever finds one decided brings it to its end in the topology.
import type { Reshape, Topology } from '@statestore/core';
import { changeTopology } from './change-topology.ts';
import type { SimNode } from './coordinator.testing.ts';
import { mergeDone, reshapeDropped, splitDone } from './reshape-edits.ts';
import type { TopologyStore } from './topology-store.ts';

export interface ReshapeDriverOptions {
  readonly nodes: readonly SimNode[];
  readonly store: Pick<TopologyStore, 'read' | 'replace'>;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

export class ReshapeDriver {
  readonly #options: ReshapeDriverOptions;
  /** Ids of those whose logs have decided. */
  readonly #decided = new Set<string>();
  /** Ids of those that were given up in their logs: never to be decided. */
  readonly #refused = new Set<string>();
  done = 0;
  dropped = 0;

  constructor(options: ReshapeDriverOptions) {
    this.#options = options;
  }

  /** What nodes know of: the topology as one of them read it, perhaps a while ago. */
  async turn(topology: Topology): Promise<void> {
    for (const reshape of topology.reshapes ?? []) {
      const { random } = this.#options;
      if (random() < 0.5) continue;
      try {
        await this.#drive(topology, reshape);
      } catch {
        // The store was away, or does not say what it did.
      }
    }
  }

  async #drive(topology: Topology, reshape: Reshape): Promise<void> {
    const { store, random } = this.#options;
    const { id, cancelled } = reshape;
    const holders = this.#holders(topology, reshape);
    if (holders.length === 0) return;
    if (!this.#decided.has(id) && cancelled) this.#refused.add(id);
    if (this.#refused.has(id)) {
      const { changed } = await changeTopology(store, (present) => reshapeDropped(present, id));
      if (changed) this.dropped++;
      return;
    }
    if (random() < 0.3) this.#decided.add(id);
    if (!this.#decided.has(id)) return;
    if (reshape.kind === 'split') for (const node of holders) this.#give(node, reshape.target, reshape.log);
    if (random() < 0.3) return;
    const continues = { incarnation: reshape.id, position: 7n, chain: '0'.repeat(32) };
    const { changed } = await changeTopology(store, (present) =>
      reshape.kind === 'split'
        ? splitDone(present, id, { continues })
        : mergeDone(present, id, { sealedPosition: 7n, intoPosition: 7n }),
    );
    if (changed) this.done++;
  }

  /** Nodes that have the source and, of a merge, the target. */
  #holders({ partitions }: Topology, { kind, source, target }: Reshape): readonly SimNode[] {
    const placement = partitions.find(({ partition }) => partition === source);
    return this.#options.nodes.filter(
      (node) =>
        node.up &&
        placement?.replicas.includes(node.name) === true &&
        node.holds(source) &&
        (kind === 'split' || node.holds(target)),
    );
  }

  #give(node: SimNode, partition: number, log: { readonly generation: number; readonly incarnation: string }): void {
    node.replicas.set(partition, { log, missing: 0 });
  }
}
