// A partition that stops in the middle of a batch, since its engine cannot be read: what it tells of itself then.
import type { Command } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import { expect, test } from 'vitest';
import { Partition } from './partition.ts';
import { TestEngine, TestLog, WatchedTime } from './testing/controlled-replica.ts';

/** All of them in one batch. */
function put(...keys: readonly string[]): Command {
  const condition = { kind: 'none' } as const;
  const value = new Uint8Array(1);
  const operations = keys.map(
    (key) => ({ kind: 'put', key, condition, value, contentType: '', ttl: { kind: 'default' } }) as const,
  );
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations } };
}

test('it tells of the position before, serves nothing from that moment on, and stores nothing of the batch', async () => {
  const engine = new TestEngine();
  const time = new WatchedTime();
  const causes: HaltCause[] = [];
  const partition = await Partition.open({
    partition: 0,
    log: new TestLog(),
    engine,
    time,
    proposer: 'P'.repeat(16),
    flushIntervalMs: 5,
    sweeps: () => false,
    onHalted: (_, cause) => void causes.push(cause),
  });
  await partition.propose(put('a'));
  await partition.propose(put('b'));
  await partition.sync();
  const before = await partition.status();
  const get = engine.get.bind(engine);
  let served: unknown;
  engine.get = (key) => {
    if (!key.endsWith('c')) return get(key);
    // At once, and not only when the subscription has ended.
    queueMicrotask(() => {
      try {
        served = partition.get('s', 'a');
      } catch (error) {
        served = error;
      }
    });
    throw new StateStoreError('data_corrupt', 'a bad page');
  };
  await expect(partition.propose(put('x', 'c'))).rejects.toMatchObject({ code: 'outcome_unknown' });
  expect(served).toMatchObject({ code: 'partition_halted' });
  const { state, reason, haltCause, ...told } = await partition.status();
  expect(reason).toContain('a batch after 2 cannot be applied: a bad page');
  const { state: ran, reason: none, ...expected } = before;
  expect([ran, none, state, haltCause, causes]).toEqual(['running', '', 'halted', 'log_corrupt', ['log_corrupt']]);
  expect(told).toMatchObject({ ...expected, logBytes: told.logBytes, queuedCommands: told.queuedCommands });
  expect(told.appliedPosition).toBe(2n);
  await partition.close();
  expect(engine.position).toBe(2n);
  expect(time.timers.size).toBe(0);
});

test('also where it was the first batch that it was given', async () => {
  const engine = new TestEngine();
  const log = new TestLog();
  const partition = await Partition.open({
    partition: 0,
    log,
    engine,
    time: new WatchedTime(),
    proposer: 'P'.repeat(16),
    sweeps: () => false,
  });
  const before = await partition.status();
  engine.get = () => {
    throw new StateStoreError('data_corrupt', 'a bad page');
  };
  const once = { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) };
  await expect(partition.propose({ ...put('a'), idempotency: once })).rejects.toMatchObject({
    code: 'outcome_unknown',
  });
  const { appliedPosition, chain, stateHash, clockMs } = await partition.status();
  expect({ appliedPosition, chain, stateHash, clockMs }).toEqual({
    appliedPosition: 0n,
    chain: before.chain,
    stateHash: before.stateHash,
    clockMs: before.clockMs,
  });
  await partition.close();
});
