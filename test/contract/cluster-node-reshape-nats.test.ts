// Splits and merges of nodes over three real NATS servers, on real LMDB folders.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { clusterNodeReshapeContract } from './cluster-node-reshape-contract.ts';
import { NatsBackend } from './cluster-node-nats.ts';

let directory = '';
let nats: NatsCluster;
let count = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
  nats = await startNatsCluster({ directory, servers: 3 });
}, 60_000);

afterAll(async () => {
  await nats.stop();
  await rm(directory, { recursive: true, force: true });
});

clusterNodeReshapeContract('three NATS servers', () => Promise.resolve(new NatsBackend(nats, `t${++count}`, 3)));
