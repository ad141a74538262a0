import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ObservedNode } from '@statestore/cluster';
import { MemoryProofExchange } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { defaultTtl, noCondition, StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LocalNode } from '../local-node.ts';
import { MemoryLogs } from '../testing/memory-logs.ts';
import { systemTime } from '../time.ts';
import { DiskRoom } from './disk-room.ts';
import { defaultDiskBounds } from './disk-watch.ts';
import { Peers } from './peers.ts';
import { Places } from './places.ts';
import { Replica } from './replica.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';

let folder: string;
let logs: MemoryLogs;
let log: PartitionLog;
let node: LocalNode;
let peers: Peers;
let notices: { readonly notice: string; readonly details: Readonly<Record<string, unknown>> }[];
let fatal: StateStoreError[];
let rebuilt: number;
let replica: Replica;
let context: ReplicaContext;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'statestore-replica-'));
  logs = new MemoryLogs();
  log = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  node = new LocalNode('0');
  peers = new Peers('a');
  notices = [];
  fatal = [];
  rebuilt = 0;
  context = {
    options: {
      cluster: 'test',
      name: 'a',
      engine: 'lmdb',
      logStreams: logs,
      openLog: (partition, named) => logs.open(partition, named),
      connectPeer: () => {
        throw new Error('no copy here');
      },
    },
    time: systemTime,
    partitionPath: (partition) => join(folder, 'partitions', String(partition)),
    node,
    peers,
    exchange: new MemoryProofExchange(),
    recorder: {
      appended: () => undefined,
      committed: () => undefined,
      mismatched: () => undefined,
      rebuilt: () => rebuilt++,
      restored: () => undefined,
      restoreFailed: () => undefined,
      passedOver: () => undefined,
    },
    restores: new Places(1),
    diskRoom: new DiskRoom({
      path: '/',
      read: () => Promise.resolve({ freeBytes: 1e12, totalBytes: 1e12 }),
      bounds: defaultDiskBounds,
    }),
    reshapes: { applied: () => undefined, pass: () => Promise.resolve(undefined), keepsForeign: () => false },
    diskLevel: () => 'ample',
    connected: () => true,
    changed: () => undefined,
    onNotice: (notice, details) => notices.push({ notice, details }),
    onFatal: (reason) => fatal.push(reason),
  };
  replica = new Replica(0, context);
});

afterEach(async () => {
  await replica.close();
  rmSync(folder, { recursive: true, force: true });
});

function assignment(change: Partial<Assignment> = {}): Assignment {
  const placement = { partition: 0, slots: [], replicas: ['a', 'b'], log };
  return { placement, log, serving: true, ...change };
}

const state = (wanted: string): Promise<unknown> => vi.waitFor(() => expect(replica.state).toBe(wanted), 10_000);

async function put(key: string): Promise<bigint> {
  const value = Buffer.from('v');
  const operation = { kind: 'put', key, value, contentType: '', condition: noCondition, ttl: defaultTtl } as const;
  const body = { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } as const;
  return (await node.propose(0, { body })).position;
}

describe('a replica', () => {
  test('runs when it is wanted, is gone when it is not, and runs on from there', async () => {
    expect(replica.report()).toBeUndefined();
    replica.assign(assignment());
    await state('running');
    expect(await put('k')).toBe(1n);
    expect(replica.report()).toMatchObject({ state: 'running', appliedPosition: '1', lag: 0, entries: 1 });
    replica.assign(undefined);
    await expect(put('k')).rejects.toMatchObject({ code: 'moved' });
    await state('absent');
    expect(replica.report()).toBeUndefined();
    replica.assign(assignment());
    await state('running');
    expect(await put('k2')).toBe(2n);
  });

  test('serves only where it is to', async () => {
    replica.assign(assignment({ serving: false }));
    await state('running');
    expect(replica.ready).toBe(true);
    await expect(put('k')).rejects.toMatchObject({ code: 'moved' });
    replica.assign(assignment());
    await put('k');
    replica.assign(assignment({ serving: false }));
    await expect(put('k')).rejects.toMatchObject({ code: 'moved' });
  });

  test('begins its step anew where it was not wanted for an instant', async () => {
    for (const each of ['opening', 'starting', 'running', 'closing'] as const) {
      replica.assign(assignment());
      if (each === 'closing') replica.assign(undefined);
      await vi.waitFor(() => expect([each, 'running', 'absent']).toContain(replica.state), { interval: 1 });
      for (let i = 0; i < 5; i++) {
        replica.assign(undefined);
        replica.assign(assignment());
      }
      await state('running');
      await put(each);
    }
    logs.down = true;
    replica.assign(undefined);
    await state('absent');
    replica.assign(assignment());
    await state('waiting');
    replica.assign(undefined);
    replica.assign(assignment());
    logs.down = false;
    await state('running');
    await logs.remove(0, 1);
    await state('halted');
    replica.assign(undefined);
    replica.assign(assignment());
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(replica.state).toBe('halted');
    expect(fatal).toEqual([]);
  });

  test('ends the process where its engine failed', async () => {
    const open = replica.store.open.bind(replica.store);
    let failing = false;
    replica.store.open = async () => {
      const opened = await open();
      const commit = opened.engine.commit.bind(opened.engine);
      opened.engine.commit = (writes, position) =>
        failing ? Promise.reject(new Error('EIO')) : commit(writes, position);
      return opened;
    };
    replica.assign(assignment());
    await state('running');
    await put('k');
    failing = true;
    await put('k2').catch(() => undefined);
    await state('halted');
    await vi.waitFor(() => expect(fatal.length).toBe(1));
    expect(fatal[0]).toMatchObject({ code: 'partition_halted' });
    expect(replica.report()).toMatchObject({ state: 'halted', haltCause: 'engine_failed' });
  });

  test('that finds its data unreadable tries again before it gives them up', async () => {
    replica.assign(assignment());
    await state('running');
    replica.assign(undefined);
    await state('absent');
    const open = replica.store.open.bind(replica.store);
    let attempts = 0;
    const corrupt = new StateStoreError('data_corrupt', 'too many open files');
    replica.store.open = () => (++attempts <= 2 ? Promise.reject(corrupt) : open());
    replica.assign(assignment());
    await state('running');
    expect(attempts).toBe(3);
    expect(await replica.store.folder.condemned()).toBeUndefined();
  });

  test('waits for somebody to copy from, and copies nothing that fails', async () => {
    const trimmed = await logs.open(0, log);
    for (let i = 0; i < 3; i++) await trimmed.append(Uint8Array.of(1));
    await trimmed.trim(3n);
    await trimmed.close();
    replica.assign(assignment({ serving: false }));
    await state('copying');
    expect(replica.report()).toMatchObject({ state: 'copying', appliedPosition: '0' });
    const source = { partition: 0, state: 'running', incarnation: log.incarnation, appliedPosition: '3' };
    const report = { name: 'b', address: 'b:1', replicas: [source] } as unknown as ObservedNode['report'];
    peers.saw(new Map([['b', { report, live: true, confirmed: true }]]));
    await vi.waitFor(
      () => expect(notices.some(({ notice }) => notice === 'a replica could not be copied')).toBe(true),
      10_000,
    );
    expect([replica.state, rebuilt]).toEqual(['copying', 0]);
    expect(replica.report()?.lag).toBe(3);
  });

  test.each([
    ['another chain', 'b', '0', true],
    ['the same chain, but another state', undefined, 'b', false],
  ])('that is outvoted with %s says whether its data are to be kept', async (_, chain, hash, kept) => {
    replica.assign(assignment({ placement: { partition: 0, slots: [], replicas: ['a', 'b', 'c'], log } }));
    await state('running');
    await put('k');
    const own = replica.report()!;
    for (const name of ['b', 'c']) {
      context.exchange.publish(0, {
        kind: 'proof',
        node: name,
        incarnation: log.incarnation,
        position: 1n,
        chain: chain?.repeat(32) ?? own.chain,
        stateHash: hash.repeat(32),
      });
    }
    await state('halted');
    await vi.waitFor(async () => expect((await replica.store.folder.condemned())?.kept).toBe(kept));
    // Nor is it forgotten in the next process, which finds nobody to copy from.
    await replica.close();
    replica = new Replica(0, context);
    replica.assign(assignment());
    await state('halted');
    await vi.waitFor(() => expect(notices.filter(({ notice }) => notice === 'a replica halted')).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await replica.store.folder.condemned())?.kept).toBe(kept);
  });
});
