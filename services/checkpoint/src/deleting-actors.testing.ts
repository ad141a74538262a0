// Who works on a simulated repository, with the code that really does it: writers, readers, deleters, collectors. A
// writer's blocks are as small as blocks can be; a reader compares every byte.
import { create } from '@bufbuild/protobuf';
import { StateStoreError } from '@statestore/core';
import {
  type BlockReference,
  BlockReferenceSchema,
  CheckpointTrigger,
  LayerSchema,
  PartitionManifestSchema,
  type PartitionSummary,
  PartitionSummarySchema,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { examine, listIds, readManifest } from './catalog.ts';
import { collectGarbage } from './collect-garbage.ts';
import { beginCheckpoint, type BegunCheckpoint, commitCheckpoint, giveUpCheckpoint } from './commit.ts';
import { applyRetention, deleteCheckpoint } from './delete-checkpoint.ts';
import { type Actor, hourMs, type World } from './deleting-world.testing.ts';
import { encodePartitionManifest, summaryOf } from './manifest-codec.ts';
import { blockName, partitionManifestName } from './names.ts';
import { blocksOf } from './presence.ts';
import type { Repository } from './repository.ts';
import { checkpointFormat, equalBytes, sha256 } from './sealed.ts';

export const cluster = 'simulated';
export const decidedKeptMs = 60 * 24 * hourMs;
const deadlineMs = 12 * hourMs;
const partitionCount = 2;

interface Deed {
  readonly world: World;
  readonly actor: Actor;
  readonly repository: Repository;
}

/** What the partitions hold now: writers change some of it. */
export type Contents = number[][];

export function newContents(): Contents {
  return Array.from({ length: partitionCount }, () => [1, 2, 3]);
}

const clockOf =
  ({ world, actor }: Deed) =>
  (): number =>
    world.repositoryMs + actor.skewMs;

export async function write(deed: Deed, contents: Contents): Promise<void> {
  const { world, actor, repository } = deed;
  const beganMs = world.trueMs;
  const random = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => world.random() * 256);
  const nowMs = clockOf(deed);
  const mode = world.random() < 0.2 ? 'full' : 'auto';
  const begun = await beginCheckpoint({ repository, cluster, conductor: actor.name, nowMs, random, mode });
  for (const held of contents)
    for (const at of held.keys()) if (world.random() < 0.3) held[at] = Math.floor(world.random() * 1e6);
  try {
    const partitions = await Promise.all(
      contents.map((held, partition) => writeSimulated(repository, begun, partition, [...held])),
    );
    // Its deadline is good for not working in vain; what is listed does not rely on it.
    const isLate = (): boolean => world.graceMs > deadlineMs && world.trueMs - beganMs > deadlineMs;
    const trigger = CheckpointTrigger.SCHEDULE;
    const made = await commitCheckpoint({ repository, begun, partitions, trigger, version: '1', nowMs, isLate });
    world.note(actor.name, `${begun.id}: ${made.outcome}`);
    if (made.outcome === 'committed' && !world.completed.includes(begun.id))
      world.violations.push(`${begun.id} is said to be committed, and has no manifest`);
    if (made.outcome === 'committed') return;
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    world.note(actor.name, `${begun.id}: ${error.message}`);
  }
  world.note(actor.name, `${begun.id}: ${await giveUpCheckpoint(repository, begun.id)}`);
}

export async function writeSimulated(
  repository: Repository,
  { id, previous }: Pick<BegunCheckpoint, 'id' | 'previous'>,
  partition: number,
  contents: readonly number[],
): Promise<PartitionSummary> {
  const known = new Map<string, BlockReference>();
  for (const block of blocksOf(previous?.partitions ?? []).values()) known.set(hex(block.sha256), block);
  const blocks: BlockReference[] = [];
  for (const [at, content] of contents.entries()) {
    const bytes = Buffer.from(`${partition}/${at}: ${content}`);
    const digest = sha256(bytes);
    const taken = known.get(hex(digest));
    if (taken === undefined) await repository.create(blockName(id, digest), bytes);
    const size = BigInt(bytes.length);
    const sizes = { storedBytes: size, bytes: size, records: 1n };
    const keys = { firstKey: Uint8Array.of(16, at), lastKey: Uint8Array.of(16, at) };
    blocks.push(
      taken ?? create(BlockReferenceSchema, { sha256: digest, owner: id, storedSha256: digest, ...sizes, ...keys }),
    );
  }
  const size = 4096 / partitionCount;
  const summary = create(PartitionSummarySchema, {
    partition,
    slots: [{ start: partition * size, end: (partition + 1) * size }],
    incarnation: 'one',
    position: 1n,
    chain: new Uint8Array(16),
    stateHash: new Uint8Array(16),
  });
  const records = BigInt(blocks.length);
  const layer = create(LayerSchema, { blocks, records });
  const manifest = create(PartitionManifestSchema, {
    format: checkpointFormat,
    checkpoint: id,
    cluster,
    summary,
    stateFormat: 1,
    layers: [layer],
  });
  const bytes = encodePartitionManifest(manifest);
  await repository.create(partitionManifestName(id, partition), bytes);
  return summaryOf({ ...manifest, summary }, bytes, 0n);
}

/** What is listed when it begins can be read for as long as the grace. */
export async function read(deed: Deed): Promise<void> {
  const { world, repository, actor } = deed;
  const beganMs = world.clockHighMs;
  const { listed } = await listIds(repository, {});
  if (listed.length === 0) return;
  const info = world.pick(listed);
  const fail = (what: string): void => {
    if (world.clockHighMs - beganMs <= world.graceMs) world.violations.push(`${actor.name}: ${what}`);
    else world.note(actor.name, `too slow: ${what}`);
  };
  const found = await readManifest({ repository, cluster }, info);
  if (found.state === 'damaged') return fail(found.damage.message);
  if (found.state === 'gone') return fail(`${info.name} is gone`);
  if (found.state !== 'complete') return;
  const whole = await examine({ repository, cluster }, found.manifest);
  if (typeof whole === 'string') return fail(whole);
  for (const [name, { storedSha256 }] of blocksOf(whole.partitions)) {
    const bytes = await repository.get(name);
    if (bytes === undefined || !equalBytes(sha256(bytes), storedSha256)) return fail(`${name} is gone or wrong`);
  }
}

export async function erase(deed: Deed): Promise<void> {
  const { world, repository, actor } = deed;
  const { listed } = await listIds(repository, {});
  if (listed.length === 0) return;
  const { id } = world.pick(listed);
  const { outcome } = await deleteCheckpoint({ repository, id, cluster, by: actor.name, nowMs: clockOf(deed) });
  world.note(actor.name, `${id}: ${outcome}`);
}

export async function retain(deed: Deed): Promise<void> {
  const { world, repository, actor } = deed;
  const policy = { maxCheckpoints: 1 + Math.floor(world.random() * 2.2), keepMin: 1 };
  await applyRetention({ repository, cluster, policy, by: actor.name, nowMs: clockOf(deed) });
}

export async function collect({ world, repository, actor }: Deed): Promise<void> {
  const outcome = await collectGarbage({ repository, graceMs: world.graceMs, decidedKeptMs });
  if (outcome.outcome === 'blocked') world.note(actor.name, `blocked: ${outcome.why[0]}`);
  else world.note(actor.name, `collected ${outcome.objects} objects`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
