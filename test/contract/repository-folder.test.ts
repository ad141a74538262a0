// A repository in a folder keeps the contract.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository, repositoryFromUrl } from '@statestore/checkpoint';
import { expect } from 'vitest';
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
