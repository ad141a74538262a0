// The arithmetic of quotas: what partitions hold of a quota, what they have to spare, what nobody holds,
// and how it is dealt out. What is asked and told of partitions is quota.ts.
import type { StoreSettings } from '@statestore/core';
import type { StoreInfo } from '@statestore/link';

export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

export const nothing: Amount = { entries: 0, bytes: 0 };

/** What one partition holds of a store's quota. */
export interface Allowance {
  readonly partition: number;
  /** What is granted or, where more is in use (the quota was lowered), what is in use. Infinity: no quota. */
  readonly held: Amount;
  /** What is granted and not in use. */
  readonly free: Amount;
}

export interface PartitionInfo {
  readonly partition: number;
  /** Undefined: the partition knows no such store. */
  readonly info: StoreInfo | undefined;
}

/** All partitions of a store, each as it was when it was asked. */
export interface Allotment {
  readonly settings: StoreSettings;
  readonly settingsVersion: number;
  /** Whether all partitions have these settings: a change of them has reached all, or is over. */
  readonly settled: boolean;
  readonly allowances: readonly Allowance[];
  /** What the quota has and no partition holds: it is on its way, or was lost. */
  readonly missing: Amount;
}

/** Undefined where no partition knows the store. */
export function allotmentOf(infos: readonly PartitionInfo[]): Allotment | undefined {
  let newest: StoreInfo | undefined;
  for (const { info } of infos) {
    if (info !== undefined && info.settingsVersion >= (newest?.settingsVersion ?? 0)) newest = info;
  }
  if (newest === undefined) return undefined;
  const { settings, settingsVersion } = newest;
  const allowances = infos.map(({ partition, info }) => allowanceOf(partition, info));
  return {
    settings,
    settingsVersion,
    settled: infos.every(({ info }) => (info?.settingsVersion ?? 0) === settingsVersion),
    allowances,
    missing: missingOf(settings, allowances),
  };
}

function allowanceOf(partition: number, info: StoreInfo | undefined): Allowance {
  // A partition that was never told of the store has been granted nothing, and limits nothing either.
  if (info === undefined) return { partition, held: nothing, free: nothing };
  const entries = info.allowanceEntries ?? Number.POSITIVE_INFINITY;
  const bytes = info.allowanceBytes ?? Number.POSITIVE_INFINITY;
  const free = { entries: Math.max(0, entries - info.entries), bytes: Math.max(0, bytes - info.bytes) };
  const held = { entries: Math.max(entries, info.entries), bytes: Math.max(bytes, info.bytes) };
  return { partition, held, free };
}

function missingOf(settings: StoreSettings, allowances: readonly Allowance[]): Amount {
  const granted = allowances.reduce((sum, { held }) => plus(sum, held), nothing);
  const missing = (quota: number | undefined, sum: number): number =>
    quota === undefined ? 0 : Math.max(0, quota - sum);
  return {
    entries: missing(settings.quotaEntries, granted.entries),
    bytes: missing(settings.quotaBytes, granted.bytes),
  };
}

/**
 * Parts that sum up to the quota: what each partition uses, and an equal part of what is left. Nothing where more than the
 * quota is in use: a partition that had a part could fill what it deletes while another one holds more than its own.
 */
export function splitQuota(quota: number | undefined, used: readonly number[]): readonly (number | undefined)[] {
  if (quota === undefined) return used.map(() => undefined);
  const total = used.reduce((sum, part) => sum + part, 0);
  const left = quota - total;
  if (left < 0) return used.map(() => 0);
  const share = Math.floor(left / used.length);
  const rest = left - share * used.length;
  return used.map((part, i) => part + share + (i < rest ? 1 : 0));
}

export function plus(a: Amount, b: Amount): Amount {
  return { entries: a.entries + b.entries, bytes: a.bytes + b.bytes };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** No quota counts as nothing: there is nothing to move. */
export function finiteAmount({ entries, bytes }: Amount): Amount {
  return { entries: finite(entries), bytes: finite(bytes) };
}

/** By how much `free` falls short of `need`. */
export function lackOf(need: Amount, free: Amount): Amount {
  return { entries: Math.max(0, need.entries - free.entries), bytes: Math.max(0, need.bytes - free.bytes) };
}

export function isNothing({ entries, bytes }: Amount): boolean {
  return entries === 0 && bytes === 0;
}
