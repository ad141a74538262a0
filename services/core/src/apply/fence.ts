// A split or a merge in the partition that gives slots: they are fenced, and then handed over, or the fence is taken
// away. Commands may come twice and late, from one who was stopped and another who went on for it: each says which
// reshape it is of, and the state knows the last one that ended.
import type { Fence, GivenStore, HandOver, OfReshape, Unfence } from '../command.ts';
import { binaryFromBytes, bytesFromBinary } from '../binary-string.ts';
import type { Hash128 } from '../hash.ts';
import { hashAdd, hashFromBytes, hashSubtract, hashToBytes, newHash } from '../hash.ts';
import type { StoreState } from '../keyspace/store.ts';
import type { CommandResult } from '../result.ts';
import { commandResult } from '../result.ts';
import { contains, joined, without } from '../slot-ranges.ts';
import type { BatchContext } from './context.ts';
import type { GivenTotal, PartitionState } from './state.ts';

const msNanos = 1_000_000n;

/** Whether it is of a reshape that is not later than the last one that ended here, and not that one. */
export function isLate({ slotsEpoch, ended }: PartitionState, epoch: bigint): boolean {
  return epoch <= slotsEpoch || (ended !== undefined && epoch <= ended.slotsEpoch);
}

/** What the last reshape that ended here came to, if it is this one. */
export function endOf({ ended, slotsEpoch }: PartitionState, { reshape }: OfReshape): 'done' | 'given up' | undefined {
  if (ended?.reshape !== reshape) return undefined;
  return ended.slotsEpoch === slotsEpoch ? 'done' : 'given up';
}

const done = commandResult('done');
const refused = commandResult('precondition_failed');

export function fence(context: BatchContext, command: Fence): CommandResult {
  const { state } = context;
  const { reshape } = command;
  if (state.fenced !== undefined) return state.fenced.reshape === reshape ? done : refused;
  if (endOf(state, command) !== undefined || isLate(state, command.slotsEpoch)) return refused;
  const owned = state.slots ?? joined(command.ownedBefore);
  const slots = joined(command.slots);
  if (slots.length === 0 || !contains(owned, slots)) return refused;
  const { position, revision, clockNanos, nextOrdinal } = state;
  state.slots = owned;
  state.fenced = { reshape, slots, position, revision, clockNanos, chain: hashToBytes(state.chain), nextOrdinal };
  // What is remembered from here on is remembered for longer than what was before: the other partition gets only that.
  context.moveClock(clockNanos + msNanos);
  return done;
}

export function unfence(context: BatchContext, command: Unfence): CommandResult {
  const { state } = context;
  const { reshape, slotsEpoch, forGood, ownedBefore } = command;
  const end = endOf(state, command);
  if (end !== undefined) return end === 'given up' ? done : refused;
  if (isLate(state, slotsEpoch)) return refused;
  if (state.fenced?.reshape === reshape) state.fenced = undefined;
  if (!forGood) return done;
  state.slots ??= joined(ownedBefore);
  state.ended = { reshape, position: state.position, slotsEpoch };
  return done;
}

export function handOver(context: BatchContext, command: HandOver): CommandResult {
  const { state } = context;
  const { fenced, slots } = state;
  const { reshape, slotsEpoch, stores } = command;
  const end = endOf(state, command);
  if (end !== undefined) return end === 'done' ? done : refused;
  if (fenced?.reshape !== reshape || slots === undefined) return refused;
  if (fenced.position !== command.fencedPosition || isLate(state, slotsEpoch)) return refused;
  const given = givenOf(state, stores);
  if (given === undefined) return refused;
  const left = without(slots, fenced.slots);
  const total = totalOf(given);
  for (const one of given) give(context, one, left.length > 0);
  state.slots = left;
  state.slotsEpoch = slotsEpoch;
  state.fenced = undefined;
  state.ended = { reshape, position: fenced.position, slotsEpoch, fenced, given: total };
  return done;
}

function totalOf(given: readonly Given[]): GivenTotal {
  const hash = newHash();
  let entries = 0;
  let bytes = 0;
  for (const one of given) {
    entries += one.entries;
    bytes += one.bytes;
    hashAdd(hash, one.hash);
  }
  return { entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
}

interface Given {
  readonly store: StoreState;
  readonly entries: number;
  readonly bytes: number;
  readonly hash: Hash128;
}

/** Undefined where it cannot be what is in these stores. */
function givenOf(state: PartitionState, stores: readonly GivenStore[]): readonly Given[] | undefined {
  const given: Given[] = [];
  const names = new Set<string>();
  for (const { name, entries, bytes, hash } of stores) {
    const store = state.stores.get(name);
    if (store === undefined || names.has(name) || hash.length !== 16) return undefined;
    if (entries > store.entries || bytes > store.bytes) return undefined;
    if (entries === store.entries && (bytes !== store.bytes || hash !== binaryFromBytes(hashToBytes(store.hash))))
      return undefined;
    names.add(name);
    given.push({ store, entries, bytes, hash: hashFromBytes(bytesFromBinary(hash)) });
  }
  return given;
}

function give(context: BatchContext, { store, entries, bytes, hash }: Given, staysInUse: boolean): void {
  const { state } = context;
  store.entries -= entries;
  state.entries -= entries;
  store.bytes -= bytes;
  state.bytes -= bytes;
  hashSubtract(store.hash, hash);
  hashSubtract(state.stateHash, hash);
  context.dirtyStores.add(store);
  // Whoever takes the last slots takes the whole allowance, and reads it here.
  if (!staysInUse) return;
  const { allowanceEntries, allowanceBytes } = store;
  if (allowanceEntries !== undefined)
    store.allowanceEntries = allowanceEntries - givenAllowance(allowanceEntries, entries);
  if (allowanceBytes !== undefined) store.allowanceBytes = allowanceBytes - givenAllowance(allowanceBytes, bytes);
}

/** What goes with entries that are given away: as much as is in use for them. */
export function givenAllowance(allowance: number, used: number): number {
  return Math.min(allowance, used);
}
