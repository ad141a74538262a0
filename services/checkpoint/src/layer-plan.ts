// What is written of a partition: everything, or a layer with what changed since the checkpoint before. A layer
// is possible where the state certainly comes from that checkpoint and its change records reach back so far; it
// is worth it where it is small. What is in a layer: layer-content.ts.
import type { BinaryString, PartitionState, StateReader } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  changeKey,
  changePrefix,
  decodeChanges,
  hashToBytes,
  incarnationKey,
  keyspace,
  limits,
  parseChangeKey,
  prefixRange,
} from '@statestore/core';
import type { Layer, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { Turn } from './in-turns.ts';
import { sortInTurns } from './in-turns.ts';
import type { KeyRange } from './records.ts';
import { equalBytes, sha256 } from './sealed.ts';

export type { Turn } from './in-turns.ts';

export type LayerPlan =
  /** The state is the one of the checkpoint before: there is nothing to read. */
  | { readonly kind: 'same' }
  | { readonly kind: 'full'; readonly why: string; readonly previousIsDamaged?: true }
  | {
      readonly kind: 'layer';
      /** Keys of entries that may have changed, ascending, by the ordinal of their store. */
      readonly changed: ReadonlyMap<number, readonly BinaryString[]>;
      readonly keys: number;
      /** Position of the newest change record that the checkpoint before has. */
      readonly since: bigint;
    };

/** The newest change record, by which a later state is known to come from this one. */
export function witnessOf(reader: StateReader): { position: bigint; sha256: Uint8Array } | undefined {
  for (const { key, value } of reader.range({ ...prefixRange(changePrefix), reverse: true, limit: 1 }))
    return { position: parseChangeKey(key), sha256: sha256(value) };
  return undefined;
}

export async function planLayer(
  reader: StateReader,
  state: PartitionState,
  previous: PartitionManifest | undefined,
  { turn, whereWorth }: { readonly turn: Turn; readonly whereWorth: boolean },
): Promise<LayerPlan> {
  if (previous !== undefined && isSame(reader, state, previous)) return { kind: 'same' };
  const why = whyImpossible(reader, state, previous) ?? (whereWorth ? whyNotWorth(previous!) : undefined);
  if (why !== undefined) return { kind: 'full', why };
  // Not its position: what a recovered log has in place of batches behind its last change counts as well.
  const since = previous!.witness!.position;
  const changed = await changedSince(reader, state, since, turn);
  let keys = 0;
  for (const some of changed.values()) keys += some.size;
  if (keys > limits.checkpointChangedKeysMax) return { kind: 'full', why: `more than ${keys} keys changed` };
  if (whereWorth && 2 * keys > state.entries) return { kind: 'full', why: `${keys} keys changed, of ${state.entries}` };
  const sorted = new Map<number, readonly BinaryString[]>();
  for (const [ordinal, some] of changed) sorted.set(ordinal, await sortInTurns(some, turn));
  return { kind: 'layer', changed: sorted, keys, since };
}

function isSame(reader: StateReader, state: PartitionState, { summary, stateFormat }: PartitionManifest): boolean {
  return (
    stateFormat === stateFormatOf(state) &&
    summary!.position === state.position &&
    summary!.incarnation === incarnationOf(reader) &&
    equalBytes(summary!.chain, hashToBytes(state.chain)) &&
    equalBytes(summary!.stateHash, hashToBytes(state.stateHash))
  );
}

/** Layout of its records. */
export function stateFormatOf({ slots }: PartitionState): number {
  return slots === undefined ? keyspace.stateFormat : keyspace.stateFormatOwned;
}

/** UUID of the log that the state was made from; empty: of none. */
export function incarnationOf(reader: StateReader): string {
  const incarnation = reader.get(incarnationKey);
  return incarnation === undefined ? '' : binaryFromBytes(incarnation);
}

function whyImpossible(
  reader: StateReader,
  state: PartitionState,
  previous: PartitionManifest | undefined,
): string | undefined {
  if (previous?.summary === undefined) return 'there is no checkpoint before';
  const { witness, stateFormat } = previous;
  const { position, incarnation } = previous.summary;
  if (stateFormat !== stateFormatOf(state)) return 'the checkpoint before has another layout';
  if (incarnation !== incarnationOf(reader)) return 'the checkpoint before is of another log';
  if (position > state.position) return 'the checkpoint before is of a later position';
  if (witness === undefined || state.changesFrom > witness.position) return 'the change records do not reach back';
  const kept = reader.get(changeKey(witness.position));
  if (kept === undefined) return 'the change records do not reach back';
  if (!equalBytes(sha256(kept), witness.sha256)) return 'the state does not come from the checkpoint before';
  return undefined;
}

function whyNotWorth({ layers }: PartitionManifest): string | undefined {
  if (layers.length >= limits.checkpointLayersMax) return `there are ${layers.length} layers`;
  const [base, ...added] = layers.map(storedBytes);
  if (base === undefined || 2 * added.reduce((sum, one) => sum + one, 0) > base) return 'the layers are large';
  return undefined;
}

function storedBytes({ blocks }: Layer): number {
  return blocks.reduce((sum, block) => sum + Number(block.storedBytes), 0);
}

/** Keys that may have changed after the position, by the ordinal of their store. */
async function changedSince(
  reader: StateReader,
  { stores }: PartitionState,
  position: bigint,
  turn: Turn,
): Promise<Map<number, Set<BinaryString>>> {
  const changed = new Map<number, Set<BinaryString>>();
  const range = { ...prefixRange(changePrefix), start: changeKey(position + 1n) };
  let keys = 0;
  for (const { value } of reader.range(range)) {
    for (const { kind, store, key } of decodeChanges(value).changes) {
      const ordinal = stores.get(store)?.ordinal ?? 0;
      // Entries of an ordinal that is nobody's now are replaced as a whole.
      if (ordinal === 0) continue;
      const known = changed.get(ordinal);
      // What it had before the clear was under another ordinal.
      if (kind === 'clear') changed.delete(ordinal);
      else if (known === undefined) changed.set(ordinal, new Set([key]));
      else known.add(key);
      keys++;
    }
    if (keys > 2 * limits.checkpointChangedKeysMax) break;
    await turn();
  }
  return changed;
}

/** A layer without the blocks that a newer one replaces as a whole. */
export function withoutReplaced(layer: Layer, replaced: readonly KeyRange[]): Layer {
  const ranges = replaced.map(({ start, end }) => ({ start: bytesFromBinary(start), end: bytesFromBinary(end) }));
  const blocks = layer.blocks.filter(
    ({ firstKey, lastKey }) =>
      !ranges.some(
        ({ start, end }) =>
          Buffer.compare(start, firstKey) <= 0 && (end.length === 0 || Buffer.compare(lastKey, end) < 0),
      ),
  );
  if (blocks.length === layer.blocks.length) return layer;
  return { ...layer, blocks, records: blocks.reduce((sum, { records }) => sum + records, 0n) };
}
