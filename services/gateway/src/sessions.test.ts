import { limits, StateStoreError } from '@statestore/core';
import { expect, test } from 'vitest';
import { PartitionSession, Sessions } from './sessions.ts';

const session = () => new PartitionSession('0'.repeat(16));

test('firstUnanswered is the least counter without an answer', () => {
  const it = session();
  const counters = [it.take(), it.take(), it.take()].map(({ counter }) => counter);
  expect(counters).toEqual([1, 2, 3]);
  it.settle(2, true);
  expect(it.take().firstUnanswered).toBe(1);
  it.settle(1, true);
  expect(it.take().firstUnanswered).toBe(3);
});

test('it opens until the first answer, and not by a failure', () => {
  const it = session();
  expect(it.take().opens).toBe(true);
  it.settle(1, false);
  expect(it.take().opens).toBe(true);
  it.settle(2, true);
  expect(it.take().opens).toBe(false);
});

test('more in flight than apply remembers are refused, until one is answered', () => {
  const it = session();
  for (let i = 0; i < limits.sessionInFlightMax; i++) it.take();
  expect(() => it.take()).toThrow(StateStoreError);
  it.settle(2, true);
  expect(() => it.take()).toThrow(StateStoreError);
  it.settle(1, true);
  expect(it.take().firstUnanswered).toBe(3);
});

test('an expired session is replaced once, for all that notice', () => {
  const sessions = new Sessions();
  const first = sessions.of(0);
  expect(sessions.of(1).id).toBe(first.id);
  const second = sessions.renew(0, first);
  expect(second.id).not.toBe(first.id);
  expect(sessions.renew(0, first)).toBe(second);
  expect(sessions.of(0)).toBe(second);
});
