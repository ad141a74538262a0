// The registry in memory against the contract of every registry of nodes.
import { MemoryNodeRegistry } from '@statestore/cluster';
import { nodeRegistryContract } from './node-registry-contract.ts';

nodeRegistryContract('memory', async () => {
  const registry = new MemoryNodeRegistry();
  return { open: async () => registry, dispose: async () => {} };
});
