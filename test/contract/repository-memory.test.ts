// A repository in memory, which many tests rest on, keeps the contract that the lasting ones keep.
import { MemoryRepository } from '@statestore/checkpoint';
import { repositoryContract } from './repository-contract.ts';

repositoryContract(
  'memory',
  async () => {
    const objects: MemoryRepository['objects'] = new Map();
    return { open: async () => new MemoryRepository(objects), close: async () => {} };
  },
  { manyObjects: 2500 },
);
