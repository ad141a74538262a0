// Which blocks were read whole and compared with their hashes, and when: a block that many checkpoints share is read now
// and then, not for each of them, and never counts for longer than it may. What this process did not read it does not
// know: another one's word is no proof.
import { limits } from '@statestore/core';
import type { BlockReference, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { checkStored, getObject } from './block-object.ts';
import { inParallel } from './in-parallel.ts';
import { isDamage } from './markers.ts';
import { blocksOf } from './presence.ts';
import type { ObjectName, Repository } from './repository.ts';

export interface ProvingOptions {
  readonly repository: Repository;
  /** By a clock that only goes forward. */
  readonly elapsedMs: () => number;
  /** A proof that is older is none. */
  readonly proofMs?: number;
  /** After each block of so many bytes: how fast they are read is the caller's to say. */
  readonly pace?: (bytes: number) => Promise<void> | void;
  readonly signal?: AbortSignal | undefined;
}

export class BlockProofs {
  readonly #readAtMs = new Map<ObjectName, number>();
  readonly #damaged = new Map<ObjectName, string>();

  /** What is wrong with blocks, as they were read last. */
  get damaged(): ReadonlyMap<ObjectName, string> {
    return this.#damaged;
  }

  /** The names of the blocks that are not what they should be, of those that these partitions need. */
  async prove(partitions: readonly PartitionManifest[], options: ProvingOptions): Promise<readonly ObjectName[]> {
    const { elapsedMs, proofMs = limits.checkpointProofMs, pace } = options;
    const blocks = [...blocksOf(partitions)];
    await inParallel(blocks, limits.checkpointProofReadsMax, async ([name, block]) => {
      options.signal?.throwIfAborted();
      const readAtMs = this.#readAtMs.get(name);
      if (readAtMs !== undefined && elapsedMs() - readAtMs < proofMs) return;
      const nowMs = elapsedMs();
      const what = await this.#wrongOf(name, block, options);
      if (what === undefined) {
        this.#readAtMs.set(name, nowMs);
        this.#damaged.delete(name);
      } else {
        this.#readAtMs.delete(name);
        this.#damaged.set(name, what);
      }
      await pace?.(Number(block.storedBytes));
    });
    return blocks.flatMap(([name]) => (this.#damaged.has(name) ? [name] : []));
  }

  /** What nothing needs any more is forgotten. */
  keepOnly(names: ReadonlySet<ObjectName>): void {
    for (const known of [this.#readAtMs, this.#damaged])
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
  }

  /** Read twice before it is believed: what is wrong may be wrong on the way. */
  async #wrongOf(
    name: ObjectName,
    block: BlockReference,
    { repository, signal }: ProvingOptions,
  ): Promise<string | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        await checkStored(name, await getObject(repository, name, signal), block);
        return undefined;
      } catch (error) {
        if (!isDamage(error)) throw error;
        if (attempt === 2) return error.message;
      }
    }
  }
}
