// What was copied, read back: entries against what was counted as they passed, and the index by expiry against the
// entries. In turns; nothing of the slots changes in the target meanwhile, but whole keyspaces may come and go there.
import type { BinaryString, Tally } from '@statestore/core';
import { hashToHex, keyspace, limits, newTally, prefixRange, StateStoreError, tallyAdd } from '@statestore/core';
import type { CopiedKeyspace } from './copied-keyspace.ts';
import { restOf, userKeyAt } from './copied-keyspace.ts';
import type { CopyTarget } from './copy-target.ts';
import type { SlotSet } from './slot-set.ts';

export interface Proof {
  readonly target: CopyTarget;
  readonly slots: SlotSet;
  /** Resolves when it is our turn again; rejects where it is to end. */
  readonly pause: () => Promise<void> | undefined;
  /** Takes a record of the index by expiry that belongs to no entry, left there by somebody else. Undefined: it is damage. */
  readonly stray?: (indexKey: BinaryString) => void;
}

/** Rejects with `data_corrupt` where something is missing, or is there and should not be. */
export async function proveCopies(proof: Proof, copies: readonly CopiedKeyspace[]): Promise<void> {
  const unproven = copies.filter(({ isProven }) => !isProven);
  if (unproven.length === 0) return;
  for (const copied of unproven) await proveEntries(proof, copied);
  // Nobody else ever wrote into one of its own.
  if (!proof.target.isOwn || unproven.some(({ tally }) => tally.expiring > 0)) await proveIndex(proof, copies);
  for (const copied of unproven) copied.isProven = true;
}

async function proveEntries(proof: Proof, copied: CopiedKeyspace): Promise<void> {
  const tally = newTally();
  if (!(await countEntries(proof, copied, tally))) return;
  const [found, expected] = [told(tally), told(copied.tally)];
  if (found !== expected) throw damaged(`store ${copied.store ?? '?'}: ${expected} were copied; ${found} are there`);
}

/** What of the slots is there. False: the keyspace was given up meanwhile. */
export async function countEntries(
  { target, slots, pause }: Proof,
  { ordinal, store, seed }: CopiedKeyspace,
  tally: Tally,
): Promise<boolean> {
  for (let from: BinaryString | undefined = ''; from !== undefined; await pause()) {
    if (!target.isLive(ordinal)) return false;
    let left = limits.reshapeTurnRecords;
    let last: BinaryString | undefined;
    for (const { key: entryKey, value } of target.range({ ...restOf(ordinal, from), limit: left })) {
      left--;
      last = entryKey.slice(userKeyAt);
      if (store !== undefined && slots.hasKey(store, last)) tallyAdd(tally, seed, last, value);
      else if (target.isOwn) throw damaged(`an entry of ordinal ${ordinal} is not of its slots`);
    }
    from = left > 0 || last === undefined ? undefined : `${last}\0`;
  }
  return true;
}

/** `copies`: all that have anything of the slots. */
export async function proveIndex(
  { target, slots, pause, stray }: Proof,
  copies: readonly CopiedKeyspace[],
): Promise<void> {
  const found = new Map(copies.map((copied) => [copied.ordinal, { copied, expiring: 0 }]));
  const whole = prefixRange(keyspace.expiryPrefix);
  for (let start: BinaryString | undefined = whole.start; start !== undefined; await pause()) {
    let left = limits.reshapeTurnRecords;
    let last: BinaryString | undefined;
    for (const indexKey of target.keys({ ...whole, start, limit: left })) {
      left--;
      last = indexKey;
      const { expiresAtMs, ordinal, key } = keyspace.parseExpiryKey(indexKey);
      const counted = found.get(ordinal);
      const store = counted?.copied.store;
      if (counted === undefined || store === undefined || !slots.hasKey(store, key)) continue;
      const entry = target.get(keyspace.entryKeyPrefix(ordinal) + key);
      if (entry !== undefined && keyspace.entryExpiry(entry) === expiresAtMs) counted.expiring++;
      else if (stray !== undefined) stray(indexKey);
      else throw damaged(`store ${store}: the index by expiry names an entry that does not expire then`);
    }
    start = left > 0 || last === undefined ? undefined : `${last}\0`;
  }
  for (const { copied, expiring } of found.values())
    if (expiring !== copied.tally.expiring && target.isLive(copied.ordinal))
      throw damaged(`store ${copied.store ?? '?'}: ${copied.tally.expiring} entries expire; the index has ${expiring}`);
}

function told({ entries, bytes, expiring, hash }: Tally): string {
  return `${entries} entries of ${bytes} bytes, ${expiring} of them expiring, hash ${hashToHex(hash)}`;
}

function damaged(what: string): StateStoreError {
  return new StateStoreError('data_corrupt', `a copy of slots is not what was copied: ${what}`);
}
