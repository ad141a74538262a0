// What a driver does for a split or a merge: one step, found by looking at its own replicas and its own idea of the
// topology, either of which may be old. Any node does this at any time, several at once, and forgets it at once: so it is
// as if each died after every step. What is said arrives later, twice, or never.
import type { Absorb, Command, CommandBody, GivenStore, Merge, PartitionState, Reshape, Split } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  hashAdd,
  hashFromBytes,
  hashToBytes,
  keyspace,
  newHash,
  prefixRange,
} from '@statestore/core';
import { decodeIdempotency } from '../../../services/core/src/keyspace/idempotency.ts';
import type { ReshapeLog } from './reshape-log.ts';
import type { NodeReplica, ReshapeNode } from './reshape-node.ts';
import { countedIn } from './reshape-states.ts';
import type { Edit } from './reshape-topology.ts';
import { binaryOf, dropped, mergeDone, placementOf, splitDone } from './reshape-topology.ts';

export interface Desk {
  /** Sends a command on its way to a log. */
  propose(who: string, log: ReshapeLog, command: Command): void;
  change(who: string, node: ReshapeNode, edit: Edit, why: string): void;
}

/** Share of steps in which an attempt is given up that could go on. */
const impatience = 0.08;

export class ReshapeDriver {
  readonly #node: ReshapeNode;
  readonly #desk: Desk;

  constructor(node: ReshapeNode, desk: Desk) {
    this.#node = node;
    this.#desk = desk;
  }

  drive(reshape: Reshape): void {
    const source = this.#node.replicaOf(reshape.source);
    if (source === undefined) return;
    const { bug, random, calm } = this.#node.around.world;
    const { state } = source.live;
    const id = binaryOf(reshape.id);
    const { slotsEpoch } = reshape;
    if (state.ended?.reshape === id) return isGiven(state) ? this.#goOn(reshape, source) : this.#drop(reshape);
    const ownedBefore = placementOf(this.#node.view, reshape.source)!.slots;
    const unfence = { kind: 'unfence', reshape: id, slotsEpoch, ownedBefore } as const;
    if (reshape.cancelled) {
      if (bug === 'dropped-without-unfence') return this.#drop(reshape);
      if (bug === 'unfence-not-for-good') {
        if (state.fenced === undefined && random.chance(0.5)) return this.#drop(reshape);
        return this.#propose(source, { ...unfence, forGood: false });
      }
      return this.#propose(source, { ...unfence, forGood: true });
    }
    if (bug === 'topology-before-hand-over' && reshape.kind === 'split' && this.#node.children.has(reshape.id))
      return this.#finishSplit(reshape, this.#node.children.get(reshape.id)!.position);
    if (state.fenced?.reshape !== id) return this.#prepare(reshape, source);
    if (!calm && random.chance(impatience)) return this.#propose(source, { ...unfence, forGood: false });
    if (reshape.kind === 'split') this.#handOverSplit(reshape, source);
    else this.#handOverMerge(reshape, source);
  }

  #prepare(reshape: Reshape, source: NodeReplica): void {
    const { world } = this.#node.around;
    const { slots, slotsEpoch, id } = reshape;
    if (source.live.state.fenced !== undefined) return;
    if (reshape.kind === 'merge') {
      const target = this.#node.replicaOf(reshape.target);
      if (target === undefined) return;
      if (target.live.state.slots === undefined) return this.#prepareAbsorb(reshape, source, target);
      if (world.random.chance(0.5)) return void this.#node.stage(reshape, false);
    }
    if (world.bug === 'hand-over-with-old-numbers') this.#remember(reshape, source);
    const ownedBefore = placementOf(this.#node.view, reshape.source)!.slots;
    this.#propose(source, { kind: 'fence', reshape: binaryOf(id), slots, ownedBefore, slotsEpoch });
  }

  #old = new Map<string, readonly GivenStore[]>();

  #remember(reshape: Reshape, { live }: NodeReplica): void {
    if (this.#old.has(reshape.id)) return;
    this.#old.set(reshape.id, countedIn(live.state, live.records, reshape.slots));
  }

  /** Also once more after the hand-over: a store may have been cleared in the target meanwhile. */
  #prepareAbsorb({ id, slots, target: partition }: Merge, { live }: NodeReplica, target: NodeReplica): void {
    const stores = countedIn(live.state, live.records, slots).map(({ name }) => name);
    const ownedBefore = placementOf(this.#node.view, partition)!.slots;
    this.#propose(target, { kind: 'prepareAbsorb', reshape: binaryOf(id), ownedBefore, stores });
  }

  #handOverSplit(split: Split, source: NodeReplica): void {
    if (!this.#node.buildChild(split)) return;
    const child = this.#node.children.get(split.id)!;
    this.#handOver(split, source, this.#old.get(split.id) ?? child.stores);
  }

  #handOver({ id, slotsEpoch }: Reshape, source: NodeReplica, stores: readonly GivenStore[]): void {
    const fencedPosition = source.live.state.fenced!.position;
    this.#propose(source, { kind: 'handOver', reshape: binaryOf(id), fencedPosition, slotsEpoch, stores });
  }

  #handOverMerge(merge: Merge, source: NodeReplica): void {
    const target = this.#node.replicaOf(merge.target);
    if (target === undefined || !this.#isReady(merge, source, target)) return;
    if (this.#node.around.world.bug !== 'merge-without-remember' && !this.#isRemembered(merge, source, target)) return;
    const { state, records } = source.live;
    this.#handOver(merge, source, this.#old.get(merge.id) ?? countedIn(state, records, merge.slots));
  }

  /** Everything is staged; else something is done about it. */
  #isReady(merge: Merge, source: NodeReplica, target: NodeReplica): boolean {
    const node = this.#node;
    const { state } = target.live;
    const given = countedIn(source.live.state, source.live.records, merge.slots);
    const isPrepared = given.every(({ name }) => (state.stores.get(name)?.ordinal ?? 0) !== 0);
    if (state.slots === undefined || !isPrepared) {
      this.#prepareAbsorb(merge, source, target);
      return false;
    }
    if (node.staged.get(merge.id) === node.ordinalsOf(target)) return true;
    node.stage(merge, true);
    return false;
  }

  #isRemembered({ id }: Merge, source: NodeReplica, target: NodeReplica): boolean {
    const missing = [];
    for (const { key, value } of source.live.records.range(prefixRange(keyspace.idempotencyPrefix))) {
      if (target.live.records.get(key) === undefined) missing.push({ id: key.slice(1), ...decodeIdempotency(value) });
    }
    if (missing.length === 0) return true;
    this.#propose(target, { kind: 'remember', reshape: binaryOf(id), records: missing });
    return false;
  }

  /** Slots were handed over: there is no way back. */
  #goOn(reshape: Reshape, source: NodeReplica): void {
    const { state } = source.live;
    const { bug } = this.#node.around.world;
    if (reshape.kind === 'split') return this.#finishSplit(reshape, state.ended!.position);
    const target = this.#node.replicaOf(reshape.target);
    if (target === undefined) return;
    const { ended } = target.live.state;
    if (ended?.reshape === binaryOf(reshape.id)) {
      return this.#change(mergeDone(reshape.id, state.ended!.position, ended.position), `${reshape.id} is merged`);
    }
    // A replica that was copied since then may lack what was handed over: somebody else is to go on.
    if (bug !== 'absorb-of-what-is-left' && !hasAll(reshape, source)) return;
    if (this.#isReady(reshape, source, target)) this.#propose(target, this.#absorb(reshape, source, target));
  }

  #finishSplit(split: Split, position: bigint): void {
    if (this.#node.around.world.bug === 'child-after-hand-over') this.#node.buildChild(split);
    const child = this.#node.children.get(split.id);
    if (child === undefined || child.position !== position) return;
    const isWrong = this.#node.around.world.bug === 'origin-is-hand-over';
    const origin = isWrong ? this.#node.replicaOf(split.source)!.live.state.position : position;
    const done = splitDone(split.id, origin, child.chain, child.chain);
    this.#change(done, `${split.source} is split at ${origin}`);
  }

  #absorb(merge: Merge, source: NodeReplica, target: NodeReplica): Absorb {
    const { state, records } = source.live;
    const given = new Map(countedIn(state, records, merge.slots).map((each) => [each.name, each]));
    const nothing = { entries: 0, bytes: 0, hash: '\x00'.repeat(16) };
    const stores = [...state.stores.values()]
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, expired, settings, settingsVersion, allowanceEntries, allowanceBytes }) => ({
        ...(given.get(name) ?? { name, ...nothing }),
        ordinal: given.has(name) ? target.live.state.stores.get(name)!.ordinal : 0,
        expired,
        settings,
        settingsVersion,
        allowanceEntries,
        allowanceBytes,
      }));
    const { revision, clockNanos } = state.ended!.fenced!;
    const ownedBefore = placementOf(this.#node.view, merge.target)!.slots;
    const { slots, slotsEpoch } = merge;
    const reshape = binaryOf(merge.id);
    const { expired } = state;
    return { kind: 'absorb', reshape, slots, slotsEpoch, ownedBefore, revision, clockNanos, expired, stores };
  }

  #drop({ id }: Reshape): void {
    this.#change(dropped(id), `${id} is given up`);
  }

  #propose({ log }: NodeReplica, body: CommandBody): void {
    this.#desk.propose(this.#node.name, log, { body });
  }

  #change(edit: Edit, why: string): void {
    this.#desk.change(this.#node.name, this.#node, edit, why);
  }
}

function hasAll({ slots }: Reshape, { live: { state, records } }: NodeReplica): boolean {
  const sum = newHash();
  let entries = 0;
  for (const one of countedIn(state, records, slots)) {
    entries += one.entries;
    hashAdd(sum, hashFromBytes(bytesFromBinary(one.hash)));
  }
  const { given } = state.ended!;
  return given?.entries === entries && given.hash === binaryFromBytes(hashToBytes(sum));
}

function isGiven({ ended, slotsEpoch }: PartitionState): boolean {
  return ended!.slotsEpoch === slotsEpoch;
}
