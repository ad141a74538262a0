// Whether everything that a checkpoint refers to is there, in its full size. Says nothing of the bytes: that is
// verify-checkpoint.ts, which reads them.
import { limits } from '@statestore/core';
import type { BlockReference, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { inParallel } from './in-parallel.ts';
import { blockName, blocksPrefix } from './names.ts';
import type { ObjectName, Repository, RepositoryCall } from './repository.ts';

/** What is wrong with an object. */
export interface Finding {
  readonly object: ObjectName;
  readonly what: string;
}

/** Below this many blocks of one owner they are asked for one by one; a listing takes as long as a few of them. */
const askedSinglyMax = 8;

/** Every block once, whichever layers have it. */
export function blocksOf(partitions: readonly PartitionManifest[]): Map<ObjectName, BlockReference> {
  const blocks = new Map<ObjectName, BlockReference>();
  for (const { layers } of partitions)
    for (const layer of layers)
      for (const block of layer.blocks) blocks.set(blockName(block.owner, block.sha256), block);
  return blocks;
}

/** Findings of blocks that are missing or of another size; none where all is well. */
export async function missingBlocks(
  repository: Repository,
  partitions: readonly PartitionManifest[],
  call: RepositoryCall,
): Promise<readonly Finding[]> {
  const byOwner = new Map<string, Map<ObjectName, bigint>>();
  for (const [name, { owner, storedBytes }] of blocksOf(partitions)) {
    const blocks = byOwner.get(owner) ?? new Map<ObjectName, bigint>();
    byOwner.set(owner, blocks.set(name, storedBytes));
  }
  const findings = await inParallel([...byOwner], limits.checkpointReadsMax, ([owner, blocks]) =>
    missingOf(repository, owner, blocks, call),
  );
  return findings.flat();
}

async function missingOf(
  repository: Repository,
  owner: string,
  expected: ReadonlyMap<ObjectName, bigint>,
  call: RepositoryCall,
): Promise<readonly Finding[]> {
  const found = new Map<ObjectName, number>();
  if (expected.size > askedSinglyMax) {
    for await (const { name, sizeBytes } of repository.list(`${blocksPrefix}${owner}/`, call))
      if (expected.has(name)) found.set(name, sizeBytes);
  }
  const findings: Finding[] = [];
  for (const [object, storedBytes] of expected) {
    const sizeBytes = found.get(object) ?? (await repository.head(object, call))?.sizeBytes;
    if (sizeBytes === undefined) findings.push({ object, what: 'it is missing' });
    else if (BigInt(sizeBytes) !== storedBytes)
      findings.push({ object, what: `it has ${sizeBytes} bytes; it should have ${storedBytes}` });
  }
  return findings;
}
