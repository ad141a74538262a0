// Who sees everything: a replica of each log that has applied whatever is in it at once, knows the truth, and says so where
// a slot has two owners, an effect happens twice or where it may not, or a replica is not what this one was there.
import type { BinaryString, Change, Command } from '@statestore/core';
import { binaryFromBytes, bytesFromBinary, decodeBatch, keyspace, readEntry } from '@statestore/core';
import type { BatchRecord, SlotRange, Split } from '@statestore/core';
import { headOf } from '../../../services/core/src/apply/state.ts';
import { containsSlot, joined, meet, without } from '../../../services/core/src/slot-ranges.ts';
import { Replica } from '../replica.ts';
import type { Apply } from '../replica.ts';
import type { SortedMap } from '../sorted-map.ts';
import { expectedChild } from './child.ts';
import type { LogId } from './reshape-log.ts';
import { ReshapeLog } from './reshape-log.ts';
import { ownRecords, removalOf, slotOfKey, stagedOf } from './reshape-states.ts';
import type { ReshapeWorld } from './reshape-world.ts';
import { Truth } from './truth.ts';

export interface Canonical {
  readonly log: ReshapeLog;
  readonly replica: Replica;
  /** By position. */
  readonly heads: Map<bigint, string>;
  readonly changes: Map<bigint, readonly Change[]>;
  /** By the topology, as long as its state does not say it. */
  readonly initial: readonly SlotRange[];
}

const allSlots: readonly SlotRange[] = [{ start: 0, end: 4096 }];

export class Referee {
  readonly truth: Truth;
  readonly all = new Map<LogId, Canonical>();
  /** By store and key, in the order in which logs took them. */
  readonly changes = new Map<string, string[]>();
  /** Of splits: what the source was when its slots were fenced. */
  readonly #fenced = new Map<BinaryString, Replica>();
  readonly #splits = new Map<BinaryString, Split>();
  readonly #world: ReshapeWorld;
  readonly #apply: Apply;

  constructor(world: ReshapeWorld, apply: Apply) {
    this.#world = world;
    this.#apply = apply;
    this.truth = new Truth(world);
  }

  begin(log: ReshapeLog, initial: readonly SlotRange[], records?: SortedMap): Canonical {
    const replica = new Replica(records, this.#apply);
    const canonical = { log, replica, heads: new Map([[log.first, headText(replica)]]), changes: new Map(), initial };
    this.all.set(log.id, canonical);
    return canonical;
  }

  /** It is in the topology: so that its child can be known when it is handed over. */
  knowSplit(id: BinaryString, split: Split): void {
    this.#splits.set(id, split);
  }

  of(log: ReshapeLog): Canonical {
    return this.all.get(log.id)!;
  }

  /** Appends, and tells what becomes of it. */
  append(log: ReshapeLog, commands: readonly Command[]): readonly { readonly code: string }[] {
    const record = log.append(commands);
    return this.#applied(this.of(log), record);
  }

  #applied(canonical: Canonical, record: BatchRecord): ReturnType<Replica['apply']>['results'] {
    const { log, replica } = canonical;
    const world = this.#world;
    const { commands } = decodeBatch(record.bytes);
    for (const { body } of commands) {
      if (body.kind === 'absorb') this.#stage(replica, body.reshape, body.slots);
    }
    const endedBefore = replica.state.ended?.reshape;
    const slotsBefore = replica.state.slots ?? canonical.initial;
    const { results, changes } = replica.apply(record);
    canonical.heads.set(record.position, headText(replica));
    canonical.changes.set(record.position, changes);
    for (const { kind, store, key, revision } of changes) {
      const name = `${store}/${key}`;
      if (kind === 'clear') continue;
      const ofKey = this.changes.get(name) ?? [];
      this.changes.set(name, ofKey);
      ofKey.push(`${kind} ${log.id} ${revision}`);
    }
    const where = `${log.id} at ${record.position}`;
    const revisions = new Set(changes.map(({ revision }) => revision));
    for (const [i, command] of commands.entries()) {
      const { body } = command;
      const result = results[i]!;
      // Not where it is told once more what became of it then.
      if (body.kind === 'clear' && changes.some(({ kind, store }) => kind === 'clear' && store === body.store)) {
        this.truth.cleared(body.store, (key) => containsSlot(slotsBefore, slotOfKey(body.store, key)));
      }
      this.truth.applied(where, command, result, revisions);
    }
    const { fenced, ended } = replica.state;
    if (fenced?.position === record.position) {
      this.#fenced.set(fenced.reshape, new Replica(replica.records.copy()));
      world.note(`${where}: fenced`);
    }
    if (ended !== undefined && ended.reshape !== endedBefore) this.#handedOver(canonical, ended.reshape);
    this.#checkOwners(where);
    return results;
  }

  #handedOver({ replica, log }: Canonical, reshape: BinaryString): void {
    const { ended, slotsEpoch } = replica.state;
    const split = this.#splits.get(reshape);
    const isGiven = ended!.slotsEpoch === slotsEpoch;
    this.#world.note(`${log.id}: ${isGiven ? 'slots were given or taken' : 'the reshape was given up'}`);
    if (!isGiven || split === undefined || split.source !== log.partition) return;
    const source = this.#fenced.get(reshape)!;
    const child = expectedChild(source, split);
    const { position } = source.state.fenced!;
    this.begin(new ReshapeLog(this.#world, split.target, split.log.generation, position), [], child);
  }

  /** Absorb takes what is staged: here it is what the source's canonical replica has. */
  #stage(target: Replica, reshape: BinaryString, wanted: readonly SlotRange[]): void {
    const { state, records } = target;
    const source = this.#fenced.get(reshape);
    if (source === undefined || (state.slots !== undefined && meet(state.slots, wanted))) return;
    records.write(removalOf(state, records, wanted));
    const ordinalOf = (store: string): number => state.stores.get(store)?.ordinal ?? 0;
    records.write(stagedOf({ state: source.state, reader: source.records }, wanted, ordinalOf));
  }

  /** Nobody may write to a slot beside another one, in any log. */
  #checkOwners(where: string): void {
    const owned = [...this.all.values()].map((each) => ({ log: each.log, slots: writable(each) }));
    for (const [i, one] of owned.entries()) {
      for (const other of owned.slice(i + 1)) {
        if (meet(one.slots, other.slots)) {
          this.#world.wrong(`${where}: ${one.log.id} and ${other.log.id} both own slots`);
        }
      }
    }
  }

  /** Whether all slots are owned, each by the partition that is said to. */
  checkAllOwned(byTopology: ReadonlyMap<LogId, readonly SlotRange[]>): void {
    const world = this.#world;
    const all: SlotRange[] = [];
    for (const canonical of this.all.values()) {
      const { log } = canonical;
      const slots = writable(canonical);
      const said = byTopology.get(log.id) ?? [];
      if (JSON.stringify(joined(slots)) !== JSON.stringify(joined(said))) {
        world.wrong(`${log.id} owns ${JSON.stringify(slots)}, and the topology says ${JSON.stringify(said)}`);
      }
      all.push(...slots);
    }
    if (JSON.stringify(joined(all)) !== JSON.stringify(allSlots)) {
      world.wrong(`all together own ${JSON.stringify(joined(all))}`);
    }
  }

  /** A replica has applied a position. */
  checkHead(whose: string, log: ReshapeLog, replica: Replica): void {
    const { position } = replica.state;
    const expected = this.of(log).heads.get(position);
    const own = headText(replica);
    if (own === expected) return;
    this.#world.wrong(`${whose} differs from the others at ${position} of ${log.id}: ${differing(own, expected)}`);
  }

  /** At the end of its log: record by record. */
  checkRecords(whose: string, log: ReshapeLog, replica: Replica): void {
    const canonical = this.of(log).replica;
    const [own, expected] = [replica, canonical].map(({ state, records }) => ownRecords(state, records));
    const at = own!.findIndex((record, i) => record !== expected![i]);
    if (at === -1 && own!.length === expected!.length) return;
    this.#world.wrong(
      `${whose} of ${log.id} has ${own![at] ?? 'nothing'} instead of ${expected![Math.max(at, own!.length)] ?? 'nothing'}`,
    );
  }

  /** What the owners have is what is true. */
  checkContent(stores: readonly string[]): void {
    const live = [...this.all.values()].filter((each) => writable(each).length > 0);
    for (const store of stores) {
      let entries = 0;
      for (const [key, text] of this.truth.present(store)) {
        entries++;
        const slot = slotOfKey(store, key);
        const owner = live.find((each) => containsSlot(writable(each), slot));
        const entry =
          owner === undefined ? undefined : readEntry(owner.replica.state, owner.replica.records, store, key, 0);
        const found = entry === undefined ? undefined : binaryFromBytes(entry.value);
        if (found !== text) this.#world.wrong(`${store}/${key} is ${found} in ${owner?.log.id}, and truly ${text}`);
      }
      const counted = live.reduce((sum, { replica }) => sum + (replica.state.stores.get(store)?.entries ?? 0), 0);
      if (counted !== entries)
        this.#world.wrong(`${store} has ${counted} entries by its counters, and truly ${entries}`);
    }
  }
}

/** Slots in which it takes writes. */
export function writable({ replica: { state }, initial }: Canonical): readonly SlotRange[] {
  const owned = state.slots ?? initial;
  return state.fenced === undefined ? owned : without(owned, state.fenced.slots);
}

function headText({ state }: Replica): string {
  return binaryFromBytes(headOf(state));
}

/** Of two heads: the fields that are not the same. */
function differing(own: string, expected: string | undefined): string {
  if (expected === undefined) return 'nobody was there';
  let heads;
  try {
    heads = [own, expected].map((head) => keyspace.decodeHead(bytesFromBinary(head)));
  } catch (error) {
    return String(error);
  }
  const [a, b] = heads;
  const shown = (value: unknown): string =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each));
  const names = Object.keys(b!) as (keyof typeof b)[];
  const wrong = names.filter((name) => shown(a![name]) !== shown(b![name]));
  return wrong.map((name) => `${String(name)} is ${shown(a![name])} instead of ${shown(b![name])}`).join(', ');
}
