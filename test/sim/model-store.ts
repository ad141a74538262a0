// What the naive model of a partition holds (model.ts).
import type { CommandResult, StoreSettings } from '@statestore/core';
import type { ModelOwned } from './model-reshape.ts';

export interface ModelEntry {
  value: string;
  contentType: string;
  revision: bigint;
  /** 0: never. */
  expiresAtMs: number;
}

export interface ModelStore {
  /** 0: none. */
  ordinal: number;
  entries: Map<string, ModelEntry>;
  settings: StoreSettings;
  settingsVersion: number;
  allowanceEntries: number | undefined;
  allowanceBytes: number | undefined;
  expired: number;
}

interface RetiredEntry {
  key: string;
  expiresAtMs: number;
  indexed: boolean;
}

export interface ModelData {
  clockNanos: bigint;
  revision: bigint;
  nextOrdinal: number;
  expired: number;
  stores: Map<string, ModelStore>;
  retired: { ordinal: number; entries: RetiredEntry[] }[];
  sessions: Map<string, { firstUnanswered: number; lastUsedMs: number; results: Map<number, CommandResult> }>;
  idempotency: { id: string; fingerprint: string; judgedAtMs: number; result: CommandResult }[];
  changeRecords: { position: bigint; bytes: number }[];
  owned: ModelOwned;
}

export function emptyStore(): ModelStore {
  const settings = { defaultTtlMs: 0, quotaEntries: undefined, quotaBytes: undefined };
  return {
    ordinal: 0,
    entries: new Map(),
    settings,
    settingsVersion: 0,
    allowanceEntries: undefined,
    allowanceBytes: undefined,
    expired: 0,
  };
}

export function isDefault({ defaultTtlMs, quotaEntries, quotaBytes }: StoreSettings): boolean {
  return defaultTtlMs === 0 && quotaEntries === undefined && quotaBytes === undefined;
}
