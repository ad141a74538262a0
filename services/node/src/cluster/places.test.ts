import { expect, test } from 'vitest';
import { Places } from './places.ts';

const never = new AbortController().signal;

test('so many at a time, in their order, and a place is given back once', async () => {
  const places = new Places(2);
  const order: number[] = [];
  const free = [await places.take(never), await places.take(never)];
  expect(places.full).toBe(true);
  const waiting = [1, 2, 3].map(async (n) => {
    const release = await places.take(never);
    order.push(n);
    return release;
  });
  free[0]!();
  free[0]!();
  await waiting[0];
  expect(order).toEqual([1]);
  free[1]!();
  await waiting[1];
  (await waiting[0]!)();
  (await waiting[2]!)();
  (await waiting[1]!)();
  expect([order, places.full]).toEqual([[1, 2, 3], false]);
});

test('who stops waiting takes no place, also where it was just given one', async () => {
  const places = new Places(1);
  const release = await places.take(never);
  const [early, late] = [new AbortController(), new AbortController()];
  const gone = places.take(early.signal);
  const given = places.take(late.signal);
  early.abort(new Error('no longer wanted'));
  await expect(gone).rejects.toThrow('no longer wanted');
  release();
  late.abort(new Error('no longer wanted either'));
  await given.then(
    (free) => free(),
    () => undefined,
  );
  expect(places.full).toBe(false);
  await expect(places.take(late.signal)).rejects.toThrow('either');
  expect(places.full).toBe(false);
});
