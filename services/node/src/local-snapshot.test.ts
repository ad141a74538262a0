// The local snapshot: what was written comes back, and whatever is damaged, cut short or left half-way is
// refused or passed over, never half-read (I7).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EngineEntry, EngineSnapshot } from './engine/engine.ts';
import { MemoryEngine } from './engine/memory-engine.ts';
import { openLocalSnapshot, writeLocalSnapshot } from './local-snapshot.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'statestore-snapshot-'));
  path = join(folder, 'snapshot');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function write(
  entries: readonly (readonly [string, string])[],
  position = 0x0102_0304_0506_0708n,
): Promise<void> {
  const engine = new MemoryEngine();
  await engine.commit(new Map(entries.map(([key, value]) => [key, Buffer.from(value, 'latin1')])), position);
  const snapshot = engine.snapshot();
  await writeLocalSnapshot(path, snapshot);
  snapshot.close();
}

/** What is read, or the code of the refusal. */
async function read(): Promise<unknown> {
  const found: unknown[] = [];
  try {
    const snapshot = await openLocalSnapshot(path);
    if (snapshot === undefined) return undefined;
    found.push(snapshot.position);
    for await (const { key, value } of snapshot.entries) found.push([key, Buffer.from(value).toString('latin1')]);
    return found;
  } catch (error) {
    if (error instanceof StateStoreError) return error.code;
    throw error;
  }
}

const small: readonly (readonly [string, string])[] = [
  ['\x01', 'head'],
  ['\x10\xff', ''],
  ['\x20k', 'value'],
];

describe('the local snapshot', () => {
  test('comes back as it was written, however many blocks it takes', async () => {
    expect(await read()).toBeUndefined();
    await write([], 0n);
    expect(await read()).toEqual([0n]);
    await write(small, 7n);
    expect(await read()).toEqual([7n, ...small]);
    const many = Array.from(
      { length: 40 },
      (_, i) => [`k${String(i).padStart(3, '0')}`, `${i}`.repeat(50_000)] as const,
    );
    await write(many, 8n);
    expect(await read()).toEqual([8n, ...many]);
    expect(readdirSync(folder)).toEqual(['snapshot']);
  });

  test('damage to any bit is refused', async () => {
    await write(small);
    const whole = readFileSync(path);
    const accepted: string[] = [];
    for (let i = 0; i < whole.length * 8; i++) {
      const bytes = Buffer.from(whole);
      bytes[i >> 3]! ^= 1 << (i & 7);
      writeFileSync(path, bytes);
      if ((await read()) !== 'data_corrupt') accepted.push(`bit ${i & 7} of byte ${i >> 3}`);
    }
    expect(accepted).toEqual([]);
  });

  test('cut at any length, or longer than it was, it is refused', async () => {
    await write(small);
    const whole = readFileSync(path);
    const accepted: number[] = [];
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      if ((await read()) !== 'data_corrupt') accepted.push(length);
    }
    expect(accepted).toEqual([]);
    for (const more of [whole.subarray(-24), Buffer.alloc(1), whole]) {
      writeFileSync(path, Buffer.concat([whole, more]));
      expect(await read()).toBe('data_corrupt');
    }
  });

  test('a block that is missing or there twice is refused', async () => {
    await write([
      ['a', 'x'.repeat(1024 * 1024)],
      ['b', 'y'.repeat(1024 * 1024)],
    ]);
    const whole = readFileSync(path);
    const block = 8 + 8 + 1 + 1024 * 1024;
    const [head, first, rest] = [whole.subarray(0, 16), whole.subarray(16, 16 + block), whole.subarray(16 + block)];
    for (const parts of [
      [head, rest],
      [head, first, first, rest],
    ]) {
      writeFileSync(path, Buffer.concat(parts));
      expect(await read()).toBe('data_corrupt');
    }
  });

  test('a draft that a crash left is passed over and removed', async () => {
    await write(small, 7n);
    writeFileSync(`${path}.new`, readFileSync(path).subarray(0, 30));
    expect(await read()).toEqual([7n, ...small]);
    expect(readdirSync(folder)).toEqual(['snapshot']);
    rmSync(path);
    writeFileSync(`${path}.new`, 'half of something');
    expect(await read()).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('one that could not be written leaves the one before in force, and gives its space back', async () => {
    await write(small, 7n);
    const failing = {
      position: 8n,
      *range(): IterableIterator<EngineEntry> {
        yield { key: 'a', value: new Uint8Array(2 * 1024 * 1024) };
        throw new Error('the engine failed');
      },
    } as unknown as EngineSnapshot;
    await expect(writeLocalSnapshot(path, failing)).rejects.toThrow('the engine failed');
    expect(readdirSync(folder)).toEqual(['snapshot']);
    expect(await read()).toEqual([7n, ...small]);
  });

  // The kernel then writes a part and says so; only the next write fails.
  test('a disk that is full just before its end leaves none that is damaged', () => {
    const script = `
      import { MemoryEngine } from ${JSON.stringify(new URL('engine/memory-engine.ts', import.meta.url).href)};
      import { writeLocalSnapshot } from ${JSON.stringify(new URL('local-snapshot.ts', import.meta.url).href)};
      const engine = new MemoryEngine();
      await engine.put('k', new Uint8Array(4050));
      await writeLocalSnapshot(process.argv[1], engine.snapshot());
    `;
    const run = (limit: string) =>
      spawnSync('bash', [
        '-c',
        `ulimit -f ${limit}; exec "$@"`,
        'bash',
        process.execPath,
        '--input-type=module',
        '-e',
        script,
        path,
      ]);
    const cut = run('4');
    expect(cut.status).not.toBe(0);
    expect(existsSync(path)).toBe(false);
    const whole = run('5');
    expect([whole.status, whole.stderr.toString()]).toEqual([0, expect.any(String)]);
    expect(readFileSync(path).length).toBeGreaterThan(4096);
  });
});
