// Which of the topologies that arrive, twice and out of order, comes after those that were taken: of one cluster that of
// the greater epoch. A cluster that is made anew under the name of one that was lost (by a restore, where NATS lost
// everything) begins with epoch 1 again: it comes after all of the one before, which never comes back.
import type { Topology } from './topology.ts';

export class TopologyOrder {
  #last: Topology | undefined;
  /** Lineages that were followed by another one. */
  readonly #left = new Set<string>();

  /** Whether it comes after all that were taken. One that names no lineage may be of any. */
  isLater({ lineage, epoch }: Topology): boolean {
    if (this.#last === undefined) return true;
    if (!isOther(this.#last.lineage, lineage)) return epoch > this.#last.epoch;
    return !this.#left.has(lineage!);
  }

  take(topology: Topology): void {
    const before = this.#last?.lineage;
    if (isOther(before, topology.lineage)) this.#left.add(before!);
    this.#last = topology;
  }
}

function isOther(before: string | undefined, lineage: string | undefined): boolean {
  return before !== undefined && lineage !== undefined && before !== lineage;
}

/** Whether they are one document. */
export function isSameTopology(a: Topology, b: Topology | undefined): boolean {
  return a.epoch === b?.epoch && a.lineage === b.lineage;
}
