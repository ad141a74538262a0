// A partition's part of a checkpoint: the contract in one process and through the link, and what ends it that only
// a connection or a replica can do.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateStoreError } from '@statestore/core';
import type { CheckpointItem } from '@statestore/link';
import { connectLink, serveLink } from '@statestore/link';
import { openEmbeddedNode } from '@statestore/node';
import { expect, test } from 'vitest';
import { CheckpointDesk } from '../../services/node/src/checkpoint/checkpoint-desk.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { proxy } from './link-fixture.ts';
import type { CheckpointFixture } from './node-service-checkpoint-contract.ts';
import { checkpointContract, GatedRepository, orderOf } from './node-service-checkpoint-contract.ts';
import { codeOf, mutate, put } from './node-service-fixture.ts';

function embedded(engine: 'lmdb' | 'memory') {
  return async (): Promise<CheckpointFixture> => {
    const dataPath = await mkdtemp(join(tmpdir(), 'statestore-node-'));
    const onHalted = (reason: Error): never => {
      throw reason;
    };
    const opened = await openEmbeddedNode({ dataPath, partitions: 2, engine, version: 'test', onHalted });
    const repository = new GatedRepository();
    opened.node.checkpoints = new CheckpointDesk({ repository, cluster: 'test', progressMs: 50 });
    return {
      service: opened.node,
      repository,
      unset: () => (opened.node.checkpoints = undefined),
      close: async () => {
        repository.release();
        await opened.close();
        await rm(dataPath, { recursive: true, force: true });
      },
    };
  };
}

async function linked(): Promise<CheckpointFixture & { readonly port: number }> {
  const node = await embedded('memory')();
  const server = await serveLink({ service: node.service, host: '127.0.0.1', port: 0 });
  const client = connectLink({ host: server.host, port: server.port });
  return {
    ...node,
    service: client,
    port: server.port,
    close: async () => {
      await client.close();
      node.repository.release();
      await server.close();
      await node.close();
    },
  };
}

checkpointContract('in the same process, lmdb', embedded('lmdb'));
checkpointContract('in the same process, memory', embedded('memory'));
checkpointContract('through the link', linked);

test('a connection that breaks ends it, here and on the node', async () => {
  const node = await linked();
  const faulty = await proxy({ targetPort: node.port });
  const link = connectLink({ host: '127.0.0.1', port: faulty.port });
  await node.service.propose(0, mutate([put('a', 'b')]));
  node.repository.gate = new Promise(() => {});
  const items = link.writeCheckpoint(0, { ...orderOf(), signal: new AbortController().signal });
  const taking = (async (): Promise<CheckpointItem[]> => {
    const taken: CheckpointItem[] = [];
    for await (const item of items) {
      taken.push(item);
      faulty.cutAll();
    }
    return taken;
  })();
  await expect(taking).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('checkpoint of partition 0 broke off') as string,
  });
  node.repository.gate = undefined;
  node.repository.release();
  const again = async (): Promise<string> =>
    codeOf(async () => {
      for await (const _ of link.writeCheckpoint(0, { ...orderOf(), signal: new AbortController().signal }));
    });
  await expect.poll(again, { timeout: 20_000 }).toBe('it did not fail');
  await link.close();
  await faulty.close();
  await node.close();
});

test('a replica that halts ends it, also while the repository is waited for', async () => {
  const engine = new MemoryEngine();
  await engine.commit(new Map(), 0n);
  const repository = new GatedRepository();
  const desk = new CheckpointDesk({ repository, cluster: 'test', progressMs: 20 });
  let halted: StateStoreError | undefined;
  let open = 0;
  const source = {
    number: 0,
    serving: () => {
      if (halted !== undefined) throw halted;
    },
    snapshot: async () => {
      open++;
      const snapshot = engine.snapshot();
      const close = snapshot.close.bind(snapshot);
      snapshot.close = () => {
        open--;
        close();
      };
      return snapshot;
    },
  };
  repository.gate = new Promise(() => {});
  repository.hears = true;
  const items = desk.write(source, { ...orderOf(), signal: new AbortController().signal });
  await items.next();
  expect([open, desk.underWay]).toEqual([1, 1]);
  halted = new StateStoreError('partition_halted', 'it differs from its peers');
  await expect(
    (async () => {
      while ((await items.next()).done !== true);
    })(),
  ).rejects.toBe(halted);
  expect([open, desk.underWay]).toEqual([0, 0]);
});
