// A gateway over a node in memory on a real socket, for tests.
import { evenTopology } from '@statestore/core';
import { buildGateway, type Gateway } from '../app.ts';
import type { GatewayOptions } from '../options.ts';
import { FakeNode } from './fake-node.ts';

export interface Started {
  readonly gateway: Gateway;
  readonly node: FakeNode;
  readonly baseUrl: string;
  readonly port: number;
}

export async function startGateway(options: Partial<GatewayOptions> = {}, partitions = 4): Promise<Started> {
  const node = new FakeNode(partitions);
  const gateway = await buildGateway({
    topology: evenTopology(partitions, ['a']),
    node,
    version: '0.0.0',
    cursorKey: Buffer.alloc(32, 1),
    ...options,
  });
  const baseUrl = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
  return { gateway, node, baseUrl, port: Number(new URL(baseUrl).port) };
}
