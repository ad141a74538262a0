// The HTTP contract over a real node in the same process, on each engine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGateway } from '@statestore/gateway';
import { openEmbeddedNode } from '@statestore/node';
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
    const gateway = await buildGateway({
      topology: embedded.topology,
      node: embedded.node,
      version: '0.0.0',
      cursorKey: Buffer.alloc(32, 1),
    });
    const baseUrl = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
    return {
      baseUrl,
      async close() {
        await gateway.close();
        await embedded.close();
        await rm(dataPath, { recursive: true, force: true });
      },
    };
  });
});
