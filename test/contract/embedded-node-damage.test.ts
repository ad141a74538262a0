// The node in one process on one data folder, where the folder, the disk or the order of events is not as
// it should be: what is missing is noticed before anything is removed, and closing leaves nothing behind.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from '@statestore/core';
import type { EmbeddedNode, EmbeddedNodeOptions } from '@statestore/node';
import { openEmbeddedNode } from '@statestore/node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let folder: string;
let path: string;
let open: EmbeddedNode[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'statestore-damage-'));
  path = join(folder, 'data');
  open = [];
});

afterEach(async () => {
  for (const embedded of open) await embedded.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(more: Partial<EmbeddedNodeOptions> = {}): Promise<EmbeddedNode> {
  const halted = (reason: Error) => expect.fail(`halted: ${reason.message}`);
  const embedded = await openEmbeddedNode({ dataPath: path, version: 'test', onHalted: halted, ...more });
  open.push(embedded);
  return embedded;
}

function put(key: string, bytes: number): Command {
  const operation = {
    kind: 'put',
    key,
    condition: { kind: 'none' },
    value: new Uint8Array(bytes).fill(7),
    contentType: '',
    ttl: { kind: 'default' },
  } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

async function fill({ node }: EmbeddedNode, count: number, bytes: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => node.propose(0, put(`k${i}`, bytes))));
}

async function keys({ node }: EmbeddedNode): Promise<number> {
  const scan = { store: 's', reverse: false, limit: 100_000, bytesMax: 1e9, values: false };
  return (await node.scan(0, scan, { consistency: 'strong' })).entries.length;
}

describe('a data folder', () => {
  test.each(['memory', 'lmdb'] as const)(
    'without its journal, or with another one, is refused (%s)',
    async (engine) => {
      const first = await start({ partitions: 1, engine });
      await fill(first, 20, 10);
      await first.close();
      open = [];
      renameSync(join(path, 'log'), join(folder, 'aside'));
      const refusal = { code: 'data_corrupt', message: expect.stringContaining('was made with') };
      await expect(start({})).rejects.toMatchObject(refusal);
      await expect(start({})).rejects.toMatchObject(refusal);
      rmSync(join(path, 'log'), { recursive: true });
      renameSync(join(folder, 'aside'), join(path, 'log'));
      expect(await keys(await start({}))).toBe(20);
    },
  );

  test.each(['memory', 'lmdb'] as const)(
    'without its description is refused, and keeps what it holds (%s)',
    async (engine) => {
      const first = await start({ partitions: 1, engine, snapshotLogBytes: 1 });
      await fill(first, 20, 10);
      await first.node.sync(0);
      const kept = join(path, 'partitions', '0', engine === 'memory' ? 'snapshot' : 'lmdb');
      await expect.poll(() => existsSync(kept)).toBe(true);
      await first.close();
      const description = join(path, 'statestore.json');
      renameSync(description, join(folder, 'aside'));
      const other = engine === 'memory' ? 'lmdb' : 'memory';
      await expect(start({ engine: other })).rejects.toMatchObject({
        code: 'data_corrupt',
        message: expect.stringContaining('statestore.json is missing'),
      });
      expect(existsSync(description)).toBe(false);
      expect(existsSync(kept)).toBe(true);
      renameSync(join(folder, 'aside'), description);
      expect(await keys(await start())).toBe(20);
    },
  );

  test.each(['memory', 'lmdb'] as const)('whose partitions were mixed up is refused (%s)', async (engine) => {
    const first = await start({ partitions: 2, engine, snapshotLogBytes: 1 });
    for (const partition of [0, 1]) {
      await first.node.propose(partition, put('k', 10));
      await first.node.sync(partition);
      const kept = join(path, 'partitions', String(partition), engine === 'memory' ? 'snapshot' : 'lmdb');
      await expect.poll(() => existsSync(kept)).toBe(true);
    }
    await first.close();
    const [zero, one, aside] = [join(path, 'partitions', '0'), join(path, 'partitions', '1'), join(folder, 'aside')];
    renameSync(zero, aside);
    renameSync(one, zero);
    renameSync(aside, one);
    await expect(start({ onHalted: () => {} })).rejects.toMatchObject({ code: 'partition_halted' });
  });

  test('is switched to lmdb although the removal of an earlier lmdb was interrupted (I14)', async () => {
    const first = await start({ partitions: 1, engine: 'memory' });
    await fill(first, 20, 10);
    await first.close();
    // As a crash in the middle of the removal leaves it: the environment without the name of the one in force.
    mkdirSync(join(path, 'partitions', '0', 'lmdb', 'env-3'), { recursive: true });
    expect(await keys(await start({ engine: 'lmdb' }))).toBe(20);
  });
});

describe('closing', () => {
  test('twice is closing once: the lock is held until everything is stored (I15)', async () => {
    const embedded = await start({ partitions: 1 });
    await fill(embedded, 500, 1000);
    const first = embedded.close();
    await embedded.close();
    await expect(first).resolves.toBeUndefined();
    expect(await keys(await start())).toBe(500);
  });

  test('waits for a snapshot under way: nothing is written to the folder afterwards', async () => {
    const embedded = await start({ partitions: 1, engine: 'memory', snapshotLogBytes: 1 });
    await fill(embedded, 64, 1_000_000);
    const partition = join(path, 'partitions', '0');
    await embedded.node.sync(0);
    await embedded.close();
    const left = () => readdirSync(partition).toSorted();
    const after = left();
    expect(after).not.toContain('snapshot.new');
    const changed = after.includes('snapshot') ? statSync(join(partition, 'snapshot')).mtimeMs : 0;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(left()).toEqual(after);
    expect(after.includes('snapshot') ? statSync(join(partition, 'snapshot')).mtimeMs : 0).toBe(changed);
  });
});

describe('a log that cannot be trimmed', () => {
  test('is told of, and nothing else happens', async () => {
    const notices: string[] = [];
    const embedded = await start({ partitions: 1, onNotice: (notice) => notices.push(notice) });
    // A folder in the place of the first segment: its removal fails. The log has the file open.
    const segment = join(path, 'log', `${'1'.padStart(20, '0')}.segment`);
    renameSync(segment, join(folder, 'aside'));
    mkdirSync(segment);
    await fill(embedded, 10, 1_000_000);
    await embedded.node.sync(0);
    await expect.poll(() => notices).toContain('the log of a partition could not be trimmed');
    expect(await keys(embedded)).toBe(10);
    rmSync(segment, { recursive: true });
    renameSync(join(folder, 'aside'), segment);
    await embedded.close();
    expect(await keys(await start())).toBe(10);
  });
});
