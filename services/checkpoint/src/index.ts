export {
  decodeCheckpointManifest,
  decodePartitionManifest,
  encodeCheckpointManifest,
  encodePartitionManifest,
  type ManifestExpectation,
  readPartitionManifest,
  storedBytesOf,
  summaryOf as partitionSummaryOf,
} from './manifest-codec.ts';
export { MemoryRepository } from './memory-repository.ts';
export {
  type CatalogOptions,
  type CompleteCheckpoint,
  type DamagedCheckpoint,
  deletedCheckpoints,
  examine,
  type GoodCheckpoint,
  isUnreadable,
  type ListedCheckpoint,
  listCheckpoints,
  type NewestGood,
  newestGood,
  type PassedOver,
  type ShownCheckpoint,
  showCheckpoint,
} from './catalog.ts';
export { BlockProofs } from './block-proofs.ts';
export { type GivenInto, intoFrom, intoTable } from './into-settings.ts';
export { isCheckpointId } from './checkpoint-id.ts';
export { greatestGeneration } from './greatest-generation.ts';
export { type CollectOutcome, collectGarbage } from './collect-garbage.ts';
export {
  type BegunCheckpoint,
  beginCheckpoint,
  commitCheckpoint,
  type CommitOutcome,
  giveUpCheckpoint,
} from './commit.ts';
export { applyRetention, deleteCheckpoint, type DeleteOutcome } from './delete-checkpoint.ts';
export type { RetentionPolicy } from './retention.ts';
export { type ScratchEngine, type Verification, verifyCheckpoint, type VerifyOptions } from './verify-checkpoint.ts';
export * from './names.ts';
export * from './repository.ts';
export { probeRepository } from './repository-probe.ts';
export {
  type GivenRepository,
  openRepository,
  repositoryFrom,
  repositoryFromUrl,
  type RepositorySettings,
  repositoryTable,
} from './repository-settings.ts';
export { type Proven, type ProvenCheckpoint, provenCheckpoints, type ProvenOptions } from './proven-checkpoints.ts';
export { keepRoom } from './spare-room.ts';
export { checkpointFormat, seal, unseal } from './sealed.ts';
export type { Turn } from './in-turns.ts';
export type { LayerPlan } from './layer-plan.ts';
export { type ReadPartitionOptions, type ReadProgress, readPartition, readPartitionParts } from './partition-reader.ts';
export {
  type WritePartitionOptions,
  type WriteProgress,
  type WrittenPartition,
  writePartition,
} from './partition-writer.ts';
export type { StateRecord } from './records.ts';
export {
  type ContentReader,
  provenState,
  type RestoredPartition,
  type RestorePartitionOptions,
  restorePartition,
  type RestoreTarget,
} from './restore-partition.ts';
export * from './archive-coverage.ts';
export * from './archive-moments.ts';
export * from './archive-path.ts';
export * from './archive-points.ts';
export * from './archive-retention.ts';
export * from './archive-segment.ts';
export * from './archive.ts';
export * from './archived-log.ts';
export * from './history.ts';
export { isSplitOff, type OriginPoint, originsOf } from './log-origin.ts';
export { ownRecordsOf } from './own-records.ts';
export * from './read-history.ts';
export * from './verify-archive.ts';
export * from './segment-objects.ts';
export { manifestsFor, restoreSlots, type RestoreSlotsOptions } from './restore-slots.ts';
export { type CountedSlots, countSlots, type SlotRange, slotRecords, type SlotsSource } from './slots-filter.ts';
