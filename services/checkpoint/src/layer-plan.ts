// What is written of a partition: everything, or a layer with what changed since the checkpoint before. A layer
// is possible where the state certainly comes from that checkpoint and its change records reach back so far; it
// is worth it where it is small.
//
// A layer has of the entries those that changed, as they are now or as deletions, and every other record whole.
// Entries of a store's former ordinals change without a record of it (clears and their sweeps), so their ranges
// are replaced by what is still there: whatever is no live store's.
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
import type { KeyRange, LayerRecord } from './records.ts';
import { entriesRange } from './records.ts';
import { equalBytes, sha256 } from './sealed.ts';

export type { Turn } from './in-turns.ts';

export type LayerPlan =
  /** The state is the one of the checkpoint before: there is nothing to read. */
  | { readonly kind: 'same' }
  | { readonly kind: 'full'; readonly why: string }
  | { readonly kind: 'layer'; readonly changed: ReadonlyMap<number, readonly BinaryString[]>; readonly keys: number };

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
  const changed = await changedSince(reader, state, previous!.summary!.position, turn);
  let keys = 0;
  for (const some of changed.values()) keys += some.size;
  if (keys > limits.checkpointChangedKeysMax) return { kind: 'full', why: `more than ${keys} keys changed` };
  if (whereWorth && 2 * keys > state.entries) return { kind: 'full', why: `${keys} keys changed, of ${state.entries}` };
  const sorted = new Map<number, readonly BinaryString[]>();
  for (const [ordinal, some] of changed) sorted.set(ordinal, await sortInTurns(some, turn));
  return { kind: 'layer', changed: sorted, keys };
}

function isSame(reader: StateReader, state: PartitionState, { summary, stateFormat }: PartitionManifest): boolean {
  const incarnation = reader.get(incarnationKey);
  return (
    stateFormat === keyspace.stateFormat &&
    summary!.position === state.position &&
    summary!.incarnation === (incarnation === undefined ? '' : binaryFromBytes(incarnation)) &&
    equalBytes(summary!.chain, hashToBytes(state.chain)) &&
    equalBytes(summary!.stateHash, hashToBytes(state.stateHash))
  );
}

function whyImpossible(
  reader: StateReader,
  state: PartitionState,
  previous: PartitionManifest | undefined,
): string | undefined {
  if (previous?.summary === undefined) return 'there is no checkpoint before';
  const { witness, stateFormat } = previous;
  const { position } = previous.summary;
  if (stateFormat !== keyspace.stateFormat) return 'the checkpoint before has another layout';
  if (position > state.position) return 'the checkpoint before is of a later position';
  if (witness === undefined || state.changesFrom > position + 1n) return 'the change records do not reach back';
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

/** Live ordinals, ascending. */
function liveOrdinals({ storesByOrdinal }: PartitionState): number[] {
  return [...storesByOrdinal.keys()].toSorted((a, b) => a - b);
}

/** What a layer replaces: everything but the entries of live stores. Ascending, apart from each other. */
export function replacedRanges(state: PartitionState): KeyRange[] {
  const ranges: { start: BinaryString; end: BinaryString }[] = [];
  let start: BinaryString = '';
  for (const ordinal of liveOrdinals(state)) {
    const own = prefixRange(keyspace.entryKeyPrefix(ordinal));
    if (start < own.start!) ranges.push({ start, end: own.start! });
    start = own.end!;
  }
  ranges.push({ start, end: '' });
  return ranges;
}

/** The records of a layer, ascending; undefined in between, where others may run. */
export function* layerRecords(
  reader: StateReader,
  state: PartitionState,
  changed: ReadonlyMap<number, readonly BinaryString[]>,
): Generator<LayerRecord | undefined> {
  yield* reader.range({ end: entriesRange.start });
  const retired = [...reader.keys(prefixRange(keyspace.retiredPrefix))].map(keyspace.parseRetiredKey);
  const ordinals = [...new Set([...changed.keys(), ...retired])].toSorted((a, b) => a - b);
  for (const ordinal of ordinals) {
    yield undefined;
    const prefix = keyspace.entryKeyPrefix(ordinal);
    if (!state.storesByOrdinal.has(ordinal)) yield* reader.range(prefixRange(prefix));
    else for (const key of changed.get(ordinal) ?? []) yield { key: prefix + key, value: reader.get(prefix + key) };
  }
  yield* reader.range({ start: entriesRange.end });
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
