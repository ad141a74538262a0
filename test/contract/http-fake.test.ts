// The HTTP contract over a node in memory: the gateway alone.
import { evenTopology } from '@statestore/core';
import { buildGateway } from '@statestore/gateway';
import { describe } from 'vitest';
import { FakeNode } from '../../services/gateway/src/testing/fake-node.ts';
import { runsThatNobodyTakes } from './http-checkpoints.ts';
import { httpContract } from './http-contract.ts';

describe('gateway over a node in memory', () => {
  httpContract(async () => {
    const gateway = await buildGateway({
      topology: evenTopology(4, ['a']),
      node: new FakeNode(4),
      version: '0.0.0',
      cursorKey: Buffer.alloc(32, 1),
      checkpoints: await runsThatNobodyTakes(),
    });
    const baseUrl = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
    return { baseUrl, close: () => gateway.close() };
  }, 'asked');
});
