// The topology in memory against the contract of every topology store.
import { MemoryTopologyStore } from '@statestore/cluster';
import { topologyStoreContract } from './topology-store-contract.ts';

topologyStoreContract('memory', async () => {
  const store = new MemoryTopologyStore();
  return {
    open: async () => store,
    lose: async () => store.lose(),
    dispose: async () => {},
  };
});
