// A node: replicas that follow their logs, children that are built, entries that are staged, all of it lost or half done at
// any instant. What it says to logs and to the topology as a driver is left to reshape-driver.ts.
import type { Absorb, BinaryString, GivenStore, HandOver, Merge, Split, Topology } from '@statestore/core';
import { decodeBatch, hashToHex, loadState, verifyState } from '@statestore/core';
import { without } from '../../../services/core/src/slot-ranges.ts';
import { Replica } from '../replica.ts';
import type { Apply } from '../replica.ts';
import type { SortedMap } from '../sorted-map.ts';
import { childRecords } from './child.ts';
import type { Referee } from './referee.ts';
import type { LogId, ReshapeLog } from './reshape-log.ts';
import { countedIn, removalOf, stagedOf } from './reshape-states.ts';
import { binaryOf, logOfPlacement, placementOf, reshapeOf } from './reshape-topology.ts';
import type { ReshapeWorld } from './reshape-world.ts';

export class NodeReplica {
  readonly log: ReshapeLog;
  live: Replica;
  readonly #apply: Apply;
  #durable: SortedMap;

  constructor(log: ReshapeLog, records: SortedMap, apply: Apply) {
    this.log = log;
    this.#apply = apply;
    this.#durable = records;
    this.live = new Replica(records.copy(), apply);
  }

  flush(): void {
    this.#durable = this.live.records.copy();
  }

  crash(): void {
    this.live = new Replica(this.#durable.copy(), this.#apply);
  }
}

export interface BuiltChild {
  readonly records: SortedMap;
  readonly position: bigint;
  readonly chain: string;
  readonly stores: readonly GivenStore[];
}

export interface Around {
  readonly world: ReshapeWorld;
  readonly referee: Referee;
  readonly apply: Apply;
  readonly topology: () => Topology;
  readonly nodes: () => readonly ReshapeNode[];
}

const allSlots = [{ start: 0, end: 4096 }];

export class ReshapeNode {
  readonly name: string;
  readonly around: Around;
  readonly replicas = new Map<LogId, NodeReplica>();
  /** By reshape; on disk. */
  readonly children = new Map<string, BuiltChild>();
  /** By reshape: it is known that all is staged, and on disk. By ordinals, which may change. */
  readonly staged = new Map<string, string>();
  view: Topology;

  constructor(around: Around, name: string) {
    this.around = around;
    this.name = name;
    this.view = around.topology();
  }

  crash(): void {
    this.around.world.note(`${this.name} dies`);
    for (const replica of this.replicas.values()) replica.crash();
    this.staged.clear();
  }

  refresh(): void {
    this.view = this.around.topology();
  }

  replicaOf(partition: number): NodeReplica | undefined {
    const placement = placementOf(this.view, partition);
    return placement === undefined ? undefined : this.replicas.get(logOfPlacement(placement));
  }

  /** The next record; false: there is none, or it has to wait. */
  applyNext(replica: NodeReplica): boolean {
    const { world, referee } = this.around;
    const { live, log } = replica;
    const record = log.at(live.state.position + 1n);
    if (record === undefined) return false;
    for (const { body } of decodeBatch(record.bytes).commands) {
      if (body.kind === 'handOver' && !this.#mayHandOver(replica, body)) return false;
      if (body.kind === 'absorb' && !this.#mayAbsorb(replica, body, record)) return false;
    }
    live.apply(record);
    referee.checkHead(`${this.name}'s replica`, log, live);
    if (world.random.chance(0.01)) this.verify(replica);
    return true;
  }

  verify({ live, log }: NodeReplica): void {
    const differences = verifyState(live.state, live.records);
    if (differences.length > 0)
      this.around.world.wrong(`${this.name}'s replica of ${log.id}: ${differences.slice(0, 3).join('; ')}`);
  }

  /** What is gone then cannot be built any more: a replica waits until its child is there. */
  #mayHandOver({ live }: NodeReplica, { reshape, fencedPosition, slotsEpoch }: HandOver): boolean {
    const { fenced } = live.state;
    if (fenced?.reshape !== reshape || fenced.position !== fencedPosition) return true;
    if (this.around.world.bug === 'child-after-hand-over') return true;
    const known = this.view.reshapes?.find(({ id }) => binaryOf(id) === reshape);
    if (known === undefined) {
      // It is over already, as others know; or this node has not heard of it yet.
      if (this.view.epoch >= slotsEpoch) return true;
      this.refresh();
      return false;
    }
    if (known.kind === 'merge') return true;
    this.buildChild(known);
    return true;
  }

  #mayAbsorb(target: NodeReplica, absorb: Absorb, record: Parameters<Replica['apply']>[0]): boolean {
    const { world } = this.around;
    if (world.bug === 'absorb-without-staging' || this.isStaged(target, absorb)) return true;
    const { results } = new Replica(target.live.records.copy(), this.around.apply).apply(record);
    if (results.every(({ code }) => code !== 'done') || target.live.state.ended?.reshape === absorb.reshape)
      return true;
    const known = this.view.reshapes?.find(({ id }) => binaryOf(id) === absorb.reshape);
    if (world.bug === 'staged-before-the-fence' && known !== undefined && this.staged.has(known.id)) return true;
    if (known !== undefined && this.stage(known as Merge, true)) return this.isStaged(target, absorb);
    this.refresh();
    // Nothing here that it could be staged from: another one's replica is taken.
    const isLost = known === undefined || this.#sourceOf(known) === undefined;
    if (isLost && world.random.chance(0.2)) this.#copy(target.log, target.live.state.position);
    return false;
  }

  #sourceOf({ source, id }: Merge | Split): NodeReplica | undefined {
    const replica = this.replicaOf(source);
    const state = replica?.live.state;
    const isFenced = state?.fenced?.reshape === binaryOf(id) || state?.ended?.fenced?.reshape === binaryOf(id);
    return isFenced ? replica : undefined;
  }

  isStaged({ live: { state, records } }: NodeReplica, { stores, slots }: Absorb): boolean {
    const wanted = stores.filter(({ entries }) => entries > 0);
    if (wanted.some(({ name, ordinal }) => (state.stores.get(name)?.ordinal ?? 0) !== ordinal)) return false;
    const told = wanted.map(({ name, entries, bytes, hash }) => ({ name, entries, bytes, hash }));
    return JSON.stringify(countedIn(state, records, slots)) === JSON.stringify(told);
  }

  /** As the source was when it was fenced; false: that cannot be seen here now. */
  buildChild(split: Split): boolean {
    const source = this.replicaOf(split.source);
    const { world } = this.around;
    if (source === undefined) return false;
    const { state, records } = source.live;
    const isLate = world.bug === 'child-after-hand-over' && state.ended?.reshape === binaryOf(split.id);
    const fenced = isLate ? state.ended?.fenced : state.fenced;
    if (fenced?.reshape !== binaryOf(split.id)) return false;
    if (this.children.get(split.id)?.position === fenced.position) return true;
    const child = childRecords(source.live, split);
    const { position, chain } = loadState(child);
    const stores = countedIn(state, records, split.slots);
    this.children.set(split.id, { records: child, position, chain: hashToHex(chain), stores });
    return true;
  }

  /** Copies what the source has now. `isWhole`: of a source that is fenced; else there will be more to do. */
  stage(merge: Merge, isWhole: boolean): boolean {
    const target = this.replicaOf(merge.target);
    const source = isWhole ? this.#sourceOf(merge) : this.replicaOf(merge.source);
    if (target === undefined || source === undefined) return false;
    const { state, records } = target.live;
    // Before the state says what it owns nothing can be told from it; and it may own these slots by now.
    if (state.slots === undefined || without(merge.slots, state.slots).length === 0) return false;
    if (state.ended?.reshape === binaryOf(merge.id)) return false;
    const ordinalOf = (store: string): number => state.stores.get(store)?.ordinal ?? 0;
    if (!(isWhole && this.around.world.bug === 'staged-before-the-fence' && this.staged.has(merge.id))) {
      records.write(removalOf(state, records, merge.slots));
      const { live } = source;
      records.write(stagedOf({ state: live.state, reader: live.records }, merge.slots, ordinalOf));
    }
    if (isWhole || this.around.world.bug === 'staged-before-the-fence') {
      target.flush();
      this.staged.set(merge.id, this.ordinalsOf(target));
    }
    return true;
  }

  ordinalsOf({ live }: NodeReplica): string {
    const stores = [...live.state.stores.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return JSON.stringify(stores.map(({ name, ordinal }) => [name, ordinal]));
  }

  /** Replicas that the topology wants and are not there, and those that it wants no more. */
  settle(): void {
    const { view } = this;
    const wanted = new Set<LogId>();
    for (const placement of [...view.partitions, ...(view.retired ?? []).map((each) => each.placement)]) {
      if (![...placement.replicas, ...(placement.joining ?? [])].includes(this.name)) continue;
      const id = logOfPlacement(placement);
      const log = this.around.referee.all.get(id)?.log;
      if (log === undefined || log.isGone) continue;
      wanted.add(id);
      if (!this.replicas.has(id)) this.#open(log, placement.log?.continues?.chain);
    }
    for (const id of this.replicas.keys()) if (!wanted.has(id)) this.replicas.delete(id);
    for (const id of this.children.keys()) {
      const isOver = view.epoch > 0n && reshapeOf(view, id) === undefined;
      if (isOver) this.children.delete(id);
    }
  }

  #open(log: ReshapeLog, chain: string | undefined): void {
    for (const child of this.children.values()) {
      if (chain === undefined || child.chain !== chain || child.position !== log.first) continue;
      this.replicas.set(log.id, new NodeReplica(log, child.records.copy(), this.around.apply));
      return;
    }
    this.#copy(log, -1n);
  }

  #copy(log: ReshapeLog, above: bigint): void {
    const { world, nodes, apply } = this.around;
    const peers = nodes().filter((node) => (node.replicas.get(log.id)?.live.state.position ?? -1n) > above);
    if (peers.length === 0) return;
    const { live } = world.random.pick(peers).replicas.get(log.id)!;
    const records = live.records.copy();
    if (world.random.chance(0.5)) records.write(foreignOf(live));
    this.replicas.set(log.id, new NodeReplica(log, records, apply));
    this.staged.clear();
    world.note(`${this.name} copies ${log.id} at ${live.state.position}`);
  }

  /** Removes what is not the state's own, where nobody needs it. */
  clean(): void {
    const { view } = this;
    for (const placement of view.partitions) {
      const replica = this.replicas.get(logOfPlacement(placement));
      if (replica?.live.state.slots === undefined) continue;
      const { partition, slotsEpoch = 0n } = placement;
      const isBusy = (view.reshapes ?? []).some(({ source, target }) => source === partition || target === partition);
      const isBehind = replica.live.state.slotsEpoch !== slotsEpoch;
      if ((isBusy || isBehind) && this.around.world.bug !== 'cleaner-takes-staged') continue;
      replica.live.records.write(foreignOf(replica.live));
    }
  }
}

function foreignOf({ state, records }: Replica): Map<BinaryString, undefined> {
  return removalOf(state, records, without(allSlots, state.slots ?? allSlots)) as Map<BinaryString, undefined>;
}
