// What there would be to do in a cluster, and why it is not done: a coordinator that looks and plans, and changes nothing.
import type { LogStreams, TopologyStore } from '@statestore/cluster';
import { Coordinator } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import type { ClusterConnection } from '../cluster/connect.ts';

export class Outlook {
  readonly #coordinator: Coordinator;
  #wouldChange = false;

  constructor({ topologyStore, registry, logStreams }: ClusterConnection) {
    const refuse = (): Promise<'conflict'> => {
      this.#wouldChange = true;
      return Promise.resolve('conflict');
    };
    const onlyRead: TopologyStore = {
      read: () => topologyStore.read(),
      watch: (onTopology) => topologyStore.watch(onTopology),
      secret: () => topologyStore.secret(),
      replace: refuse,
      restore: refuse,
    };
    const nothing = (): Promise<void> => Promise.resolve();
    const onlyDescribed: LogStreams = {
      describe: (partition, generation) => logStreams.describe(partition, generation),
      create: () => Promise.reject(new StateStoreError('unavailable', 'no log is made by whoever only looks')),
      startAt: nothing,
      seal: nothing,
      remove: nothing,
    };
    this.#coordinator = new Coordinator({ topologyStore: onlyRead, registry, logStreams: onlyDescribed });
  }

  /** Undefined: for nothing; something can be done now, or is under way. */
  async waitsFor(): Promise<string | undefined> {
    this.#wouldChange = false;
    try {
      const outcome = await this.#coordinator.step();
      return outcome.kind === 'waiting' && !this.#wouldChange ? outcome.for : undefined;
    } catch (error) {
      // Whoever asks shows the rest all the same.
      if (error instanceof StateStoreError) return error.message;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#coordinator.close();
  }
}
