// The slots of one partition of a new cluster, out of the partitions of a checkpoint that has others: what
// slots-filter.ts makes of their records, into an engine, all or nothing.
import type { PartitionState } from '@statestore/core';
import { hashToHex } from '@statestore/core';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { BlockCache } from './block-cache.ts';
import { smallParts } from './in-turns.ts';
import { manifestName } from './names.ts';
import { readPartitionParts } from './partition-reader.ts';
import type { Repository } from './repository.ts';
import type { ProofOptions, RestoredPartition, RestoreTarget } from './restore-partition.ts';
import { provenState } from './restore-partition.ts';
import type { SlotRange, SlotsSource } from './slots-filter.ts';
import { countSlots, slotRecords } from './slots-filter.ts';
import type { StateRecord } from './records.ts';

export interface RestoreSlotsOptions extends ProofOptions {
  readonly repository: Repository;
  /** Partitions of one checkpoint that have these slots, at least. */
  readonly manifests: readonly PartitionManifest[];
  /** Half-open, ascending. */
  readonly slots: readonly SlotRange[];
  /** The state's position, where it is greater than those of the partitions: its log goes on from there. */
  readonly position?: bigint;
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly target: RestoreTarget;
  /** After each block of either pass. */
  readonly onProgress?: (progress: { readonly pass: 'count' | 'restore'; readonly blocks: number }) => void;
}

/** Which of the partitions have some of the slots. */
export function manifestsFor(
  manifests: readonly PartitionManifest[],
  slots: readonly SlotRange[],
): PartitionManifest[] {
  const meet = (a: SlotRange, b: SlotRange): boolean => a.start < b.end && b.start < a.end;
  return manifests.filter(({ summary }) => summary!.slots.some((own) => slots.some((wanted) => meet(own, wanted))));
}

/**
 * Resolves when the content is in force. Rejects as restorePartition does, and with `invalid_parameter` where the
 * manifests do not have all of the slots. The new state belongs to no log yet: it has no incarnation.
 */
export async function restoreSlots(options: RestoreSlotsOptions): Promise<RestoredPartition> {
  const { manifests, slots, position, target, repository } = options;
  const cache = new BlockCache();
  const progress = { pass: 'count' as 'count' | 'restore', blocks: 0 };
  const onProgress = (): void => {
    progress.blocks++;
    options.onProgress?.({ ...progress });
  };
  const sources = manifestsFor(manifests, slots).map((manifest): SlotsSource => {
    const { partition, slots: own } = manifest.summary!;
    const { signal } = options;
    const read: SlotsSource['read'] = (range) =>
      readPartitionParts({ repository, manifest, range, signal, cache, onProgress });
    return { partition, slots: own, read };
  });
  const counted = await countSlots(sources, slots, position);
  progress.pass = 'restore';
  let records = 0;
  async function* told(): AsyncGenerator<readonly StateRecord[], void> {
    for await (const part of smallParts(slotRecords(counted), options)) {
      records += part.length;
      yield part;
    }
  }
  let state: PartitionState | undefined;
  await target.restore(told(), counted.head.position, async (content) => {
    const name = manifestName(manifests[0]!.checkpoint);
    state = await provenState(name, counted.head, content, options);
  });
  const { chain, stateHash, entries } = state!;
  const { position: own } = counted.head;
  return { position: own, records, entries, chain: hashToHex(chain), stateHash: hashToHex(stateHash) };
}
