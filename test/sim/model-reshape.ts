// The naive model's part in splits and merges: which slots a partition owns, as a set of numbers, and what the commands
// of a reshape do to it. Entries that are given away are simply gone; those that are absorbed are handed to the model
// beforehand, as they are to an engine. Written from the promises, as model.ts is.
import type {
  Absorb,
  CommandBody,
  CommandResult,
  Fence,
  HandOver,
  PrepareAbsorb,
  Remember,
  ReshapeCommand,
  Unfence,
} from '@statestore/core';
import { commandResult, limits, slotOf } from '@statestore/core';
import { emptyStore, isDefault } from './model-store.ts';
import type { ModelData, ModelEntry, ModelStore } from './model-store.ts';

export interface ModelOwned {
  /** Undefined: whatever it is sent. */
  slots: Set<number> | undefined;
  slotsEpoch: bigint;
  fenced: { reshape: string; slots: Set<number>; position: bigint; nextOrdinal: number; clockMs: number } | undefined;
  ended: { reshape: string; position: bigint; slotsEpoch: bigint } | undefined;
}

export const ownsAll: ModelOwned = { slots: undefined, slotsEpoch: 0n, fenced: undefined, ended: undefined };

/** What a merge's source gives: by store. */
export type Staged = ReadonlyMap<string, ReadonlyMap<string, ModelEntry>>;

export function slotSet(ranges: readonly { readonly start: number; readonly end: number }[]): Set<number> {
  const slots = new Set<number>();
  for (const { start, end } of ranges) for (let slot = start; slot < end; slot++) slots.add(slot);
  return slots;
}

export function isMoved({ slots, fenced }: ModelOwned, store: string, key: string): boolean {
  if (slots === undefined) return false;
  const slot = slotOf(store, key);
  return !slots.has(slot) || fenced?.slots.has(slot) === true;
}

/** Commands of the whole partition that it does not run now; undefined: it does. */
export function heldBack({ slots, fenced }: ModelOwned, { kind }: CommandBody): CommandResult | undefined {
  if (kind === 'sweep' && fenced !== undefined) return commandResult('done');
  if (kind !== 'clear' && kind !== 'configure' && kind !== 'adjustAllowance') return undefined;
  return fenced !== undefined || slots?.size === 0 ? commandResult('moved') : undefined;
}

const done = commandResult('done');
const refused = commandResult('precondition_failed');

/* oxlint-disable-next-line max-params -- the model's parts */
export function reshaped(data: ModelData, position: bigint, body: ReshapeCommand, staged: Staged): CommandResult {
  switch (body.kind) {
    case 'fence':
      return fence(data, position, body);
    case 'unfence':
      return unfence(data, position, body);
    case 'handOver':
      return handOver(data, body);
    case 'prepareAbsorb':
      return prepareAbsorb(data, body);
    case 'remember':
      return remember(data, body);
    case 'absorb':
      return absorb(data, position, body, staged);
  }
}

/** Of one that ended here before: whether it did what it was for. */
function hasEnded({ owned: { ended, slotsEpoch } }: ModelData, reshape: string): 'done' | 'given up' | undefined {
  if (ended?.reshape !== reshape) return undefined;
  return ended.slotsEpoch === slotsEpoch ? 'done' : 'given up';
}

function comesLate({ owned: { ended, slotsEpoch } }: ModelData, epoch: bigint): boolean {
  return epoch <= slotsEpoch || epoch <= (ended?.slotsEpoch ?? -1n);
}

function fence(data: ModelData, position: bigint, { reshape, slots, ownedBefore, slotsEpoch }: Fence): CommandResult {
  const { owned } = data;
  if (owned.fenced !== undefined) return owned.fenced.reshape === reshape ? done : refused;
  if (owned.ended?.reshape === reshape || comesLate(data, slotsEpoch)) return refused;
  const all = owned.slots ?? slotSet(ownedBefore);
  const asked = slotSet(slots);
  if (asked.size === 0 || ![...asked].every((slot) => all.has(slot))) return refused;
  owned.slots = all;
  const clockMs = Number(data.clockNanos / 1_000_000n);
  owned.fenced = { reshape, slots: asked, position, nextOrdinal: data.nextOrdinal, clockMs };
  data.clockNanos += 1_000_000n;
  return done;
}

function unfence(data: ModelData, position: bigint, command: Unfence): CommandResult {
  const { reshape, slotsEpoch, forGood, ownedBefore } = command;
  const { owned } = data;
  const ended = hasEnded(data, reshape);
  if (ended !== undefined) return ended === 'done' ? refused : done;
  if (comesLate(data, slotsEpoch)) return refused;
  if (owned.fenced?.reshape === reshape) owned.fenced = undefined;
  if (!forGood) return done;
  owned.slots ??= slotSet(ownedBefore);
  owned.ended = { reshape, position, slotsEpoch };
  return done;
}

function sizeOf(entries: ReadonlyMap<string, ModelEntry>): number {
  return [...entries].reduce((sum, [key, { value }]) => sum + key.length + value.length, 0);
}

/** The hashes are the state's own matter: they are right, or else the numbers are wrong, too. */
function handOver(data: ModelData, { reshape, slotsEpoch, fencedPosition, stores }: HandOver): CommandResult {
  const { owned } = data;
  const ended = hasEnded(data, reshape);
  if (ended !== undefined) return ended === 'done' ? done : refused;
  const { fenced, slots } = owned;
  if (fenced?.reshape !== reshape || fenced.position !== fencedPosition || comesLate(data, slotsEpoch)) return refused;
  for (const { name, entries, bytes } of stores) {
    const store = data.stores.get(name);
    if (store === undefined || entries > store.entries.size || bytes > sizeOf(store.entries)) return refused;
    if (entries === store.entries.size && bytes !== sizeOf(store.entries)) return refused;
  }
  const left = new Set([...slots!].filter((slot) => !fenced.slots.has(slot)));
  for (const [name, store] of data.stores) {
    const given = giveAway(name, store, fenced.slots);
    if (left.size === 0) continue;
    if (store.allowanceEntries !== undefined) store.allowanceEntries -= Math.min(store.allowanceEntries, given.size);
    if (store.allowanceBytes !== undefined) store.allowanceBytes -= Math.min(store.allowanceBytes, sizeOf(given));
  }
  Object.assign(owned, { slots: left, slotsEpoch, fenced: undefined });
  owned.ended = { reshape, position: fenced.position, slotsEpoch };
  return done;
}

function giveAway(name: string, store: ModelStore, slots: ReadonlySet<number>): Map<string, ModelEntry> {
  const given = new Map<string, ModelEntry>();
  for (const [key, entry] of store.entries) {
    if (!slots.has(slotOf(name, key))) continue;
    given.set(key, entry);
    store.entries.delete(key);
  }
  return given;
}

function prepareAbsorb(data: ModelData, { reshape, stores, ownedBefore }: PrepareAbsorb): CommandResult {
  const { owned } = data;
  if (owned.ended?.reshape === reshape) return done;
  if (owned.fenced !== undefined) return refused;
  owned.slots ??= slotSet(ownedBefore);
  for (const name of stores) {
    const store = data.stores.get(name) ?? emptyStore();
    data.stores.set(name, store);
    if (store.ordinal === 0) store.ordinal = data.nextOrdinal++;
  }
  return done;
}

function remember(data: ModelData, { reshape, records }: Remember): CommandResult {
  const { owned } = data;
  if (owned.ended?.reshape === reshape) return done;
  if (owned.fenced !== undefined) return refused;
  for (const { id, fingerprint, expiresAtMs, result } of records) {
    const judgedAtMs = expiresAtMs - limits.deduplicationWindowMs;
    const before = data.idempotency.find((record) => record.id === id);
    if (before !== undefined && before.judgedAtMs >= judgedAtMs) continue;
    data.idempotency = data.idempotency.filter((record) => record !== before);
    data.idempotency.push({ id, fingerprint, judgedAtMs: Number(data.clockNanos / 1_000_000n), result });
  }
  return done;
}

/* oxlint-disable-next-line max-params -- the model's parts */
function absorb(data: ModelData, position: bigint, command: Absorb, staged: Staged): CommandResult {
  const { owned } = data;
  const { reshape, slotsEpoch, stores, clockNanos, revision } = command;
  const ended = hasEnded(data, reshape);
  if (ended !== undefined) return ended === 'done' ? done : refused;
  if (owned.fenced !== undefined || comesLate(data, slotsEpoch)) return refused;
  const before = owned.slots ?? slotSet(command.ownedBefore);
  const taken = slotSet(command.slots);
  if (taken.size === 0 || [...taken].some((slot) => before.has(slot))) return refused;
  for (const { name, ordinal, entries } of stores)
    if (entries > 0 && (ordinal === 0 || data.stores.get(name)?.ordinal !== ordinal)) return refused;
  for (const from of stores) takeStore(data, from, staged.get(from.name) ?? new Map());
  if (revision > data.revision) data.revision = revision;
  if (clockNanos > data.clockNanos) data.clockNanos = clockNanos;
  data.expired += command.expired;
  owned.slots = new Set([...before, ...taken]);
  owned.slotsEpoch = slotsEpoch;
  owned.ended = { reshape, position, slotsEpoch };
  return done;
}

function takeStore(data: ModelData, from: Absorb['stores'][number], entries: ReadonlyMap<string, ModelEntry>): void {
  const known = data.stores.get(from.name);
  const store = known ?? emptyStore();
  const isSame = from.settingsVersion === store.settingsVersion;
  if (
    from.settingsVersion > store.settingsVersion ||
    (isSame && isDefault(store.settings) && !isDefault(from.settings))
  )
    Object.assign(store, {
      settings: from.settings,
      settingsVersion: from.settingsVersion,
      allowanceEntries: from.allowanceEntries,
      allowanceBytes: from.allowanceBytes,
    });
  else if (isSame) {
    store.allowanceEntries = both(store.allowanceEntries, from.allowanceEntries);
    store.allowanceBytes = both(store.allowanceBytes, from.allowanceBytes);
  }
  if (known === undefined && isDefault(store.settings)) return;
  for (const [key, entry] of entries) store.entries.set(key, { ...entry });
  store.expired += from.expired;
  data.stores.set(from.name, store);
}

function both(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}

/** What a split's child begins with. The fence of `source` is in force. */
export function childData(source: ModelData, slotsEpoch: bigint): ModelData {
  const { owned, stores, ...rest } = structuredClone(source);
  const { slots, nextOrdinal, clockMs } = owned.fenced!;
  const child: ModelData = {
    ...rest,
    clockNanos: 0n,
    nextOrdinal,
    expired: 0,
    stores: new Map(),
    retired: [],
    sessions: new Map(),
    idempotency: rest.idempotency.filter(({ judgedAtMs }) => judgedAtMs <= clockMs),
    changeRecords: [],
    owned: { slots, slotsEpoch, fenced: undefined, ended: undefined },
  };
  for (const [name, store] of stores) {
    if (store.ordinal >= nextOrdinal) {
      // Made since then; or given a keyspace since then, and there for its settings before.
      if (isDefault(store.settings)) continue;
      store.ordinal = 0;
    }
    const entries = giveAway(name, store, slots);
    const { allowanceEntries, allowanceBytes } = store;
    child.stores.set(name, {
      ...store,
      entries,
      expired: 0,
      allowanceEntries: allowanceEntries === undefined ? undefined : Math.min(allowanceEntries, entries.size),
      allowanceBytes: allowanceBytes === undefined ? undefined : Math.min(allowanceBytes, sizeOf(entries)),
    });
  }
  return child;
}
