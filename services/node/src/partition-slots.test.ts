// A partition whose slots change hands: what it answers to readers who know other slots, and what is staged beside its state.
import type { Command, CommandBody } from '@statestore/core';
import { keyspace, limits, slotOf, slotRanges } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LocalNode } from './local-node.ts';
import { Partition } from './partition.ts';
import { TestEngine, TestLog } from './testing/controlled-replica.ts';
import { ManualTime } from './testing/manual-time.ts';

const reshape = 'reshape number 1';
const all = [{ start: 0, end: limits.slotCount }];
const gone = slotOf('s', 'gone');
const slots = [{ start: gone, end: gone + 1 }];
const session = { consistency: 'session' } as const;
const moved = expect.objectContaining({ code: 'moved', retryable: true });

let partition: Partition;
let node: LocalNode;
let engine: TestEngine;
let time: ManualTime;

beforeEach(async () => {
  engine = new TestEngine();
  time = new ManualTime();
  partition = await Partition.open({
    partition: 0,
    log: new TestLog(),
    engine,
    time,
    proposer: 'P'.repeat(16),
    flushIntervalMs: 5,
    sweeps: () => false,
  });
  node = new LocalNode('test');
  node.add(partition);
});
afterEach(() => partition.close());

function put(key: string): Command {
  const on = { key, condition: { kind: 'none' }, ttl: { kind: 'default' } } as const;
  const operation = { kind: 'put', ...on, value: new Uint8Array(1), contentType: '' } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

async function run(body: CommandBody): Promise<void> {
  expect(await partition.propose({ body })).toMatchObject({ code: 'done' });
}

const fence = (): Promise<void> => run({ kind: 'fence', reshape, slots, ownedBefore: all, slotsEpoch: 7n });

async function handOver(): Promise<void> {
  const fencedPosition = partition.state.fenced!.position;
  await run({ kind: 'handOver', reshape, slotsEpoch: 7n, fencedPosition, stores: [] });
}

const scan = { store: 's', reverse: false, limit: 10, bytesMax: 1000, values: true } as const;

test('keys of slots that were handed over are answered moved, fenced ones only to writers', async () => {
  await partition.propose(put('stays'));
  await fence();
  expect(node.get(0, 's', 'gone', session)).toMatchObject({ entry: undefined });
  expect((await partition.propose(put('gone'))).operations[0]).toMatchObject({ code: 'moved' });
  expect((await partition.propose(put('stays'))).operations[0]).toMatchObject({ code: 'done' });
  await handOver();
  expect(() => node.get(0, 's', 'gone', session)).toThrow(moved);
  expect(() => node.getMany(0, 's', ['stays', 'gone'], session)).toThrow(moved);
  expect(node.get(0, 's', 'stays', session)).toMatchObject({ entry: { revision: 2n } });
  expect((await partition.propose(put('gone'))).operations[0]).toMatchObject({ code: 'moved' });
});

test('whoever knows earlier slots is sent away, whoever knows later ones waits for them', async () => {
  await partition.propose(put('stays'));
  const later = { ...session, slotsEpoch: 7n };
  const waits = [node.scan(0, scan, later), node.get(0, 's', 'stays', later), node.getMany(0, 's', ['stays'], later)];
  const beyond = node.get(0, 's', 'stays', { ...session, slotsEpoch: 8n }) as Promise<unknown>;
  expect(node.scan(0, scan, { ...session, slotsEpoch: 0n })).toMatchObject({ entries: [{ key: 'stays' }] });
  await fence();
  await handOver();
  expect(await Promise.all(waits)).toMatchObject([{ entries: [{ key: 'stays' }] }, { entry: {} }, { entries: [{}] }]);
  for (const slotsEpoch of [0n, 6n]) {
    expect(() => node.scan(0, scan, { ...session, slotsEpoch })).toThrow(moved);
    expect(() => node.get(0, 's', 'stays', { ...session, slotsEpoch })).toThrow(moved);
  }
  await Promise.all([
    expect(beyond).rejects.toMatchObject({ code: 'unavailable' }),
    time.advance(limits.positionWaitMs + 1),
  ]);
});

test('a page that waited while slots changed hands is not read by those of before', async () => {
  await partition.propose(put('stays'));
  const page = node.scan(0, scan, { ...session, slotsEpoch: 0n, atLeast: partition.position + 2n }) as Promise<unknown>;
  await fence();
  await handOver();
  await expect(page).rejects.toEqual(moved);
});

test('what is staged is durable after a sync, and seen by nobody', async () => {
  const ordinal = 1;
  const record = (key: string) =>
    [keyspace.entryKeyPrefix(ordinal) + key, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1)] as const;
  const staged = new Map([record('gone')]);
  await partition.propose(put('stays'));
  const refused = expect.objectContaining({ code: 'precondition_failed' });
  // Before it was told which slots are its own, all are.
  expect(() => partition.stage(staged)).toThrow(refused);
  await run({ kind: 'prepareAbsorb', reshape, stores: [], ownedBefore: slotRanges.without(all, slots) });
  const { position } = partition;
  await partition.sync();
  await partition.stage(staged);
  await partition.sync();
  expect(partition.position).toBe(position);
  expect(engine.get(keyspace.entryKeyPrefix(ordinal) + 'gone')).toBeDefined();
  expect(() => partition.stage(new Map([record('stays')]))).toThrow(refused);
  expect(() => partition.stage(new Map([[keyspace.headKey, new Uint8Array(1)]]))).toThrow(refused);
  expect(node.scan(0, scan, session)).toMatchObject({ entries: [{ key: 'stays' }], more: false });
  expect(() => node.get(0, 's', 'gone', session)).toThrow(moved);
  // And by itself, too, some time later.
  await partition.stage(new Map([[keyspace.entryKeyPrefix(ordinal) + 'gone', undefined]]));
  await time.advance(10);
  expect(engine.get(keyspace.entryKeyPrefix(ordinal) + 'gone')).toBeUndefined();
});
