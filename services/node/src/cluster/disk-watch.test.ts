import { tmpdir } from 'node:os';
import { limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { ManualTime, settled } from '../testing/manual-time.ts';
import type { DiskLevel, DiskSpace } from './disk-watch.ts';
import { defaultDiskBounds, diskLevel, DiskWatch, readDisk } from './disk-watch.ts';

function free(percent: number): DiskSpace {
  return { freeBytes: percent, totalBytes: 100 };
}

describe('the level of a disk', () => {
  test.each<[number, DiskLevel, DiskLevel]>([
    [80, 'ample', 'ample'],
    [15, 'ample', 'ample'],
    [14.9, 'ample', 'low'],
    [5, 'ample', 'low'],
    [4.9, 'ample', 'critical'],
    [16, 'low', 'low'],
    [17, 'low', 'ample'],
    [4, 'low', 'critical'],
    [6.9, 'critical', 'critical'],
    [7.1, 'critical', 'low'],
    [16, 'critical', 'low'],
    [40, 'critical', 'ample'],
  ])('with %d %% free after %s is %s', (percent, before, after) => {
    expect(diskLevel(free(percent), before, defaultDiskBounds)).toBe(after);
  });

  test.each<[number, DiskLevel, DiskLevel]>([
    [2, 'ample', 'ample'],
    [0.9, 'ample', 'low'],
    [1.4, 'low', 'low'],
    [1.6, 'low', 'ample'],
    [0.3, 'low', 'critical'],
    [0.5, 'critical', 'critical'],
    [0.7, 'critical', 'low'],
  ])('where 1 %% is low and 0.4 %% critical, with %d %% free after %s is %s', (percent, before, after) => {
    expect(diskLevel(free(percent), before, { lowShare: 0.01, criticalShare: 0.004 })).toBe(after);
  });

  test('is never one whose share is 0', () => {
    expect(diskLevel(free(0), 'ample', { lowShare: 0.01, criticalShare: 0 })).toBe('low');
    expect(diskLevel(free(0), 'critical', { lowShare: 0.01, criticalShare: 0 })).toBe('low');
  });

  test('of a file system that tells no size is ample', () => {
    expect(diskLevel({ freeBytes: 0, totalBytes: 0 }, 'ample', defaultDiskBounds)).toBe('ample');
  });
});

test('the real disk can be read', async () => {
  const { freeBytes, totalBytes } = await readDisk(tmpdir());
  expect(freeBytes).toBeGreaterThan(0);
  expect(totalBytes).toBeGreaterThan(freeBytes);
});

test('a watch tells of each change once, and survives that it cannot be read', async () => {
  const time = new ManualTime();
  const told: string[] = [];
  let percent = 80;
  let failing = false;
  const watch = new DiskWatch({
    path: 'somewhere',
    bounds: defaultDiskBounds,
    time,
    read: async () => {
      if (failing) throw new Error('EIO');
      return free(percent);
    },
    onLevel: (level) => told.push(level),
    onFailed: () => told.push('failed'),
  });
  watch.start();
  await settled();
  expect(watch.space).toEqual(free(80));
  percent = 10;
  await time.advance(limits.diskCheckMs * 3);
  expect(told).toEqual(['low']);
  failing = true;
  await time.advance(limits.diskCheckMs * 3);
  expect(told).toEqual(['low', 'failed']);
  expect(watch.level).toBe('low');
  failing = false;
  percent = 3;
  await time.advance(limits.diskCheckMs);
  expect(told.slice(2)).toEqual(['critical']);
  watch.close();
  percent = 80;
  await time.advance(limits.diskCheckMs * 3);
  expect(told.length).toBe(3);
  expect(time.pending).toBe(0);
});
