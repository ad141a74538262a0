// A repository in a folder keeps the contract.
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository, repositoryFromUrl } from '@statestore/checkpoint';
import { expect, test } from 'vitest';
import { repositoryContract } from './repository-contract.ts';

repositoryContract(
  'a folder',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-repository-'));
    return {
      open: () => openRepository(repositoryFromUrl(`file://${folder}/sub/folder`)),
      async close() {
        const left = await readdir(folder, { recursive: true });
        expect(left.filter((name) => name.includes('~'))).toEqual([]);
        await rm(folder, { recursive: true });
      },
    };
  },
  { manyObjects: 2500 },
);

test('what is made is its user’s alone; what is there is used as it is', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'statestore-repository-'));
  const modeOf = async (...path: string[]): Promise<number> => (await stat(join(folder, ...path))).mode & 0o777;
  try {
    const made = await openRepository(repositoryFromUrl(`file://${folder}/sub/made`));
    await made.create('a/b/c', Buffer.from('c'));
    await made.put('latest', Buffer.from('l'));
    await made.close();
    for (const path of ['sub', 'sub/made', 'sub/made/a', 'sub/made/a/b']) expect(await modeOf(path)).toBe(0o700);
    for (const path of ['sub/made/a/b/c', 'sub/made/latest']) expect(await modeOf(path)).toBe(0o600);
    await mkdir(join(folder, 'there', 'a'), { recursive: true });
    await chmod(join(folder, 'there', 'a'), 0o755);
    await writeFile(join(folder, 'there', 'a', 'b'), 'b', { mode: 0o644 });
    const there = await openRepository(repositoryFromUrl(`file://${folder}/there`));
    await there.create('a/c', Buffer.from('c'));
    expect(await there.get('a/b')).toEqual(Buffer.from('b'));
    await there.close();
    expect(await modeOf('there', 'a')).toBe(0o755);
    expect(await modeOf('there', 'a', 'b')).toBe(0o644);
  } finally {
    await rm(folder, { recursive: true });
  }
});
