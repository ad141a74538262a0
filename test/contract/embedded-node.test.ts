// The node in one process on one data folder: restart, engine switch (I14), lock (I15), folders that
// cannot be used. Real files, real LMDB.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command, ErrorCode } from '@statestore/core';
import type { EmbeddedNode, EmbeddedNodeOptions } from '@statestore/node';
import { openEmbeddedNode } from '@statestore/node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let folder: string;
let open: EmbeddedNode[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'statestore-embedded-'));
  open = [];
});

afterEach(async () => {
  for (const embedded of open) await embedded.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(more: Partial<EmbeddedNodeOptions> = {}): Promise<EmbeddedNode> {
  const halted = (reason: Error) => expect.fail(`halted: ${reason.message}`);
  const embedded = await openEmbeddedNode({
    dataPath: join(folder, 'data'),
    partitions: 2,
    version: 'test',
    onHalted: halted,
    ...more,
  });
  open.push(embedded);
  return embedded;
}

async function stop(embedded: EmbeddedNode): Promise<void> {
  open = open.filter((other) => other !== embedded);
  await embedded.close();
}

function put(key: string, value: string): Command {
  const operation = {
    kind: 'put',
    key,
    condition: { kind: 'none' },
    value: Buffer.from(value),
    contentType: 'text/plain',
    ttl: { kind: 'default' },
  } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

async function fill(embedded: EmbeddedNode, from: number, to: number): Promise<void> {
  const writes: Promise<unknown>[] = [];
  for (let i = from; i < to; i++) writes.push(embedded.node.propose(i % 2, put(`k${i}`, `value ${i}`)));
  await Promise.all(writes);
}

/** Everything that is there, as text. */
async function contents(embedded: EmbeddedNode): Promise<string[]> {
  const all: string[] = [];
  for (const partition of [0, 1]) {
    const scan = { store: 's', reverse: false, limit: 100_000, bytesMax: 1e9, values: true };
    const { entries } = await embedded.node.scan(partition, scan, { consistency: 'strong' });
    all.push(
      ...entries.map(({ key, value, revision }) => `${partition} ${key} ${revision} ${Buffer.from(value).toString()}`),
    );
  }
  return all;
}

async function hashes(embedded: EmbeddedNode): Promise<string[]> {
  const { partitions } = await embedded.node.status();
  return partitions.map(({ chain, stateHash, appliedPosition }) => `${appliedPosition} ${chain} ${stateHash}`);
}

describe.each(['lmdb', 'memory'] as const)('with the %s engine', (engine) => {
  test('a clean restart finds everything', async () => {
    const first = await start({ engine });
    await fill(first, 0, 500);
    const before = await contents(first);
    const proof = await hashes(first);
    await stop(first);
    const second = await start({ engine });
    expect(await contents(second)).toEqual(before);
    expect(await hashes(second)).toEqual(proof);
    expect(before).toHaveLength(500);
  });

  test('a killed process is replayed to the same state (I1)', async () => {
    const script = new URL('embedded-node-child.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [script, join(folder, 'data'), engine], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const acknowledged: number[] = [];
    let text = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const lines = text.split('\n');
        text = lines.pop()!;
        acknowledged.push(...lines.map(Number));
        if (acknowledged.length > 2000) child.kill('SIGKILL');
      });
      child.on('exit', () => resolve());
    });
    const embedded = await start({ engine });
    const found = new Set((await contents(embedded)).map((line) => line.split(' ')[1]));
    expect(acknowledged.filter((i) => !found.has(`k${i}`))).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(2000);
  });
});

describe('the engine of a data folder', () => {
  test('changes from lmdb to memory to lmdb with nothing lost (I14)', async () => {
    let embedded = await start({ engine: 'lmdb' });
    await fill(embedded, 0, 300);
    for (const [engine, from] of [
      ['memory', 300],
      ['lmdb', 600],
      ['memory', 900],
      ['memory', 1200],
    ] as const) {
      const before = await contents(embedded);
      const proof = await hashes(embedded);
      await stop(embedded);
      embedded = await start({ engine });
      expect(embedded.description.engine).toBe(engine);
      expect(await contents(embedded)).toEqual(before);
      expect(await hashes(embedded)).toEqual(proof);
      await fill(embedded, from, from + 300);
    }
    expect(await contents(embedded)).toHaveLength(1500);
  });

  test('a switch that was interrupted before it was in force changes nothing', async () => {
    const first = await start({ engine: 'lmdb' });
    await fill(first, 0, 100);
    const before = await contents(first);
    await stop(first);
    // As a crash between the first partition's snapshot and the description leaves it.
    writeFileSync(join(folder, 'data', 'partitions', '0', 'snapshot'), 'half of something');
    const second = await start({ engine: 'lmdb' });
    expect(await contents(second)).toEqual(before);
  });

  test('stays as it is where none is asked for', async () => {
    await stop(await start({ engine: 'memory' }));
    const embedded = await start();
    expect(embedded.description).toMatchObject({ engine: 'memory', partitions: 2 });
  });

  test('memory: a snapshot lets the log be trimmed, and a damaged one is refused', async () => {
    const first = await start({ engine: 'memory', snapshotLogBytes: 100_000 });
    await fill(first, 0, 3000);
    await first.node.sync(0);
    await first.node.sync(1);
    const path = join(folder, 'data', 'partitions', '0', 'snapshot');
    await expect.poll(() => readFileSync(path).length, { timeout: 10_000 }).toBeGreaterThan(100);
    const before = await contents(first);
    await stop(first);
    const second = await start();
    expect(await contents(second)).toEqual(before);
    await stop(second);
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    await expect(start()).rejects.toMatchObject({ code: 'data_corrupt', message: expect.stringContaining('checksum') });
    writeFileSync(path, bytes.subarray(0, bytes.length - 5));
    await expect(start()).rejects.toMatchObject({ code: 'data_corrupt' });
  });
});

describe('a data folder that cannot be used is refused', () => {
  async function refused(code: ErrorCode, message: RegExp, more: Partial<EmbeddedNodeOptions> = {}): Promise<void> {
    await expect(start(more)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  }

  test('a file', async () => {
    writeFileSync(join(folder, 'data'), 'x');
    await refused('invalid_settings', /data is a file/);
    await refused('invalid_settings', /is a file or lies below one/, { dataPath: join(folder, 'data', 'below') });
    // Node's own recursive mkdir spins there for ever.
    await refused('invalid_settings', /cannot be|read-only/, { dataPath: '/proc/statestore/data' });
    expect(readFileSync(join(folder, 'data'), 'utf8')).toBe('x');
  });

  test('not writable', async () => {
    const path = join(folder, 'read-only');
    mkdirSync(path);
    const root = process.getuid?.() === 0;
    if (root) execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', path]);
    else chmodSync(path, 0o500);
    try {
      await refused('invalid_settings', /read-only|cannot be written/, { dataPath: path });
    } finally {
      if (root) execFileSync('umount', [path]);
      else chmodSync(path, 0o700);
    }
  });

  test('locked by another process (I15)', async () => {
    const first = await start();
    await refused('data_locked', /used by another process/);
    const script = new URL('embedded-node-child.ts', import.meta.url).pathname;
    const run = () => execFileSync(process.execPath, [script, join(folder, 'data'), 'lmdb'], { stdio: 'pipe' });
    expect(run).toThrow(/data_locked/);
    await fill(first, 0, 10);
    expect(await contents(first)).toHaveLength(10);
  });

  test('of a newer format, or damaged', async () => {
    await stop(await start());
    const path = join(folder, 'data', 'statestore.json');
    const good = readFileSync(path, 'utf8');
    writeFileSync(path, good.replace('"format": 1', '"format": 2'));
    await refused('data_format', /has format 2; this version knows up to 1/);
    writeFileSync(path, good.slice(0, 40));
    await refused('data_corrupt', /does not describe/);
    writeFileSync(path, 'null');
    await refused('data_corrupt', /does not describe/);
    writeFileSync(path, good);
    await stop(await start());
  });

  test('with another number of partitions', async () => {
    await stop(await start());
    await refused('invalid_settings', /partitions is 3, but the data folder .* has 2/, { partitions: 3 });
  });
});
