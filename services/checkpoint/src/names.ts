// What the objects of a repository are called. Persisted, so stable.
//
//   checkpoints/<id>                        CheckpointManifest: the checkpoint is complete; or that there will be none
//   checkpoints/<id>.partitions/<partition> PartitionManifest
//   blocks/<id>/<sha256>                    Block, compressed; uploaded by checkpoint <id>
//   archive/<incarnation>/log               ArchivedLog: what log the segments beside it are of
//   archive/<incarnation>/<first>-<last>    ArchiveSegment, compressed; positions with 20 digits
//   started/<id>                            CheckpointIntent: being written
//   deleted/<id>                            CheckpointTombstone
//   latest                                  id of the newest checkpoint, as text: a hint
//   collected                               when garbage was collected last: to see the repository's time
//   reserve/0 … 7                           means nothing: removed where there is no room to delete
//   probe/…                                 of the start-up probe, removed again
import type { ObjectName } from './repository.ts';

export const checkpointsPrefix = 'checkpoints/';
export const blocksPrefix = 'blocks/';
export const archivePrefix = 'archive/';
export const startedPrefix = 'started/';
export const deletedPrefix = 'deleted/';
export const reservePrefix = 'reserve/';
export const latestName: ObjectName = 'latest';
export const collectedName: ObjectName = 'collected';

export function manifestName(id: string): ObjectName {
  return `${checkpointsPrefix}${id}`;
}

export function partitionManifestName(id: string, partition: number): ObjectName {
  return `${checkpointsPrefix}${id}.partitions/${partition}`;
}

export function blockName(owner: string, sha256: Uint8Array): ObjectName {
  return `${blocksPrefix}${owner}/${Buffer.from(sha256).toString('hex')}`;
}

export function archivedLogName(incarnation: string): ObjectName {
  return `${archivePrefix}${incarnation}/log`;
}

export function segmentName(incarnation: string, first: bigint, last: bigint): ObjectName {
  const digits = (position: bigint): string => position.toString().padStart(20, '0');
  return `${archivePrefix}${incarnation}/${digits(first)}-${digits(last)}`;
}

export function intentName(id: string): ObjectName {
  return `${startedPrefix}${id}`;
}

export function tombstoneName(id: string): ObjectName {
  return `${deletedPrefix}${id}`;
}
