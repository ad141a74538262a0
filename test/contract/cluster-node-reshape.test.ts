// Splits and merges of nodes over memory, on real LMDB folders, and of replicas that are in memory themselves.
import { MemoryBackend } from './cluster-node-memory.ts';
import { clusterNodeReshapeContract } from './cluster-node-reshape-contract.ts';

const open = (): Promise<MemoryBackend> => Promise.resolve(new MemoryBackend());
clusterNodeReshapeContract('logs in memory', open);
clusterNodeReshapeContract('logs and engines in memory', open, 'memory');
