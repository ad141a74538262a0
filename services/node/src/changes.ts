// Watching: the change records of a partition from a position on, then whatever is applied next. A
// watcher reads from the state at its own pace; nothing is queued for it.
import type { ChangeBatch, WatchOptions } from '@statestore/link';
import type { PartitionState } from '@statestore/core';
import { changeKey, changePrefix, decodeChanges, parseChangeKey, prefixEnd, StateStoreError } from '@statestore/core';
import type { EngineReader } from './engine/engine.ts';

export interface ChangeSource {
  readonly partition: number;
  /** Of its log; undefined: it has none. */
  readonly generation?: number | undefined;
  readonly state: PartitionState;
  readonly reader: EngineReader;
  /** Resolves at the next applied position after `position`, or when the signal aborts; rejects when the partition stops. */
  appliedAfter(position: bigint, signal: AbortSignal): Promise<void>;
}

/** Records read in one turn, and bytes of them after which it ends: others wait meanwhile. */
const recordsPerTurn = 256;
const bytesPerTurn = 256 * 1024;

export async function* watchChanges(source: ChangeSource, options: WatchOptions): AsyncGenerator<ChangeBatch> {
  const { state } = source;
  let next = options.from ?? state.position + 1n;
  if (next > state.position + 1n || next < 1n) {
    throw new StateStoreError(
      'invalid_cursor',
      `position ${next} of partition ${source.partition} is not between 1 and ${state.position + 1n}`,
    );
  }
  while (!options.signal.aborted) {
    if (next < state.changesFrom) {
      throw new StateStoreError(
        'cursor_expired',
        `partition ${source.partition} keeps changes from position ${state.changesFrom}, not from ${next}`,
        {
          hint: 'read the store again and watch from now on',
        },
      );
    }
    if (next > state.position) {
      await source.appliedAfter(next - 1n, options.signal);
      continue;
    }
    // Read at once, before anything is awaited: one point in time.
    const until = state.position + 1n;
    const batches = readChanges(source, next, until, options);
    const last = batches.at(-1)!;
    next = last.position + 1n;
    for (const batch of batches) {
      if (batch.changes.length > 0 || batch === last) yield batch;
      if (options.signal.aborted) return;
    }
  }
}

/** Batches from ≤ position < until; the last one may be empty and stands for all positions before it. */
function readChanges(source: ChangeSource, from: bigint, until: bigint, options: WatchOptions): ChangeBatch[] {
  const batches: ChangeBatch[] = [];
  let bytes = 0;
  const end = prefixEnd(changePrefix)!;
  const { generation } = source;
  const epoch = source.state.slotsEpoch === 0n ? {} : { slotsEpoch: source.state.slotsEpoch };
  for (const { key, value } of source.reader.range({ start: changeKey(from), end, limit: recordsPerTurn })) {
    const record = decodeChanges(value);
    const changes = record.changes.filter(
      (change) => change.store === options.store && (change.kind === 'clear' || change.key.startsWith(options.prefix)),
    );
    batches.push({
      position: parseChangeKey(key),
      generation,
      timeMs: Number(record.clockNanos / 1_000_000n),
      changes,
      ...epoch,
    });
    bytes += value.length;
    if (bytes >= bytesPerTurn) return batches;
  }
  const last = batches.at(-1)?.position ?? 0n;
  if (batches.length < recordsPerTurn && last < until - 1n) {
    batches.push({
      position: until - 1n,
      generation,
      timeMs: Number(source.state.clockNanos / 1_000_000n),
      changes: [],
      ...epoch,
    });
  }
  return batches;
}
