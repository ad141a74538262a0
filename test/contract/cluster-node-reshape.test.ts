// Splits and merges of nodes over memory, on real LMDB folders.
import { MemoryBackend } from './cluster-node-memory.ts';
import { clusterNodeReshapeContract } from './cluster-node-reshape-contract.ts';

clusterNodeReshapeContract('memory', () => Promise.resolve(new MemoryBackend()));
