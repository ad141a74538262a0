// How much is being built, so that copies do not take the cluster from its clients.
import type { Topology } from '@statestore/core';
import { limits } from '@statestore/core';

export class Joins {
  readonly #byNode = new Map<string, number>();
  #all = 0;

  constructor({ partitions }: Topology) {
    for (const { joining = [] } of partitions) for (const node of joining) this.#count(node, 1);
  }

  take(node: string): boolean {
    return this.takeAll([node]);
  }

  /** All of them, or none. No node may be among them twice. */
  takeAll(nodes: readonly string[]): boolean {
    if (this.#all + nodes.length > limits.joinsMax) return false;
    if (nodes.some((node) => (this.#byNode.get(node) ?? 0) >= limits.joinsPerNodeMax)) return false;
    for (const node of nodes) this.#count(node, 1);
    return true;
  }

  ended(node: string): void {
    this.#count(node, -1);
  }

  #count(node: string, by: number): void {
    this.#byNode.set(node, (this.#byNode.get(node) ?? 0) + by);
    this.#all += by;
  }
}
