import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openClusterDataDirectory, openDataDirectory } from './data-directory.ts';

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'statestore-data-'));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

const mine = { cluster: 'shop', node: 'n1', engine: 'lmdb' } as const;

describe('the data folder of a node in a cluster', () => {
  test('is known again', async () => {
    const first = await openClusterDataDirectory(path, mine);
    expect(first.partitionPath(3)).toBe(join(path, 'partitions', '3'));
    first.close();
    const again = await openClusterDataDirectory(path, mine);
    expect(again.description).toEqual(first.description);
    again.close();
  });

  test.each([
    ['of another node', { ...mine, node: 'n2' }, 'node n1 of cluster shop; this is node n2 of cluster shop'],
    ['of another cluster', { ...mine, cluster: 'test' }, 'cluster shop; this is node n1 of cluster test'],
    ['of another engine', { ...mine, engine: 'memory' as const }, 'engine is memory'],
  ])('that is %s is refused', async (_, other, why) => {
    (await openClusterDataDirectory(path, mine)).close();
    await expect(openClusterDataDirectory(path, other)).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(why) as unknown,
    });
    // And it is not left locked.
    (await openClusterDataDirectory(path, mine)).close();
  });

  test('is no folder for a node without a cluster, nor the other way round', async () => {
    (await openClusterDataDirectory(path, mine)).close();
    await expect(openDataDirectory(path, { partitions: 4, engine: 'lmdb' })).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining('node n1 of cluster shop') as unknown,
    });
    rmSync(path, { recursive: true });
    (await openDataDirectory(path, { partitions: 4, engine: 'lmdb' })).close();
    await expect(openClusterDataDirectory(path, mine)).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining('a node without a cluster') as unknown,
    });
  });

  test('is used by one process', async () => {
    const held = await openClusterDataDirectory(path, mine);
    await expect(openClusterDataDirectory(path, mine)).rejects.toMatchObject({ code: 'data_locked' });
    held.close();
  });

  test.each([
    ['no JSON', '{', 'data_corrupt'],
    [
      'half a description',
      JSON.stringify({ format: 1, id: 'x', engine: 'lmdb', kind: 'cluster node' }),
      'data_corrupt',
    ],
    ['a newer format', JSON.stringify({ format: 2 }), 'data_format'],
  ])('with %s is refused', async (_, content, code) => {
    writeFileSync(join(path, 'statestore.json'), content);
    await expect(openClusterDataDirectory(path, mine)).rejects.toMatchObject({ code });
  });
});
