import { expect, test } from 'vitest';
import { DiskRoom } from './disk-room.ts';

const bounds = { lowShare: 0.15, criticalShare: 0.05 };
const total = 1000;

function roomOn(free: () => number | Error): DiskRoom {
  const read = async (): Promise<{ freeBytes: number; totalBytes: number }> => {
    const freeBytes = free();
    if (freeBytes instanceof Error) throw freeBytes;
    return { freeBytes, totalBytes: total };
  };
  return new DiskRoom({ path: '/', read, bounds });
}

const full = { code: 'disk_full' };

test('what would bring the disk to where nothing is applied is refused before anything is written', async () => {
  const room = roomOn(() => 300);
  await expect(room.take(201)).rejects.toMatchObject({
    ...full,
    message: expect.stringContaining('300 of 1000 bytes free; it takes about 252') as string,
  });
  // A quarter more than its content, and a twentieth of the disk stays.
  const taken = await room.take(200);
  await taken.check();
  taken.release();
});

test('what others that are built will still take is not there, and what is refused takes nothing', async () => {
  let free = 500;
  const room = roomOn(() => free);
  const one = await room.take(200);
  await expect(room.take(200)).rejects.toMatchObject(full);
  await expect(room.take(200)).rejects.toMatchObject(full);
  one.used(0.8);
  free -= 200;
  const other = await room.take(160);
  one.release();
  other.release();
  await (await room.take(200)).check();
});

test('one that is built is given up where others fill the disk', async () => {
  let free = 500;
  const taken = await roomOn(() => free).take(200);
  free = 50;
  await taken.check();
  free = 49;
  await expect(taken.check()).rejects.toMatchObject(full);
});

test('two that ask at once do not both get what is there for one', async () => {
  const room = roomOn(() => 400);
  const asked = await Promise.allSettled([room.take(200), room.take(200)]);
  expect(asked.some(({ status }) => status === 'rejected')).toBe(true);
});

test('a disk that nothing is known of holds nobody up', async () => {
  await (await roomOn(() => new Error('no such call')).take(1e12)).check();
});
