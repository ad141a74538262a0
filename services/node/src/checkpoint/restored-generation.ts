// Which generation the logs of a restored cluster, or data folder, begin with: a later one than any that clients may have
// been told of, so that their session tokens and cursors have nothing to wait for.
import { greatestGeneration, type Repository } from '@statestore/checkpoint';
import { limits } from '@statestore/core';

/** By what is in these repositories, other clusters' included: numbers cost nothing. Rejects with what they say. */
export async function restoredGeneration(repositories: readonly Repository[], signal: AbortSignal): Promise<number> {
  let greatest = 0;
  for (const repository of new Set(repositories)) {
    greatest = Math.max(greatest, await greatestGeneration({ repository, signal }));
  }
  return greatest + limits.restoreGenerationsAhead;
}
