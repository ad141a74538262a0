// One page of a listing: entries from a state, until the page is full.
import type { PartitionState } from '@statestore/core';
import { readRange } from '@statestore/core';
import type { KeyedEntry, Scan, ScanPage } from '@statestore/link';
import type { EngineReader } from './engine/engine.ts';

const noValue = new Uint8Array(0);

export function scanPage(state: PartitionState, reader: EngineReader, scan: Scan, nowMs: number): ScanPage {
  const { position } = state;
  const entries: KeyedEntry[] = [];
  let bytes = 0;
  const range = {
    ...(scan.start === undefined ? {} : { start: scan.start }),
    ...(scan.end === undefined ? {} : { end: scan.end }),
    reverse: scan.reverse,
  };
  for (const entry of readRange(state, reader, scan.store, range, nowMs)) {
    if (entries.length >= scan.limit || bytes >= scan.bytesMax) return { entries, more: true, position };
    bytes += entry.key.length + (scan.values ? entry.value.length : 0);
    entries.push(scan.values ? entry : { ...entry, value: noValue });
  }
  return { entries, more: false, position };
}
