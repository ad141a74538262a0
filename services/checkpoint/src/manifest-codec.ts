// Manifests, from bytes and to bytes. What was read is checked in full: that it is whole, that it is of the
// checkpoint, cluster and partition that it was read for, and that it makes sense. What the blocks then hold is
// the partition reader's business.
import { create } from '@bufbuild/protobuf';
import { limits } from '@statestore/core';
import type {
  BlockReference,
  CheckpointManifest,
  Layer,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  CheckpointManifestSchema,
  PartitionManifestSchema,
  PartitionSummarySchema,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { isCheckpointId } from './checkpoint-id.ts';
import { damaged } from './damage.ts';
import { manifestName, partitionManifestName } from './names.ts';
import type { ObjectName, Repository, RepositoryCall } from './repository.ts';
import { equalBytes, seal, sha256, sha256Bytes, unseal } from './sealed.ts';

const hashBytes = 16;

export interface ManifestExpectation {
  /** Name of the cluster; another one's is foreign. Undefined: any. */
  readonly cluster?: string | undefined;
}

export function encodeCheckpointManifest(manifest: CheckpointManifest): Uint8Array {
  return seal(CheckpointManifestSchema, manifest);
}

/** Throws `data_corrupt` or `data_format`, naming the object. */
export function decodeCheckpointManifest(
  id: string,
  bytes: Uint8Array,
  { cluster }: ManifestExpectation = {},
): CheckpointManifest {
  const name = manifestName(id);
  const manifest = unseal(CheckpointManifestSchema, name, bytes);
  if (manifest.id !== id) throw damaged(name, `it is the manifest of checkpoint ${manifest.id}`);
  checkCluster(name, manifest.cluster, cluster);
  let last = -1;
  for (const summary of manifest.partitions) {
    const { partition } = summary;
    if (partition <= last) throw damaged(name, `partition ${partition} is listed after ${last}`);
    last = partition;
    checkSummary(name, summary);
    if (summary.manifest !== partitionManifestName(id, partition))
      throw damaged(name, `the manifest of partition ${partition} is said to be ${summary.manifest}`);
    if (summary.manifestSha256.length !== sha256Bytes) throw damaged(name, `partition ${partition} has no checksum`);
  }
  checkAllSlots(name, manifest.partitions);
  return manifest;
}

export function encodePartitionManifest(manifest: PartitionManifest): Uint8Array {
  return seal(PartitionManifestSchema, manifest);
}

/** Throws `data_corrupt` or `data_format`, naming the object. */
export function decodePartitionManifest(
  checkpoint: string,
  partition: number,
  bytes: Uint8Array,
  { cluster }: ManifestExpectation = {},
): PartitionManifest & { readonly summary: PartitionSummary } {
  const name = partitionManifestName(checkpoint, partition);
  const manifest = unseal(PartitionManifestSchema, name, bytes);
  const { summary } = manifest;
  if (manifest.checkpoint !== checkpoint) throw damaged(name, `it belongs to checkpoint ${manifest.checkpoint}`);
  checkCluster(name, manifest.cluster, cluster);
  if (summary === undefined) throw damaged(name, 'it does not say what it is of');
  if (summary.partition !== partition) throw damaged(name, `it is of partition ${summary.partition}`);
  checkSummary(name, summary);
  for (const [at, layer] of manifest.layers.entries()) checkLayer(name, layer, at);
  return manifest as PartitionManifest & { readonly summary: PartitionSummary };
}

/** Reads the manifest that a cluster's manifest names; the hash there decides whether it is the one. */
export async function readPartitionManifest(
  repository: Repository,
  { id, cluster }: Pick<CheckpointManifest, 'id' | 'cluster'>,
  listed: PartitionSummary,
  call?: RepositoryCall,
): Promise<PartitionManifest & { readonly summary: PartitionSummary }> {
  const name = partitionManifestName(id, listed.partition);
  const bytes = await repository.get(name, call);
  if (bytes === undefined) throw damaged(name, 'it is missing');
  const manifest = decodePartitionManifest(id, listed.partition, bytes, { cluster });
  if (!equalBytes(sha256(bytes), listed.manifestSha256))
    throw damaged(name, `it is not the one that ${manifestName(id)} names`);
  return manifest;
}

/** What a cluster's manifest says of a partition whose manifest has these bytes. */
export function summaryOf(
  manifest: PartitionManifest & { readonly summary: PartitionSummary },
  bytes: Uint8Array,
  uploadedBytes: bigint,
): PartitionSummary {
  const { $typeName: _, ...summary } = manifest.summary;
  return create(PartitionSummarySchema, {
    ...summary,
    storedBytes: storedBytesOf(manifest) + BigInt(bytes.length),
    uploadedBytes: uploadedBytes + BigInt(bytes.length),
    manifest: partitionManifestName(manifest.checkpoint, manifest.summary.partition),
    manifestSha256: sha256(bytes),
  });
}

/** Of all blocks that a restore reads. */
export function storedBytesOf({ layers }: Pick<PartitionManifest, 'layers'>): bigint {
  let bytes = 0n;
  for (const { blocks } of layers) for (const block of blocks) bytes += block.storedBytes;
  return bytes;
}

function checkCluster(name: ObjectName, found: string, expected: string | undefined): void {
  if (expected === undefined || found === expected) return;
  throw damaged(name, `it is of the cluster ${JSON.stringify(found)}, not of ${JSON.stringify(expected)}`);
}

function checkSummary(name: ObjectName, summary: PartitionSummary): void {
  const whose = `partition ${summary.partition}`;
  if (summary.partition >= limits.partitionsMax) throw damaged(name, `${whose}: there can be no such partition`);
  for (const [what, bytes] of [
    ['chain', summary.chain],
    ['state hash', summary.stateHash],
  ] as const)
    if (bytes.length !== hashBytes)
      throw damaged(name, `${whose}: its ${what} has ${bytes.length} bytes, not ${hashBytes}`);
  let last = 0;
  for (const { start, end } of summary.slots) {
    if (start < last || end <= start || end > limits.slotCount)
      throw damaged(name, `${whose}: slots ${start} to ${end} after ${last}`);
    last = end;
  }
}

/** Each slot is one partition's. */
function checkAllSlots(name: ObjectName, partitions: readonly PartitionSummary[]): void {
  const ranges = partitions.flatMap(({ slots }) => slots).toSorted((a, b) => a.start - b.start);
  let next = 0;
  for (const { start, end } of ranges) {
    if (start !== next)
      throw damaged(name, start < next ? `slot ${start} is of two partitions` : `slot ${next} is missing`);
    next = end;
  }
  if (next !== limits.slotCount) throw damaged(name, `slot ${next} is missing`);
}

function checkLayer(name: ObjectName, { blocks, replaces, records }: Layer, at: number): void {
  const layer = `layer ${at}`;
  if (at === 0 && replaces.length > 0) throw damaged(name, 'its first layer replaces something');
  let lastEnd: Uint8Array | undefined;
  for (const { start, end } of replaces) {
    const ascends = (lastEnd === undefined || Buffer.compare(lastEnd, start) <= 0) && lastEnd?.length !== 0;
    if (!ascends || (end.length > 0 && Buffer.compare(start, end) >= 0))
      throw damaged(name, `${layer}: what it replaces is not in order`);
    lastEnd = end;
  }
  let total = 0n;
  let lastKey: Uint8Array | undefined;
  for (const block of blocks) {
    checkBlock(name, layer, block);
    const inOrder = lastKey === undefined || Buffer.compare(lastKey, block.firstKey) < 0;
    if (!inOrder) throw damaged(name, `${layer}: its blocks are not in order`);
    lastKey = block.lastKey;
    total += block.records;
  }
  if (total !== records) throw damaged(name, `${layer}: its blocks have ${total} records, and it says ${records}`);
}

function checkBlock(name: ObjectName, layer: string, block: BlockReference): void {
  const { owner, sha256: content, storedSha256, firstKey, lastKey, records, bytes } = block;
  // So that no manifest leads out of the repository, either.
  if (!isCheckpointId(owner)) throw damaged(name, `${layer}: ${JSON.stringify(owner)} cannot have uploaded a block`);
  if (content.length !== sha256Bytes || storedSha256.length !== sha256Bytes)
    throw damaged(name, `${layer}: a block without its checksums`);
  const keysMakeSense =
    firstKey.length > 0 && lastKey.length <= limits.engineKeyBytesMax && Buffer.compare(firstKey, lastKey) <= 0;
  if (!keysMakeSense || records === 0n || bytes === 0n || block.storedBytes === 0n)
    throw damaged(name, `${layer}: a block without content, or with keys that cannot be`);
  if (bytes > BigInt(limits.checkpointBlockBytesReadMax))
    throw damaged(name, `${layer}: a block of ${bytes} bytes; it may have ${limits.checkpointBlockBytesReadMax}`);
}
