// Blocks on their way out of the repository: fetched ahead, a few at a time, and handed out in order. Bounded by
// the bytes that they hold together; what is left early is waited for by nobody and heard of by nobody.
import type { BlockReference } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { BlockCache } from './block-cache.ts';
import { readBlock } from './block-object.ts';
import type { Repository } from './repository.ts';

export interface BlockDownloadsOptions {
  readonly repository: Repository;
  readonly blocks: readonly BlockReference[];
  /** Contents and what they are compressed to; one block is fetched however large it is. */
  readonly aheadBytes: number;
  readonly atOnceMax: number;
  readonly cache: BlockCache | undefined;
  readonly signal: AbortSignal;
}

export interface FetchedBlock {
  readonly reference: BlockReference;
  readonly content: Uint8Array;
}

export async function* downloadBlocks(options: BlockDownloadsOptions): AsyncGenerator<FetchedBlock, void> {
  const { repository, blocks, aheadBytes, atOnceMax, cache } = options;
  const leave = new AbortController();
  const signal = AbortSignal.any([options.signal, leave.signal]);
  const ahead: { readonly reference: BlockReference; readonly content: Promise<Uint8Array>; readonly bytes: number }[] =
    [];
  let next = 0;
  let held = 0;
  try {
    for (;;) {
      while (next < blocks.length && ahead.length < atOnceMax && (ahead.length === 0 || held < aheadBytes)) {
        const reference = blocks[next++]!;
        const bytes = Number(reference.bytes + reference.storedBytes);
        const read = (): Promise<Uint8Array> =>
          readBlock(repository, reference, cache === undefined ? signal : options.signal);
        const content = cache === undefined ? read() : cache.get(reference, read);
        // Heard of when it is its turn.
        content.catch(() => undefined);
        ahead.push({ reference, content, bytes });
        held += bytes;
      }
      const first = ahead.shift();
      if (first === undefined) return;
      const content = await first.content;
      held -= first.bytes;
      yield { reference: first.reference, content };
    }
  } finally {
    leave.abort();
  }
}
