// Damage to the embedded log's files, byte by byte: what a crash can leave is cut, everything else is
// refused by name.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { appendAll, Collector, payload, positionOf } from './log-collector.ts';
import { headerBlockBytes, LogFolder, segmentBytes } from './log-folder.ts';

const folder = new LogFolder();

/** Opens what should open, checks that it holds exactly `payloads`, and that it goes on. */
async function expectHolds(payloads: readonly Uint8Array[], context: string): Promise<number> {
  const log = await folder.open();
  const last = BigInt(payloads.length);
  expect((await log.bounds()).last, `last, ${context}`).toBe(last);
  const all = new Collector(log, 1n);
  if (last > 0n) await all.reached(last);
  for (const [i, { bytes }] of all.records.entries()) {
    expect(Buffer.compare(bytes, payloads[i] ?? bytes.subarray(1)), `${context}, position ${i + 1}`).toBe(0);
  }
  expect(positionOf(await log.append(payload(99))), `next, ${context}`).toBe(last + 1n);
  await log.close();
  return log.recovered.cutBytes;
}

const records = [1, 2, 3, 4, 5].map((n) => payload(n, 20 + n));
/** File offset of each record's frame, and of the end. */
const frameOffsets = [headerBlockBytes];
for (const [i, { length }] of records.entries())
  frameOffsets.push((frameOffsets[i] ?? 0) + Math.ceil((40 + length) / 8) * 8);

function frameOffset(position: number): number {
  return frameOffsets[position - 1] ?? Number.NaN;
}
const framesEnd = frameOffset(6);

/** A log of five records, each in a write of its own. Returns the file as it is after a crash. */
async function fiveWrites(): Promise<Buffer> {
  const log = await folder.open();
  for (const bytes of records) await appendAll(log, [bytes]);
  await folder.crash(log);
  const image = await readFile(await folder.onlySegment());
  expect(image.subarray(framesEnd).every((byte) => byte === 0)).toBe(true);
  expect(image.toString('latin1', frameOffset(5), frameOffset(5) + 4)).toBe('SSLF');
  return image;
}

function noise(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => ((seed + i) * 2654435761) >>> 24 || 1));
}

describe('a torn tail is cut', () => {
  /** Records that are whole before this offset. */
  function wholeBefore(offset: number): Uint8Array[] {
    return records.filter((_, i) => frameOffset(i + 2) <= offset);
  }

  test('the file ends at any offset', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    for (let offset = headerBlockBytes; offset <= framesEnd; offset++) {
      await writeFile(path, image.subarray(0, offset));
      await expectHolds(wholeBefore(offset), `ends at ${offset}`);
    }
  }, 60_000);

  test('zeros from any offset on', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    for (let offset = headerBlockBytes; offset <= framesEnd; offset++) {
      const damagedImage = Buffer.from(image).fill(0, offset);
      await writeFile(path, damagedImage);
      // Where only zeros of the padding were zeroed, nothing was.
      const same = records.filter((_, i) =>
        damagedImage.subarray(0, frameOffset(i + 2)).equals(image.subarray(0, frameOffset(i + 2))),
      );
      await expectHolds(same, `zeros from ${offset}`);
    }
  }, 60_000);

  test('garbage from any offset of the last write on, up to its end and beyond', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    for (const beyond of [0, 1000]) {
      for (let offset = frameOffset(5); offset < framesEnd; offset++) {
        const garbage = noise(framesEnd + beyond - offset, offset);
        await writeFile(path, Buffer.from(image).fill(garbage, offset, offset + garbage.length));
        const cutBytes = await expectHolds(records.slice(0, 4), `garbage from ${offset}`);
        expect(cutBytes).toBe(framesEnd + beyond - frameOffset(5));
      }
    }
  }, 60_000);

  test('any one frame of a write of several is torn, later ones of it are whole', async () => {
    const log = await folder.open();
    await appendAll(log, records.slice(0, 2));
    // One write: all are appended in one turn.
    await appendAll(log, records.slice(2));
    await folder.crash(log);
    const path = await folder.onlySegment();
    const image = await readFile(path);
    for (const torn of [3, 4, 5]) {
      for (let offset = frameOffset(torn); offset < frameOffset(torn + 1); offset++) {
        const damagedImage = Buffer.from(image);
        damagedImage[offset] = (damagedImage[offset] ?? 0) ^ 0x10;
        await writeFile(path, damagedImage);
        await expectHolds(records.slice(0, torn - 1), `record ${torn} torn at ${offset}`);
      }
    }
  }, 60_000);

  test('a record that contains a piece of this very log proves nothing', async () => {
    const log = await folder.open();
    for (const bytes of records) await appendAll(log, [bytes]);
    const piece = (await readFile(await folder.onlySegment())).subarray(headerBlockBytes, framesEnd);
    await appendAll(log, [piece]);
    await folder.crash(log);
    const path = await folder.onlySegment();
    const image = await readFile(path);
    for (const offset of [framesEnd, framesEnd + 8, framesEnd + 39]) {
      await writeFile(path, Buffer.from(image).fill(0xee, offset, offset + 1));
      await expectHolds(records, `torn at ${offset}`);
    }
  });

  test('a half-made next segment is ignored', async () => {
    const image = await fiveWrites();
    await writeFile(join(folder.path, 'spare.unfinished'), noise(5000, 1));
    await expectHolds(records, 'unfinished');
    await rm(folder.path, { recursive: true });
    await fiveWrites();
    // Killed after its header was written, before it was named.
    await writeFile(join(folder.path, 'spare'), Buffer.alloc(segmentBytes).fill(image.subarray(0, 64), 0, 64));
    await expectHolds(records, 'header only');
  });
});

describe('damage is refused', () => {
  test('every bit of every byte of a record before the last write', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    for (let offset = frameOffset(3); offset < frameOffset(4); offset++) {
      for (let bit = 0; bit < 8; bit++) {
        const damagedImage = Buffer.from(image);
        damagedImage[offset] = (damagedImage[offset] ?? 0) ^ (1 << bit);
        await writeFile(path, damagedImage);
        const error = await folder.refusal();
        expect(error.code, `bit ${bit} at ${offset}`).toBe('data_corrupt');
        expect(error.message).toContain(`${path} is damaged at offset ${frameOffset(3)}, position 3: `);
        expect(error.hint).toContain('checkpoint');
      }
    }
    // Refusing changed nothing: with the byte back, all is there.
    await writeFile(path, image);
    await expectHolds(records, 'mended');
  }, 60_000);

  test.each(['closed', 'crashed, opened, crashed'])(
    'every byte of every record, the last one included: %s',
    async (how) => {
      const log = await folder.open();
      for (const bytes of records) await appendAll(log, [bytes]);
      if (how === 'closed') {
        await log.close();
      } else {
        await folder.crash(log);
        await folder.crash(await folder.open());
      }
      const path = await folder.onlySegment();
      const image = await readFile(path);
      for (let offset = headerBlockBytes; offset < framesEnd; offset++) {
        await writeFile(path, Buffer.from(image).fill((image[offset] ?? 0) ^ 0xff, offset, offset + 1));
        expect((await folder.refusal()).code, `byte ${offset}`).toBe('data_corrupt');
      }
    },
    60_000,
  );

  test('a mark that later writes prove, not one at the end', async () => {
    await fiveWrites();
    await (await folder.open()).close();
    const path = await folder.onlySegment();
    const marked = await readFile(path);
    for (let offset = framesEnd; offset < framesEnd + 40; offset++) {
      await writeFile(path, Buffer.from(marked).fill((marked[offset] ?? 0) ^ 0xff, offset, offset + 1));
      await expectHolds(records, `mark at ${offset}`);
    }
    await writeFile(path, marked);
    const log = await folder.open();
    await appendAll(log, [payload(6)]);
    await appendAll(log, [payload(7)]);
    await folder.crash(log);
    const followed = await readFile(path);
    for (let offset = framesEnd; offset < framesEnd + 40; offset++) {
      await writeFile(path, Buffer.from(followed).fill((followed[offset] ?? 0) ^ 0xff, offset, offset + 1));
      expect((await folder.refusal()).code, `mark at ${offset}`).toBe('data_corrupt');
    }
  }, 60_000);

  test('a hole of zeros in the middle, of whole frames or a part', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    const holes = [
      [frameOffset(3), frameOffset(4)],
      [frameOffset(2), frameOffset(5)],
      [frameOffset(1), frameOffset(4) + 7],
      [frameOffset(3) + 8, frameOffset(3) + 50],
    ] as const;
    for (const [from, to] of holes) {
      await writeFile(path, Buffer.from(image).fill(0, from, to));
      expect((await folder.refusal()).code, `zeros from ${from} to ${to}`).toBe('data_corrupt');
    }
  });

  test('every byte of the header block', async () => {
    const image = await fiveWrites();
    const path = await folder.onlySegment();
    for (const offset of [...Array.from({ length: 64 }, (_, i) => i), 64, 2000, 4095]) {
      await writeFile(path, Buffer.from(image).fill((image[offset] ?? 0) ^ 0x04, offset, offset + 1));
      const error = await folder.refusal();
      expect(error.code, `byte ${offset}`).toBe('data_corrupt');
      expect(error.message).toContain(path);
    }
    for (const length of [0, 63, 4095]) {
      await writeFile(path, image.subarray(0, length));
      expect((await folder.refusal()).code, `${length} bytes`).toBe('data_corrupt');
    }
    await writeFile(path, Buffer.concat([image, Buffer.alloc(1)]));
    expect((await folder.refusal()).message).toContain(`the file has ${image.length + 1} bytes, not ${image.length}`);
  });

  test('a newer format is refused as such', async () => {
    const image = await fiveWrites();
    image.writeUInt32LE(2, 8);
    image.writeUInt32LE(crc32(image.subarray(0, 60)), 60);
    await writeFile(await folder.onlySegment(), image);
    const error = await folder.refusal();
    expect(error.code).toBe('data_format');
    expect(error.message).toContain('format 2');
  });

  test('another partition', async () => {
    await fiveWrites();
    const error = await folder.refusal(7);
    expect(error.code).toBe('data_corrupt');
    expect(error.message).toContain('belongs to partition 0, this is partition 7');
  });
});
