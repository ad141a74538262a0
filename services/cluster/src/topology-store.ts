// Where the topology of a cluster is kept, as a port: changed by compare-and-set, watched by everybody.
// One contract suite for the JetStream key-value bucket and for the store in memory (for simulation).
import type { Topology } from '@statestore/core';

export interface TopologyWatch {
  /** No call of `onTopology` comes after it resolved. */
  close(): Promise<void>;
}

export interface TopologyStore {
  /** Undefined where the cluster has none yet. Rejects with `unavailable` where the store cannot be asked. */
  read(): Promise<Topology | undefined>;
  /**
   * Puts `next` in the place of the topology of epoch `next.epoch - 1n`; epoch 1: in the place of none.
   * `conflict`: another one is there, nothing was changed. Rejects with `unavailable` where nothing was
   * changed, with `outcome_unknown` where reading will tell.
   */
  replace(next: Topology): Promise<'replaced' | 'conflict'>;
  /**
   * As `replace`, in the place of none, whatever its epoch: for a store that lost its topology (recover-topology.ts).
   * `conflict`: there is one.
   */
  restore(topology: Topology): Promise<'replaced' | 'conflict'>;
  /** The present topology and every newer one, each epoch at most once, ascending; over reconnects for ever. */
  watch(onTopology: (topology: Topology) => void): TopologyWatch;
  /** 32 random bytes, the same for every caller for ever: gateways sign cursors with them. Made by the first call. */
  secret(): Promise<Uint8Array>;
}
