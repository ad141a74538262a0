// The table of requests in flight against a Map.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PendingTable } from './pending-table.ts';

test('is full at its capacity, and has room again', () => {
  const table = new PendingTable<string>(2);
  const [a, b] = [table.add('a')!, table.add('b')!];
  expect(table.add('c')).toBeUndefined();
  expect(table.delete(a)).toBe(true);
  expect(table.delete(a)).toBe(false);
  const c = table.add('c')!;
  expect([table.get(a), table.get(b), table.get(c)]).toEqual([undefined, 'b', 'c']);
  expect(c).not.toBe(a);
});

test('behaves as a map whose ids are not used again soon', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(40))), (steps) => {
      const table = new PendingTable<number>(16);
      const model = new Map<number, number>();
      const given: number[] = [];
      for (const [i, step] of steps.entries()) {
        if (step === null) {
          const id = table.add(i);
          expect(id === undefined).toBe(model.size === 16);
          if (id === undefined) continue;
          expect(given).not.toContain(id);
          given.push(id);
          model.set(id, i);
        } else {
          const id = given[step % Math.max(given.length, 1)] ?? 3;
          expect(table.delete(id)).toBe(model.delete(id));
        }
        expect(new Map(table.entries())).toEqual(model);
        expect(table.size).toBe(model.size);
      }
    }),
  );
});

test('ids stay within 32 bits', () => {
  const table = new PendingTable<string>(2 ** 30);
  for (let i = 0; i < 10; i++) {
    const id = table.add('x')!;
    expect(id).toBeGreaterThanOrEqual(0);
    expect(id).toBeLessThan(2 ** 32);
    table.delete(id);
  }
});
