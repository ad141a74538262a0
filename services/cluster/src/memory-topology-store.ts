// The topology in memory, for simulation and tests: what one store says of the contract, without NATS.
// It keeps text, as the bucket does, so that what could not be stored cannot be kept here either.
import { randomBytes } from 'node:crypto';
import type { Topology } from '@statestore/core';
import { NewerTopologies } from './newer-topologies.ts';
import { decodeTopology, encodeTopology } from './topology-codec.ts';
import type { TopologyStore, TopologyWatch } from './topology-store.ts';

export class MemoryTopologyStore implements TopologyStore {
  #document: Uint8Array | undefined;
  #secret: Uint8Array | undefined;
  readonly #watches = new Set<NewerTopologies>();

  read(): Promise<Topology | undefined> {
    return Promise.resolve(this.#present());
  }

  replace(next: Topology): Promise<'replaced' | 'conflict'> {
    return this.#put(next, (this.#present()?.epoch ?? 0n) + 1n === next.epoch);
  }

  restore(topology: Topology): Promise<'replaced' | 'conflict'> {
    return this.#put(topology, this.#document === undefined);
  }

  watch(onTopology: (topology: Topology) => void): TopologyWatch {
    const newer = new NewerTopologies(onTopology);
    this.#watches.add(newer);
    queueMicrotask(() => newer.offer(this.#present()));
    return {
      close: () => {
        this.#watches.delete(newer);
        newer.close();
        return Promise.resolve();
      },
    };
  }

  secret(): Promise<Uint8Array> {
    this.#secret ??= new Uint8Array(randomBytes(32));
    return Promise.resolve(this.#secret.slice());
  }

  /** As where the bucket was lost. */
  lose(): void {
    this.#document = undefined;
    this.#secret = undefined;
  }

  #present(): Topology | undefined {
    return this.#document === undefined ? undefined : decodeTopology(this.#document);
  }

  async #put(next: Topology, fits: boolean): Promise<'replaced' | 'conflict'> {
    const document = encodeTopology(next);
    if (!fits) return 'conflict';
    this.#document = document;
    for (const watch of this.#watches) queueMicrotask(() => watch.offer(decodeTopology(document)));
    return 'replaced';
  }
}
