// What the name of an object says; the other direction is names.ts. A name that is not wholly understood is
// nobody's business here: it is not listed, and never removed.
import { isCheckpointId } from './checkpoint-id.ts';
import { blocksPrefix, checkpointsPrefix, deletedPrefix, startedPrefix } from './names.ts';
import type { ObjectName } from './repository.ts';

export type ParsedName =
  | { readonly kind: 'manifest' | 'intent' | 'tombstone'; readonly id: string }
  | { readonly kind: 'partition'; readonly id: string; readonly partition: number }
  | { readonly kind: 'block'; readonly id: string };

const partitionPart = /^(.{36})\.partitions\/(0|[1-9]\d{0,3})$/;
const blockPart = /^(.{36})\/[0-9a-f]{64}$/;

export function parseName(name: ObjectName): ParsedName | undefined {
  if (name.startsWith(blocksPrefix)) {
    const id = blockPart.exec(name.slice(blocksPrefix.length))?.[1];
    return id !== undefined && isCheckpointId(id) ? { kind: 'block', id } : undefined;
  }
  if (name.startsWith(checkpointsPrefix)) return parseCheckpoint(name.slice(checkpointsPrefix.length));
  if (name.startsWith(startedPrefix)) return withId('intent', name.slice(startedPrefix.length));
  if (name.startsWith(deletedPrefix)) return withId('tombstone', name.slice(deletedPrefix.length));
  return undefined;
}

function parseCheckpoint(rest: string): ParsedName | undefined {
  const [, id, partition] = partitionPart.exec(rest) ?? [];
  if (id === undefined || partition === undefined) return withId('manifest', rest);
  return isCheckpointId(id) ? { kind: 'partition', id, partition: Number(partition) } : undefined;
}

function withId(kind: 'manifest' | 'intent' | 'tombstone', id: string): ParsedName | undefined {
  return isCheckpointId(id) ? { kind, id } : undefined;
}
