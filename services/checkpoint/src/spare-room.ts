// Room in the repository that is given up where nothing else fits any more. What unlists a checkpoint, and what decides
// that there will be none, are objects themselves: they have to be written before anything may be removed, and no order
// of removals alone would do (docs/decisions/0011-deleting-checkpoints.md). So a few objects are kept that mean nothing.
// Who else writes may be quicker to take what they leave; then it is tried again by the next clearing up.
import { randomBytes } from 'node:crypto';
import { limits } from '@statestore/core';
import { reservePrefix } from './names.ts';
import type { Repository, RepositoryCall } from './repository.ts';
import { isDiskFull } from './repository-clock.ts';

/** Several: a file system may lack files as well as bytes. */
const count = 8;

/** Writes what is not there. Does nothing where there is no room. */
export async function keepRoom(repository: Repository, call: RepositoryCall = {}): Promise<void> {
  try {
    const there = new Set<string>();
    for await (const { name } of repository.list(reservePrefix, call)) there.add(name);
    for (let at = 0; at < count; at++) {
      const name = `${reservePrefix}${at}`;
      // Not to be compressed away by a file system.
      if (!there.has(name)) await repository.create(name, randomBytes(limits.repositoryReserveBytes / count), call);
    }
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** False: there was none. */
export async function giveUpRoom(repository: Repository, call: RepositoryCall): Promise<boolean> {
  const names: string[] = [];
  for await (const { name } of repository.list(reservePrefix, call)) names.push(name);
  if (names.length > 0) await repository.remove(names, call);
  return names.length > 0;
}

/** Once more, where there was no room for it. */
export async function withRoom<T>(repository: Repository, call: RepositoryCall, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!isDiskFull(error) || !(await giveUpRoom(repository, call))) throw error;
    return write();
  }
}
