// Stores, and the requests that name nothing but a partition.
import { binaryFromText, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import type { StoreInfo } from '../node-service.ts';
import { amount, eachField, encodeMessage, enter, nested, repeated } from './message.ts';

export interface StoreRequest {
  readonly partition: number;
  readonly store: string;
}
export interface PartitionRequest {
  readonly partition: number;
}
export interface CompactResponse {
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

export function encodeStoreRequest(request: StoreRequest): Uint8Array {
  return encodeMessage((w, { partition, store }) => {
    w.binary(2, binaryFromText(store));
    w.uint(1, partition);
  }, request);
}

export function decodeStoreRequest(bytes: Uint8Array): StoreRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let store = '';
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else if (field === 2) store = textFromBinary(r.binary());
    else r.skip();
  });
  return { partition, store };
}

export function encodePartitionRequest(request: PartitionRequest): Uint8Array {
  return encodeMessage((w, { partition }) => w.uint(1, partition), request);
}

export function decodePartitionRequest(bytes: Uint8Array): PartitionRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  eachField(r, (field) => {
    if (field === 1) partition = r.uint();
    else r.skip();
  });
  return { partition };
}

export function encodeStoreResponse(store: StoreInfo | undefined): Uint8Array {
  return encodeMessage((w, info) => {
    if (info !== undefined) nested(w, 1, writeStoreInfo, info);
  }, store);
}

export function decodeStoreResponse(bytes: Uint8Array): StoreInfo | undefined {
  return decodeStoresResponse(bytes)[0];
}

export function encodeStoresResponse(stores: readonly StoreInfo[]): Uint8Array {
  return encodeMessage((w, all) => repeated(w, 1, writeStoreInfo, all), stores);
}

export function decodeStoresResponse(bytes: Uint8Array): readonly StoreInfo[] {
  const r = new WireReader(bytes);
  const stores: StoreInfo[] = [];
  eachField(r, (field) => {
    if (field === 1) stores.push(enter(r, readStoreInfo));
    else r.skip();
  });
  return stores;
}

function writeStoreInfo(w: WireWriter, info: StoreInfo): void {
  const { defaultTtlMs, quotaEntries, quotaBytes } = info.settings;
  w.uint(10, info.settingsVersion);
  if (info.allowanceBytes !== undefined) w.presentUint(9, amount(info.allowanceBytes));
  if (info.allowanceEntries !== undefined) w.presentUint(8, amount(info.allowanceEntries));
  if (quotaBytes !== undefined) w.presentUint(7, amount(quotaBytes));
  if (quotaEntries !== undefined) w.presentUint(6, amount(quotaEntries));
  w.uint(5, defaultTtlMs);
  w.uint(4, info.expired);
  w.uint(3, info.bytes);
  w.uint(2, info.entries);
  w.binary(1, binaryFromText(info.store));
}

function readStoreInfo(r: WireReader): StoreInfo {
  let store = '';
  let entries = 0;
  let bytes = 0;
  let expired = 0;
  let defaultTtlMs = 0;
  let quotaEntries: number | undefined;
  let quotaBytes: number | undefined;
  let allowanceEntries: number | undefined;
  let allowanceBytes: number | undefined;
  let settingsVersion = 0;
  eachField(r, (field) => {
    if (field === 1) store = textFromBinary(r.binary());
    else if (field === 2) entries = r.uint();
    else if (field === 3) bytes = r.uint();
    else if (field === 4) expired = r.uint();
    else if (field === 5) defaultTtlMs = r.uint();
    else if (field === 6) quotaEntries = r.uint();
    else if (field === 7) quotaBytes = r.uint();
    else if (field === 8) allowanceEntries = r.uint();
    else if (field === 9) allowanceBytes = r.uint();
    else if (field === 10) settingsVersion = r.uint();
    else r.skip();
  });
  return {
    store,
    entries,
    bytes,
    expired,
    settings: { defaultTtlMs, quotaEntries, quotaBytes },
    settingsVersion,
    allowanceEntries,
    allowanceBytes,
  };
}

export function encodeCompactResponse(response: CompactResponse): Uint8Array {
  return encodeMessage((w, { beforeBytes, afterBytes }) => {
    w.uint(2, afterBytes);
    w.uint(1, beforeBytes);
  }, response);
}

export function decodeCompactResponse(bytes: Uint8Array): CompactResponse {
  const r = new WireReader(bytes);
  let beforeBytes = 0;
  let afterBytes = 0;
  eachField(r, (field) => {
    if (field === 1) beforeBytes = r.uint();
    else if (field === 2) afterBytes = r.uint();
    else r.skip();
  });
  return { beforeBytes, afterBytes };
}
