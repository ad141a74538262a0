// One contract, two ways to a node: in this process, and through the link.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectLink, serveLink } from '@statestore/link';
import { openEmbeddedNode } from '@statestore/node';
import { nodeServiceContract } from './node-service-contract.ts';
import type { NodeServiceFixture } from './node-service-fixture.ts';

async function embedded(): Promise<NodeServiceFixture> {
  const dataPath = await mkdtemp(join(tmpdir(), 'statestore-node-'));
  const onHalted = (reason: Error): never => {
    throw reason;
  };
  const opened = await openEmbeddedNode({ dataPath, partitions: 2, engine: 'memory', version: 'test', onHalted });
  return {
    service: opened.node,
    close: async () => {
      await opened.close();
      await rm(dataPath, { recursive: true, force: true });
    },
  };
}

nodeServiceContract('in the same process', embedded);

nodeServiceContract('through the link', async () => {
  const node = await embedded();
  const server = await serveLink({ service: node.service, host: '127.0.0.1', port: 0 });
  const client = connectLink({ host: server.host, port: server.port });
  return {
    service: client,
    close: async () => {
      await client.close();
      await server.close();
      await node.close();
    },
  };
});
