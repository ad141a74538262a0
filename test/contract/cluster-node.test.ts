// Cluster nodes over logs, topology and registry in memory, on real LMDB folders.
import { clusterNodeContract } from './cluster-node-contract.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

clusterNodeContract('in memory', () => Promise.resolve(new MemoryBackend()));
