// Damage to an embedded log of several files: a file missing, foreign, cut short, or hurt where it was full.
import { copyFile, mkdir, open as openFile, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { appendAll, Collector, payload } from './log-collector.ts';
import { headerBlockBytes, LogFolder, segmentBytes } from './log-folder.ts';

const folder = new LogFolder();

describe('a log of several segments', () => {
  /** Four segments, the log closed. */
  async function manySegments(at = folder.path): Promise<number> {
    const log = await folder.open(at);
    const count = 40;
    await appendAll(
      log,
      Array.from({ length: count }, (_, i) => payload(i, 1000)),
    );
    await log.close();
    return count;
  }

  test.each([1, 2, 3])('segment %i is missing', async (which) => {
    await manySegments();
    const paths = await folder.segments();
    expect(paths.length).toBe(4);
    const path = paths[which] ?? '';
    await rm(path);
    const error = await folder.refusal();
    expect(error.code).toBe('data_corrupt');
    expect(error.message).toContain(`${path} is damaged`);
    expect(error.message).toContain('the file is missing');
  });

  test('the oldest missing is as if trimmed', async () => {
    const count = await manySegments();
    const [oldest = ''] = await folder.segments();
    await rm(oldest);
    const log = await folder.open();
    const { first, last } = await log.bounds();
    expect(first).toBeGreaterThan(1n);
    expect(last).toBe(BigInt(count));
    await log.close();
  });

  test('an oldest one whose removal failed is removed before the next: no hole is left', async () => {
    const count = await manySegments();
    const [first = '', second = '', third = ''] = await folder.segments();
    const log = await folder.open();
    const aside = join(folder.root, 'aside');
    // A folder in its place: it cannot be removed as a file.
    await rename(first, aside);
    await mkdir(first);
    const firstOf = (path: string): bigint => BigInt(path.slice(-28, -8));
    await expect(log.trim(firstOf(second))).rejects.toThrow(/EISDIR|directory/);
    await expect(log.trim(firstOf(third))).rejects.toThrow(/EISDIR|directory/);
    expect(await folder.segments()).toContain(second);
    await rm(first, { recursive: true });
    await rename(aside, first);
    await log.trim(firstOf(third));
    expect((await folder.segments())[0]).toBe(third);
    await log.close();
    const again = await folder.open();
    expect(await again.bounds()).toEqual({ first: firstOf(third), last: BigInt(count) });
    await again.close();
  });

  test('one of another log with the same name', async () => {
    await manySegments();
    const foreign = join(folder.root, 'foreign');
    await manySegments(foreign);
    const [, path = ''] = await folder.segments();
    await copyFile(join(foreign, path.slice(folder.path.length)), path);
    const error = await folder.refusal();
    expect(error.code).toBe('data_corrupt');
    expect(error.message).toContain(`${path} is damaged`);
    expect(error.message).toContain('it is of another log');
  });

  test('one under the name of another position', async () => {
    await manySegments();
    const [, second = '', third = ''] = await folder.segments();
    await copyFile(second, third);
    const error = await folder.refusal();
    expect(error.message).toContain(`${third} is damaged`);
    expect(error.message).toContain('its header says that it begins at position');
  });

  test('one that is not the last is cut short, or has lost its end', async () => {
    await manySegments();
    const [path = ''] = await folder.segments();
    const image = await readFile(path);
    await truncate(path, segmentBytes - 1);
    expect((await folder.refusal()).message).toContain(`the file has ${segmentBytes - 1} bytes, not ${segmentBytes}`);
    await writeFile(path, Buffer.from(image).fill(0, headerBlockBytes + 5 * 1040));
    const error = await folder.refusal();
    expect(error.code).toBe('data_corrupt');
    expect(error.message).toContain(`offset ${headerBlockBytes + 5 * 1040}, position 6: zeros before position`);
  });

  test('a byte of a record in one that is not the last', async () => {
    await manySegments();
    const [, path = ''] = await folder.segments();
    const image = await readFile(path);
    for (let offset = headerBlockBytes; offset < headerBlockBytes + 1040; offset += 13) {
      await writeFile(path, Buffer.from(image).fill((image[offset] ?? 0) ^ 1, offset, offset + 1));
      expect((await folder.refusal()).code, `byte ${offset}`).toBe('data_corrupt');
    }
  });

  test('damage that comes while it is open: what is good is delivered, then the subscription ends as corrupt', async () => {
    const count = await manySegments();
    const log = await folder.open();
    const [path = ''] = await folder.segments();
    const file = await openFile(path, 'r+');
    await file.write(Buffer.from([0xaa]), 0, 1, headerBlockBytes + 6 * 1040 + 100);
    await file.close();
    const collector = new Collector(log, 1n);
    const end = await collector.subscription.ended;
    expect(end.kind === 'corrupt' && end.cause).toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining(path),
    });
    expect(collector.positions).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
    // Those who are past it go on.
    const later = new Collector(log, (await log.bounds()).last);
    await later.reached(BigInt(count));
    await log.close();
  });
});
