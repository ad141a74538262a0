// What a watcher of the topology is told of all that arrives, twice and out of order: each epoch at most
// once, ascending.
import type { Topology } from '@statestore/core';
import { tell } from './tell.ts';

export class NewerTopologies {
  readonly #onTopology: (topology: Topology) => void;
  #epoch = 0n;
  #closed = false;

  constructor(onTopology: (topology: Topology) => void) {
    this.#onTopology = onTopology;
  }

  offer(topology: Topology | undefined): void {
    if (this.#closed || topology === undefined || topology.epoch <= this.#epoch) return;
    this.#epoch = topology.epoch;
    tell(this.#onTopology, topology);
  }

  close(): void {
    this.#closed = true;
  }
}
