// What a watcher of the topology is told of all that arrives, twice and out of order: each epoch at most
// once, ascending; and of a cluster that was made anew.
import type { Topology } from '@statestore/core';
import { TopologyOrder } from '@statestore/core';
import { tell } from './tell.ts';

export class NewerTopologies {
  readonly #onTopology: (topology: Topology) => void;
  readonly #order = new TopologyOrder();
  #closed = false;

  constructor(onTopology: (topology: Topology) => void) {
    this.#onTopology = onTopology;
  }

  offer(topology: Topology | undefined): void {
    if (this.#closed || topology === undefined || !this.#order.isLater(topology)) return;
    this.#order.take(topology);
    tell(this.#onTopology, topology);
  }

  close(): void {
    this.#closed = true;
  }
}
