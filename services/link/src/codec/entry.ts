// Reads of entries: get, getMany, scan.
import { type BinaryString, binaryFromText, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { Consistency, Entry, Found, FoundMany, KeyedEntry, ReadOptions, Scan, ScanPage } from '../node-service.ts';
import { amount, eachField, encodeMessage, enter, enumValue, nested, repeated } from './message.ts';

export interface GetRequest {
  readonly partition: number;
  readonly store: string;
  readonly key: BinaryString;
  readonly options: ReadOptions;
}
export interface GetManyRequest {
  readonly partition: number;
  readonly store: string;
  readonly keys: readonly BinaryString[];
  readonly options: ReadOptions;
}
export interface ScanRequest {
  readonly partition: number;
  readonly scan: Scan;
  readonly options: ReadOptions;
}

const consistencies: readonly (Consistency | undefined)[] = [undefined, 'strong', 'session', 'eventual'];
const consistencyNumbers = { strong: 1, session: 2, eventual: 3 } as const;
const noBytes = new Uint8Array(0);

/** Fields 4 and 5 of every read, and three next to each other that are a scan's own. */
function writeReadOptions(w: WireWriter, options: ReadOptions, maxLagField: number): void {
  const { consistency, atLeast, maxLagMs, generation = 0, slotsEpoch } = options;
  // Epoch 0 asks for one that was never reshaped.
  if (slotsEpoch !== undefined) w.presentBigUint(maxLagField + 2, slotsEpoch);
  w.uint(maxLagField + 1, generation);
  if (maxLagMs !== undefined) w.presentUint(maxLagField, maxLagMs);
  // Position 0 asks for nothing.
  if (atLeast !== undefined) w.bigUint(5, atLeast);
  w.uint(4, consistencyNumbers[consistency]);
}

/* oxlint-disable-next-line max-params -- its five fields */
function readOptions(
  consistency: number,
  atLeast: bigint,
  maxLagMs: number | undefined,
  generation: number,
  slotsEpoch: bigint | undefined,
): ReadOptions {
  const known = enumValue(consistencies, consistency, 'consistency');
  if (maxLagMs === undefined && generation === 0 && slotsEpoch === undefined) {
    return atLeast === 0n ? { consistency: known } : { consistency: known, atLeast };
  }
  return {
    consistency: known,
    ...(atLeast === 0n ? {} : { atLeast }),
    ...(maxLagMs === undefined ? {} : { maxLagMs }),
    ...(generation === 0 ? {} : { generation }),
    ...(slotsEpoch === undefined ? {} : { slotsEpoch }),
  };
}

export function encodeGetRequest(request: GetRequest): Uint8Array {
  return encodeMessage(writeGetRequest, request);
}

function writeGetRequest(w: WireWriter, request: GetRequest): void {
  writeReadOptions(w, request.options, 6);
  w.binary(3, request.key);
  w.binary(2, binaryFromText(request.store));
  w.uint(1, request.partition);
}

export function decodeGetRequest(bytes: Uint8Array): GetRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let store = '';
  let key = '';
  let consistency = 0;
  let atLeast = 0n;
  let maxLagMs: number | undefined;
  let generation = 0;
  let slotsEpoch: bigint | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) partition = r.uint();
    else if (field === 2) store = textFromBinary(r.binary());
    else if (field === 3) key = r.binary();
    else if (field === 4) consistency = r.uint();
    else if (field === 5) atLeast = r.bigUint();
    else if (field === 6) maxLagMs = r.uint();
    else if (field === 7) generation = r.uint();
    else if (field === 8) slotsEpoch = r.bigUint();
    else r.skip();
  }
  return { partition, store, key, options: readOptions(consistency, atLeast, maxLagMs, generation, slotsEpoch) };
}

export function encodeGetResponse(found: Found): Uint8Array {
  return encodeMessage(writeGetResponse, found);
}

function writeGetResponse(w: WireWriter, { entry, position, generation = 0 }: Found): void {
  w.uint(3, generation);
  w.bigUint(2, position);
  if (entry !== undefined) nested(w, 1, writeEntry, entry);
}

export function decodeGetResponse(bytes: Uint8Array): Found {
  const r = new WireReader(bytes);
  let entry: Entry | undefined;
  let position = 0n;
  let generation: number | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) entry = enter(r, readEntry);
    else if (field === 2) position = r.bigUint();
    else if (field === 3) generation = r.uint();
    else r.skip();
  }
  return { entry, position, generation };
}

function writeEntry(w: WireWriter, entry: Entry): void {
  w.uint(4, entry.expiresAtMs);
  w.bigUint(3, entry.revision);
  w.binary(2, binaryFromText(entry.contentType));
  w.bytes(1, entry.value);
}

function writeKeyedEntry(w: WireWriter, entry: KeyedEntry): void {
  w.binary(5, entry.key);
  writeEntry(w, entry);
}

function writePerhapsEntry(w: WireWriter, entry: Entry | undefined): void {
  if (entry === undefined) w.flag(6, true);
  else writeEntry(w, entry);
}

function readEntry(r: WireReader): Entry {
  let value = noBytes as Uint8Array;
  let contentType = '';
  let revision = 0n;
  let expiresAtMs = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) value = r.bytes();
    else if (field === 2) contentType = textFromBinary(r.binary());
    else if (field === 3) revision = r.bigUint();
    else if (field === 4) expiresAtMs = r.uint();
    else r.skip();
  }
  return { value, contentType, revision, expiresAtMs };
}

function readAnyEntry(r: WireReader): { entry: KeyedEntry; absent: boolean } {
  let value = noBytes as Uint8Array;
  let contentType = '';
  let revision = 0n;
  let expiresAtMs = 0;
  let key = '';
  let absent = false;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) value = r.bytes();
    else if (field === 2) contentType = textFromBinary(r.binary());
    else if (field === 3) revision = r.bigUint();
    else if (field === 4) expiresAtMs = r.uint();
    else if (field === 5) key = r.binary();
    else if (field === 6) absent = r.uint() !== 0;
    else r.skip();
  }
  return { entry: { key, value, contentType, revision, expiresAtMs }, absent };
}

export function encodeGetManyRequest(request: GetManyRequest): Uint8Array {
  return encodeMessage((w, { partition, store, keys, options }) => {
    writeReadOptions(w, options, 6);
    for (let i = keys.length - 1; i >= 0; i--) w.presentBinary(3, keys[i]!);
    w.binary(2, binaryFromText(store));
    w.uint(1, partition);
  }, request);
}

export function decodeGetManyRequest(bytes: Uint8Array): GetManyRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let store = '';
  const keys: BinaryString[] = [];
  let consistency = 0;
  let atLeast = 0n;
  let maxLagMs: number | undefined;
  let generation = 0;
  let slotsEpoch: bigint | undefined;
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else if (field === 2) store = textFromBinary(r.binary());
    else if (field === 3) keys.push(r.binary());
    else if (field === 4) consistency = r.uint();
    else if (field === 5) atLeast = r.bigUint();
    else if (field === 6) maxLagMs = r.uint();
    else if (field === 7) generation = r.uint();
    else if (field === 8) slotsEpoch = r.bigUint();
    else r.skip();
  });
  return { partition, store, keys, options: readOptions(consistency, atLeast, maxLagMs, generation, slotsEpoch) };
}

export function encodeGetManyResponse(found: FoundMany): Uint8Array {
  return encodeMessage((w, { entries, position, generation = 0 }) => {
    w.uint(3, generation);
    w.bigUint(2, position);
    repeated(w, 1, writePerhapsEntry, entries);
  }, found);
}

export function decodeGetManyResponse(bytes: Uint8Array): FoundMany {
  const r = new WireReader(bytes);
  const entries: (Entry | undefined)[] = [];
  let position = 0n;
  let generation: number | undefined;
  eachField(r, (field) => {
    if (field === 2) return void (position = r.bigUint());
    if (field === 3) return void (generation = r.uint());
    if (field !== 1) return r.skip();
    const { entry, absent } = enter(r, readAnyEntry);
    const { value, contentType, revision, expiresAtMs } = entry;
    entries.push(absent ? undefined : { value, contentType, revision, expiresAtMs });
  });
  return { entries, position, generation };
}

export function encodeScanRequest(request: ScanRequest): Uint8Array {
  return encodeMessage((w, { partition, scan, options }) => {
    writeReadOptions(w, options, 11);
    w.flag(10, scan.values);
    w.uint(9, amount(scan.bytesMax));
    w.uint(8, amount(scan.limit));
    w.flag(7, scan.reverse);
    if (scan.end !== undefined) w.presentBinary(6, scan.end);
    if (scan.start !== undefined) w.presentBinary(3, scan.start);
    w.binary(2, binaryFromText(scan.store));
    w.uint(1, partition);
  }, request);
}

export function decodeScanRequest(bytes: Uint8Array): ScanRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let consistency = 0;
  let atLeast = 0n;
  let maxLagMs: number | undefined;
  let generation = 0;
  let slotsEpoch: bigint | undefined;
  const scan: { -readonly [K in keyof Scan]: Scan[K] } = {
    store: '',
    reverse: false,
    limit: 0,
    bytesMax: 0,
    values: false,
  };
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else if (field === 2) scan.store = textFromBinary(r.binary());
    else if (field === 3) scan.start = r.binary();
    else if (field === 4) consistency = r.uint();
    else if (field === 5) atLeast = r.bigUint();
    else if (field === 6) scan.end = r.binary();
    else if (field === 7) scan.reverse = r.uint() !== 0;
    else if (field === 8) scan.limit = r.uint();
    else if (field === 9) scan.bytesMax = r.uint();
    else if (field === 10) scan.values = r.uint() !== 0;
    else if (field === 11) maxLagMs = r.uint();
    else if (field === 12) generation = r.uint();
    else if (field === 13) slotsEpoch = r.bigUint();
    else r.skip();
  });
  return { partition, scan, options: readOptions(consistency, atLeast, maxLagMs, generation, slotsEpoch) };
}

export function encodeScanResponse(page: ScanPage): Uint8Array {
  return encodeMessage((w, { entries, more, position, generation = 0 }) => {
    w.uint(4, generation);
    w.bigUint(3, position);
    w.flag(2, more);
    repeated(w, 1, writeKeyedEntry, entries);
  }, page);
}

export function decodeScanResponse(bytes: Uint8Array): ScanPage {
  const r = new WireReader(bytes);
  const entries: KeyedEntry[] = [];
  let more = false;
  let position = 0n;
  let generation: number | undefined;
  eachField(r, (field) => {
    if (field === 1) entries.push(enter(r, readAnyEntry).entry);
    else if (field === 2) more = r.uint() !== 0;
    else if (field === 3) position = r.bigUint();
    else if (field === 4) generation = r.uint();
    else r.skip();
  });
  return { entries, more, position, generation };
}
