// The small objects that decide about a checkpoint beside its manifest: that it was begun, that there will be
// none, that it is deleted. Why they suffice: docs/decisions/0011-deleting-checkpoints.md.
import { create } from '@bufbuild/protobuf';
import { CheckpointIntentSchema, CheckpointTombstoneSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { StateStoreError } from '@statestore/core';
import { intentName, manifestName, tombstoneName } from './names.ts';
import type { Repository, RepositoryCall } from './repository.ts';
import { checkpointFormat, equalBytes, seal, unseal } from './sealed.ts';
import { withRoom } from './spare-room.ts';

const abandonedBytes: Uint8Array = Buffer.from('abandoned\n');

/** Whether the object under a manifest's name says that there will be none. */
export function isAbandoned(bytes: Uint8Array): boolean {
  return equalBytes(bytes, abandonedBytes);
}

/** Of an object that was listed: no manifest is so short. */
export function hasSizeOfAbandoned(sizeBytes: number): boolean {
  return sizeBytes === abandonedBytes.length;
}

/** Decides that there will be no checkpoint of this id. `complete`: there is one already. */
export async function abandon(
  repository: Repository,
  id: string,
  call: RepositoryCall,
): Promise<'abandoned' | 'complete'> {
  if ((await repository.create(manifestName(id), abandonedBytes, call)) === 'created') return 'abandoned';
  const there = await repository.get(manifestName(id), call);
  return there !== undefined && isAbandoned(there) ? 'abandoned' : 'complete';
}

export interface Intent {
  readonly id: string;
  readonly cluster: string;
  /** The checkpoint whose blocks it may take. */
  readonly previous: string | undefined;
  readonly conductor: string;
  readonly startedAtMs: number;
}

export async function createIntent(repository: Repository, intent: Intent, call: RepositoryCall): Promise<boolean> {
  const message = create(CheckpointIntentSchema, {
    format: checkpointFormat,
    id: intent.id,
    cluster: intent.cluster,
    previous: intent.previous ?? '',
    conductor: intent.conductor,
    startedAtMs: BigInt(intent.startedAtMs),
  });
  return (await repository.create(intentName(intent.id), seal(CheckpointIntentSchema, message), call)) === 'created';
}

/** `gone`: removed meanwhile. `unreadable`: it may name any checkpoint. */
export type FoundIntent = { readonly intent: Intent } | 'gone' | 'unreadable';

export async function readIntent(repository: Repository, id: string, call: RepositoryCall): Promise<FoundIntent> {
  const name = intentName(id);
  try {
    const bytes = await repository.get(name, call);
    if (bytes === undefined) return 'gone';
    const message = unseal(CheckpointIntentSchema, name, bytes);
    if (message.id !== id) return 'unreadable';
    const previous = message.previous === '' ? undefined : message.previous;
    const { cluster, conductor, startedAtMs } = message;
    return { intent: { id, cluster, previous, conductor, startedAtMs: Number(startedAtMs) } };
  } catch (error) {
    if (isDamage(error)) return 'unreadable';
    throw error;
  }
}

/** What is there is not what it should be, or of a newer version; anything else may pass. */
export function isDamage(error: unknown): error is StateStoreError {
  return error instanceof StateStoreError && (error.code === 'data_corrupt' || error.code === 'data_format');
}

export interface Deletion {
  readonly id: string;
  readonly deletedAtMs: number;
  /** Who, or what: for people. */
  readonly by: string;
}

/** From its creation on the checkpoint is not listed. False: somebody deleted it before. */
export async function createTombstone(
  repository: Repository,
  { id, deletedAtMs, by }: Deletion,
  call: RepositoryCall,
): Promise<boolean> {
  const message = create(CheckpointTombstoneSchema, {
    format: checkpointFormat,
    id,
    deletedAtMs: BigInt(Math.floor(deletedAtMs)),
    by,
  });
  const bytes = seal(CheckpointTombstoneSchema, message);
  return (await withRoom(repository, call, () => repository.create(tombstoneName(id), bytes, call))) === 'created';
}
