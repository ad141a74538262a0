import { expect, test } from 'vitest';
import { evenTopology } from './topology.ts';
import { TopologyOrder } from './topology-order.ts';

const of = (epoch: bigint, lineage?: string) => ({
  ...evenTopology(1, ['a']),
  epoch,
  ...(lineage === undefined ? {} : { lineage }),
});

test('each epoch once, ascending; another cluster comes after all of the one before, which never comes back', () => {
  const order = new TopologyOrder();
  const taken: string[] = [];
  const offered = [
    of(3n, 'a'),
    of(3n, 'a'),
    of(2n, 'a'),
    of(4n, 'a'),
    of(1n, 'b'),
    of(9n, 'a'),
    of(1n, 'b'),
    of(2n, 'b'),
    of(1n, 'c'),
    of(5n, 'b'),
    of(7n, 'a'),
    of(2n, 'c'),
  ];
  for (const topology of offered) {
    if (!order.isLater(topology)) continue;
    order.take(topology);
    taken.push(`${topology.lineage}${topology.epoch}`);
  }
  expect(taken).toEqual(['a3', 'a4', 'b1', 'b2', 'c1', 'c2']);
});

test('where one names no lineage, epochs decide', () => {
  const order = new TopologyOrder();
  order.take(of(3n));
  expect([order.isLater(of(2n, 'a')), order.isLater(of(4n, 'a'))]).toEqual([false, true]);
  order.take(of(4n, 'a'));
  expect([order.isLater(of(4n)), order.isLater(of(5n))]).toEqual([false, true]);
});

test('asking changes nothing', () => {
  const order = new TopologyOrder();
  order.take(of(3n, 'a'));
  expect([order.isLater(of(1n, 'b')), order.isLater(of(4n, 'a')), order.isLater(of(1n, 'b'))]).toEqual([
    true,
    true,
    true,
  ]);
});
