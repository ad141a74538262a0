// The node over partitions that come and go, and its guard before writes.
import type { Command, Operation } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mayGrow } from './command-check.ts';
import { LocalNode } from './local-node.ts';
import { Partition } from './partition.ts';
import { TestEngine, TestLog, WatchedTime } from './testing/controlled-replica.ts';

let opened: Partition[];
let logs: Map<Partition, TestLog>;

beforeEach(() => {
  opened = [];
  logs = new Map();
});
afterEach(async () => {
  for (const partition of opened) await partition.close();
});

async function open(number: number, generation?: number): Promise<Partition> {
  const log = new TestLog();
  const partition = await Partition.open({
    partition: number,
    log,
    generation,
    engine: new TestEngine(),
    time: new WatchedTime(),
    proposer: 'P'.repeat(16),
  });
  opened.push(partition);
  logs.set(partition, log);
  return partition;
}

const session = { consistency: 'session' } as const;
const onKey = { key: 'a', condition: { kind: 'none' } } as const;
const ttl = { kind: 'never' } as const;
const put: Operation = { kind: 'put', ...onKey, value: new Uint8Array(1), contentType: '', ttl };
const remove: Operation = { kind: 'delete', ...onKey };

function mutate(...operations: Operation[]): Command {
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations } };
}

test('a partition can be asked from when it is added until it is removed', async () => {
  const node = new LocalNode('test');
  const elsewhere = { code: 'moved', retryable: true };
  await expect(node.propose(1, mutate(put))).rejects.toMatchObject(elsewhere);
  node.add(await open(1));
  node.add(await open(2));
  const { position } = await node.propose(1, mutate(put));
  expect((await node.get(1, 's', 'a', session)).entry).toBeDefined();
  expect((await node.status()).partitions.map(({ partition }) => partition)).toEqual([1, 2]);
  // What waits when it is removed is still answered.
  const waiting = node.get(1, 's', 'a', { ...session, atLeast: position + 1n });
  node.remove(1);
  expect(() => node.get(1, 's', 'a', session)).toThrow(expect.objectContaining(elsewhere));
  await opened[0]!.propose(mutate(put));
  expect((await waiting).position).toBe(position + 1n);
  expect((await node.status()).partitions.map(({ partition }) => partition)).toEqual([2]);
});

test('whoever knows another log of the partition is sent away, before anything is proposed', async () => {
  const node = new LocalNode('test');
  node.add(await open(1, 2));
  const elsewhere = expect.objectContaining({ code: 'moved', retryable: true }) as unknown;
  const scan = { store: 's', reverse: false, limit: 1, bytesMax: 1, values: true };
  const watch = { store: 's', prefix: '', signal: AbortSignal.abort() };
  for (const generation of [1, 3]) {
    await expect(node.propose(1, mutate(put), generation)).rejects.toEqual(elsewhere);
    const options = { ...session, generation };
    expect(() => node.get(1, 's', 'a', options)).toThrow(elsewhere);
    expect(() => node.getMany(1, 's', ['a'], options)).toThrow(elsewhere);
    expect(() => node.scan(1, scan, options)).toThrow(elsewhere);
    expect(() => node.watch(1, { ...watch, generation })).toThrow(elsewhere);
  }
  expect(logs.get(opened[0]!)!.records).toEqual([]);
  // Whoever names none, as those do that know of no generations, takes what there is.
  expect((await node.propose(1, mutate(put))).generation).toBe(2);
  const options = { ...session, generation: 2 };
  expect((await node.propose(1, mutate(put), 2)).position).toBe(2n);
  const answers = [node.get(1, 's', 'a', options), node.getMany(1, 's', ['a'], options), node.scan(1, scan, options)];
  for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ position: 2n, generation: 2 });
  // A log without generations is whatever anybody takes it for.
  node.add(await open(3));
  expect((await node.get(3, 's', 'a', options)).generation).toBeUndefined();
});

test('a partition takes the place of an earlier one', async () => {
  const node = new LocalNode('test');
  node.add(await open(1));
  await node.propose(1, mutate(put));
  node.add(await open(1));
  expect((await node.get(1, 's', 'a', session)).entry).toBeUndefined();
  expect((await node.status()).partitions).toHaveLength(1);
});

test('a guard is asked before each command: what it refuses does not reach the log', async () => {
  let full = true;
  const admission = (command: Command): StateStoreError | undefined =>
    full && mayGrow(command) ? new StateStoreError('disk_full', 'no room') : undefined;
  const node = new LocalNode('test', { admission });
  const partition = await open(0);
  node.add(partition);
  await expect(node.propose(0, mutate(put))).rejects.toMatchObject({ code: 'disk_full' });
  expect(logs.get(partition)!.records).toEqual([]);
  expect((await node.propose(0, mutate(remove))).code).toBe('done');
  expect((await node.get(0, 's', 'a', session)).entry).toBeUndefined();
  full = false;
  expect((await node.propose(0, mutate(put))).code).toBe('done');
});

test.each<[string, Command, boolean]>([
  ['put', mutate(put), true],
  ['delete', mutate(remove), false],
  ['delete and put', mutate(remove, put), true],
  ['increment', mutate({ kind: 'increment', ...onKey, delta: 1n, ttl }), true],
  ['touch', mutate({ kind: 'touch', ...onKey, ttl }), true],
  ['clear', { body: { kind: 'clear', store: 's' } }, false],
  ['sweep', { body: { kind: 'sweep', limit: 1, changesKeptBytes: 0, countStore: '' } }, false],
  ['barrier', { body: { kind: 'barrier' } }, false],
])('whether a command may take room: %s', (_name, command, grows) => {
  expect(mayGrow(command)).toBe(grows);
});

test('checks of a mutate that is not atomic are refused: they would not be looked at', async () => {
  const node = new LocalNode('test');
  node.add(await open(0));
  const checks = [{ key: 'b', condition: { kind: 'exists' } }] as const;
  const body = { kind: 'mutate', store: 's', atomic: false, checks, operations: [put] } as const;
  await expect(node.propose(0, { body })).rejects.toMatchObject({ code: 'invalid_body' });
  expect((await node.propose(0, { body: { ...body, atomic: true } })).code).toBe('precondition_failed');
});
