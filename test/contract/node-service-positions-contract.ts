// What a NodeService tells of positions: a session is built from them, and waits for them elsewhere.
import { expect, describe, test } from 'vitest';
import { limits } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import { eventual, mutate, put, store, strong, text } from './node-service-fixture.ts';

export function positionsContract(current: () => NodeService): void {
  const scan = { store, reverse: false, limit: 1000, bytesMax: limits.listPageBytesMax, values: true };
  const applied = async (): Promise<bigint> =>
    (await current().status()).partitions.find(({ partition }) => partition === 0)!.appliedPosition;

  describe('positions', () => {
    test('a write tells where it was applied, a read how far the replica was', async () => {
      const { position } = await current().propose(0, mutate([put('a', '1')]));
      expect(position).toBe(await applied());
      const read = async (): Promise<bigint[]> => [
        (await current().get(0, store, 'a', eventual)).position,
        (await current().get(0, store, 'absent', eventual)).position,
        (await current().getMany(0, store, ['a', 'absent'], eventual)).position,
        (await current().getMany(0, store, [], eventual)).position,
        (await current().scan(0, scan, eventual)).position,
      ];
      expect(await read()).toEqual([position, position, position, position, position]);
      const next = await current().propose(0, mutate([put('b', '1')]));
      expect(next.position).toBeGreaterThan(position);
      expect(new Set(await read())).toEqual(new Set([next.position]));
    });

    test('a refused command has a position too', async () => {
      const condition = { kind: 'exists' } as const;
      const refused = await current().propose(0, mutate([put('a', '1', { condition })], { atomic: true }));
      expect([refused.code, refused.position]).toEqual(['precondition_failed', await applied()]);
    });

    test('what is acknowledged is there, however fresh a read is to be', async () => {
      const { position } = await current().propose(0, mutate([put('a', '1')]));
      for (const options of [strong, eventual, { ...eventual, maxLagMs: 1 }, { ...eventual, maxLagMs: 60_000 }]) {
        const found = await current().get(0, store, 'a', options);
        expect([text(found.entry), found.position]).toEqual(['1', position]);
        const many = await current().getMany(0, store, ['a'], options);
        expect([many.entries.map(text), many.position]).toEqual([['1'], position]);
        const page = await current().scan(0, scan, options);
        expect([page.entries.map(({ key }) => key), page.position]).toEqual([['a'], position]);
      }
    });

    test('what a position promises is there when a session asks for it', async () => {
      const { position } = await current().propose(0, mutate([put('a', '1')]));
      const session = { consistency: 'session', atLeast: position } as const;
      const found = await current().get(0, store, 'a', session);
      expect([text(found.entry), found.position]).toEqual(['1', position]);
      const { entries } = await current().getMany(0, store, ['a'], session);
      expect(entries.map(text)).toEqual(['1']);
      expect((await current().scan(0, scan, session)).entries.map(({ key }) => key)).toEqual(['a']);
    });
  });
}
