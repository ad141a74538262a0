// The HTTP contract over a real node in the same process, on each engine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGateway } from '@statestore/gateway';
import { MemoryRepository } from '@statestore/checkpoint';
import { MemoryCheckpointRuns } from '@statestore/cluster';
import { openCheckpoints, openEmbeddedNode, ownReplicas } from '@statestore/node';
import { describe } from 'vitest';
import { httpContract } from './http-contract.ts';

describe.each(['lmdb', 'memory'] as const)('gateway over an embedded node (%s)', (engine) => {
  httpContract(async () => {
    const dataPath = await mkdtemp(join(tmpdir(), 'statestore-http-'));
    const embedded = await openEmbeddedNode({
      dataPath,
      partitions: 4,
      engine,
      version: '0.0.0',
      onHalted: (reason) => {
        throw reason;
      },
    });
    const runs = new MemoryCheckpointRuns();
    const checkpoints = await openCheckpoints({
      cluster: 'embedded',
      name: 'embedded',
      version: '0.0.0',
      node: embedded.node,
      repository: new MemoryRepository(),
      runs,
      replicas: ownReplicas('embedded', embedded.topology, embedded.node),
      settings: { schedule: { minIntervalMs: 0, suspend: false }, level: 1, deadlineMs: 60_000 },
      pollMs: 50,
    });
    await checkpoints.conductor.announced;
    const gateway = await buildGateway({
      topology: embedded.topology,
      node: embedded.node,
      version: '0.0.0',
      cursorKey: Buffer.alloc(32, 1),
      checkpoints: runs,
    });
    const baseUrl = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
    return {
      baseUrl,
      async close() {
        await gateway.close();
        await checkpoints.close();
        await embedded.close();
        await rm(dataPath, { recursive: true, force: true });
      },
    };
  }, 'made');
});
