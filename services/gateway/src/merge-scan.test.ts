import { evenTopology, limits, type BinaryString } from '@statestore/core';
import type { Scan } from '@statestore/link';
import { expect, test } from 'vitest';
import { MergeScan } from './merge-scan.ts';
import { Moves } from './moves.ts';
import { directoryOf } from './options.ts';
import { ClientSession, TokenTexts } from './client-session.ts';
import { sessionRead } from './query.ts';
import { Routing } from './routing.ts';
import { FakeNode } from './testing/fake-node.ts';

async function filled(partitions: number, count: number, keyOf: (i: number) => BinaryString) {
  const node = new FakeNode(partitions);
  const routing = new Routing(evenTopology(partitions, ['a']), directoryOf(node));
  const keys = Array.from({ length: count }, (_, i) => keyOf(i));
  for (const key of keys) {
    const operation = {
      kind: 'put',
      key,
      condition: { kind: 'none' },
      value: new Uint8Array(8),
      contentType: '',
      ttl: { kind: 'default' },
    } as const;
    const body = { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } as const;
    await node.propose(routing.partitionOf('s', key), { body });
  }
  const scans: (Scan & { got: number })[] = [];
  const scan = node.scan.bind(node);
  node.scan = (partition, range, options) => {
    const page = scan(partition, range, options);
    scans.push({ ...range, got: page.entries.length });
    return page;
  };
  return { routing, keys: keys.toSorted(), scans };
}

async function list(routing: Routing, limit: number, reverse = false) {
  const found: BinaryString[] = [];
  const merge = new MergeScan(
    { routing, moves: new Moves(routing) },
    { store: 's', reverse, values: false },
    new ClientSession(new TokenTexts(), sessionRead),
  );
  const more = await merge.run(limit, ({ key }) => {
    found.push(key);
    return true;
  });
  return { found, more };
}

test('a page costs little more than its entries, whatever the number of partitions', async () => {
  const { routing, keys, scans } = await filled(8, 2000, (i) => `k${String(i).padStart(5, '0')}`);
  const { found, more } = await list(routing, 800);
  expect(found).toEqual(keys.slice(0, 800));
  expect(more).toBe(true);
  const fetched = scans.reduce((sum, { got }) => sum + got, 0);
  expect(fetched).toBeLessThan(800 + 8 * 32);
  expect(scans.every(({ bytesMax }) => bytesMax === limits.listRefillBytes)).toBe(true);
});

test('a partition that holds all of a range is read again and again, the others once', async () => {
  const { routing, keys, scans } = await filled(4, 500, (i) => `{one}${String(i).padStart(5, '0')}`);
  for (const reverse of [false, true]) {
    scans.length = 0;
    const { found, more } = await list(routing, 1000, reverse);
    expect(found).toEqual(reverse ? keys.toReversed() : keys);
    expect([more, scans.length]).toEqual([false, 6]);
  }
});
