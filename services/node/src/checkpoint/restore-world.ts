// All partitions of a restore plan on their way to the moment, each by its own log. Where one was split, its child begins
// with what the source has there, and goes on by its own log; where one takes the slots of another one, that one is brought
// to its end first. So what comes of it are the partitions that there were at the moment, whatever there were before.
import type { Repository } from '@statestore/checkpoint';
import { restorePartition } from '@statestore/checkpoint';
import type { HandOver, PartitionState, SlotRange } from '@statestore/core';
import { slotRanges, StateStoreError } from '@statestore/core';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { Lineage, type LineageOptions, type Stand } from './lineage.ts';
import { splitOff, stageSlots } from './lineage-slots.ts';
import { proveEngine } from './replay.ts';
import type { PartitionPlan, RestorePlan } from './restore-plan.ts';
import { type PartitionReach, reachedOf } from './restore-reach.ts';
import type { ChildPlan } from './restore-splits.ts';

/** An engine of its own, empty; what it takes on disk goes with it. */
export interface ScratchEngine {
  readonly engine: Engine;
  dispose(): Promise<void>;
}

export interface WorldOptions {
  /** Where the plan's checkpoint and archive are. */
  readonly repository: Repository;
  readonly plan: Pick<RestorePlan, 'replays' | 'partitions' | 'isNewest'>;
  readonly openScratch: (partition: number, origin: PartitionPlan | ChildPlan) => Promise<ScratchEngine>;
  /** Also where nothing is replayed, after which it is recounted anyway, its entries are read back: see `restorePartition`. */
  readonly readBack?: boolean | undefined;
  /** All are kept until all are there, and only then told. */
  readonly keepsAll?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly time?: Time | undefined;
  readonly onProgress?: ((progress: WorldProgress) => void) | undefined;
}

export interface WorldProgress {
  readonly partition: number;
  readonly step: 'restore' | 'replay';
  /** 0 to 1, of this step; undefined: nobody knows how much it is. */
  readonly part: number | undefined;
  readonly position?: bigint;
}

/** A partition at the moment. */
export interface Brought {
  readonly partition: number;
  readonly generation: number;
  readonly slots: readonly SlotRange[];
  /** Epoch of the reshape that changed them last; 0n: none did. */
  readonly slotsEpoch: bigint;
  /** It was about to hand over slots: what would take them is not there, and nobody else would let go of it. */
  readonly isFenced: boolean;
  /** Proved. */
  readonly engine: Engine;
  readonly reach: PartitionReach;
}

/** A partition that was told, and is not kept any more, is needed by another one: their logs have other clocks. */
export class KeepAll extends Error {}

interface Member {
  readonly partition: number;
  readonly origin: PartitionPlan | ChildPlan;
  scratch: ScratchEngine | undefined;
  lineage: Lineage | undefined;
  /** As it was when it was there last. */
  slots: readonly SlotRange[];
  state: 'waiting' | 'there' | 'told' | 'absorbed';
}

export class RestoreWorld {
  readonly #options: WorldOptions;
  readonly #time: Time;
  readonly #members: Member[];

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.#members = options.plan.partitions.map((origin): Member => {
      const { partition, slots } = origin.manifest.summary;
      return { partition, origin, scratch: undefined, lineage: undefined, slots, state: 'waiting' };
    });
  }

  /**
   * Tells each partition that there is at the moment, one at a time; its engine is disposed of then. Rejects with
   * `data_corrupt` naming what is damaged or missing, with `invalid_parameter` where the moment is none, with what the
   * repository says, with the signal's reason; with KeepAll where it has to be done with `keepsAll`.
   */
  async bring(tell: (brought: Brought) => Promise<void>): Promise<void> {
    const told = async (member: Member): Promise<void> => {
      const brought = await this.#broughtOf(member);
      if (brought !== undefined) await tell(brought);
      member.state = 'told';
      await this.#dispose(member);
    };
    await this.#advanceAll(async (member, stand) => {
      if (stand !== 'given' && this.#options.keepsAll !== true) await told(member);
    });
    for (const member of this.#members) if (member.state === 'there') await told(member);
  }

  /** All at once, by partition; their engines are there until this is closed. Rejects as `bring`. */
  async bringAll(): Promise<readonly Brought[]> {
    await this.#advanceAll(() => Promise.resolve());
    const all: Brought[] = [];
    for (const member of this.#members) {
      const brought = member.state === 'there' ? await this.#broughtOf(member) : undefined;
      if (brought !== undefined) all.push(brought);
    }
    return all.toSorted((one, other) => one.partition - other.partition);
  }

  /**
   * One alone, up to where that holds of it or the archive ends: `line` leads to it, from one that the checkpoint has, each
   * split off the one before. Resolves to its state, proved; its engine is there until this is closed. Rejects as `bring`.
   */
  async bringOne(
    line: readonly (PartitionPlan | ChildPlan)[],
    until: (state: PartitionState) => boolean,
  ): Promise<PartitionState> {
    let lineage: Lineage | undefined;
    for (const [at, origin] of line.entries()) {
      const next = line[at + 1];
      const isThere = (): boolean => this.#members.some((member) => member.origin === next);
      const member = this.#members.find((each) => each.origin === origin);
      if (member === undefined)
        throw new StateStoreError('data_corrupt', 'what is archived does not lead to the split of the partition');
      lineage = await this.#open(member);
      await this.#advanceTo(member, next === undefined ? until : isThere);
    }
    await lineage!.close();
    await lineage!.buffer.flush();
    return proveEngine(lineage!.options.engine, this.#options.signal, this.#time);
  }

  async #advanceTo(member: Member, until: (state: PartitionState) => boolean): Promise<void> {
    for (;;) {
      const stand = await member.lineage!.advance({ until });
      if (stand === 'stuck') throw new StateStoreError('data_corrupt', member.lineage!.why!);
      if (stand !== 'waiting') return;
      const why = await this.#force(member.lineage!);
      if (why === undefined) continue;
      // Whoever had the slots gave them to others first.
      await this.#advanceAll(() => Promise.resolve(), member);
      if (member.lineage!.awaits !== undefined) throw new StateStoreError('data_corrupt', why);
    }
  }

  /** `then`: it stands where it is to stay. */
  async #advanceAll(then: (member: Member, stand: Stand) => Promise<void>, but?: Member): Promise<void> {
    const advance = async (first: Member): Promise<void> => {
      for (let member: Member | undefined = first; member !== undefined; member = await this.#settle()) {
        if (member === but) return;
        const stand = await this.#advance(member);
        if (stand !== 'waiting') await then(member, stand);
      }
    };
    const seen = new Set<Member>();
    const isNext = (member: Member): boolean => !seen.has(member) && member.state !== 'absorbed' && member !== but;
    // One that was split off is brought right after its source.
    for (let member = this.#members.find(isNext); member !== undefined; member = this.#members.find(isNext)) {
      seen.add(member);
      await this.#open(member);
      await advance(member);
    }
    if (but !== undefined) return;
    for (let member = this.#waiting(); member !== undefined; member = this.#waiting()) {
      member.lineage!.why = await this.#force(member.lineage!);
      if (member.lineage!.why === undefined) await advance(member);
      else if (this.#options.plan.isNewest) member.lineage!.awaits = undefined;
      else throw new StateStoreError('data_corrupt', member.lineage!.why);
    }
  }

  #waiting(): Member | undefined {
    return this.#members.find(({ lineage }) => lineage?.awaits !== undefined);
  }

  /** Stages what is given for one that waits for it, which is told then. */
  async #settle(): Promise<Member | undefined> {
    for (const target of this.#members) {
      const absorb = target.lineage?.awaits;
      const source = this.#members.find(
        ({ lineage }) => absorb !== undefined && lineage?.state.fenced?.reshape === absorb.reshape,
      );
      if (absorb === undefined || source === undefined) continue;
      const { signal } = this.#options;
      await stageSlots(source.lineage!, target.lineage!, { absorb, signal, time: this.#time });
      target.lineage!.staged();
      source.state = 'absorbed';
      await this.#dispose(source);
      return target;
    }
    return undefined;
  }

  /** Nothing of it is left. Idempotent. */
  async close(): Promise<void> {
    for (const member of this.#members) await this.#dispose(member);
  }

  async #open(member: Member): Promise<Lineage> {
    if (member.lineage !== undefined) return member.lineage;
    if (member.state === 'told') throw new KeepAll('a partition is needed once more');
    const { repository, plan, openScratch, readBack = false, signal, onProgress } = this.#options;
    // Children are there as soon as there is such a member.
    const { manifest, ...way } = member.origin as PartitionPlan;
    const { partition, generation, slots } = manifest.summary;
    const { engine } = (member.scratch = await openScratch(partition, member.origin));
    const turns = new Turns(this.#time);
    await restorePartition({
      repository,
      manifest,
      target: engine,
      signal,
      readBack: readBack && !plan.replays,
      turn: () => (turns.over ? turns.next() : undefined),
      onProgress: ({ part }) =>
        onProgress?.({
          partition,
          step: 'restore',
          part,
        }),
    });
    return this.#begin(member, { ...way, partition, generation, slots, engine });
  }

  #begin(
    member: Member,
    way: Pick<
      LineageOptions,
      'partition' | 'generation' | 'slots' | 'engine' | 'path' | 'segments' | 'through' | 'nanos' | 'children'
    >,
  ): Lineage {
    const { repository, plan, signal, onProgress } = this.#options;
    const { partition } = way;
    member.state = 'there';
    return (member.lineage = new Lineage({
      ...way,
      path: plan.replays ? way.path : [],
      repository,
      signal,
      time: this.#time,
      hooks: { split: (lineage, child, handOver) => this.#split(lineage, child, handOver) },
      onProgress: (position) =>
        onProgress?.({
          partition,
          step: 'replay',
          part: undefined,
          position,
        }),
    }));
  }

  async #advance({ lineage }: Member): Promise<Stand> {
    const stand = await lineage!.advance();
    // Whoever wants the newest there is gets what lies before it, and is told.
    if (stand === 'stuck' && !this.#options.plan.isNewest) throw new StateStoreError('data_corrupt', lineage!.why!);
    return stand;
  }

  /** Undefined: its slots are others' by now. */
  async #broughtOf({ lineage, origin, partition }: Member): Promise<Brought | undefined> {
    const { plan, signal } = this.#options;
    const { buffer, state, options, slots } = lineage!;
    await lineage!.close();
    await buffer.flush();
    if (plan.replays) await proveEngine(options.engine, signal, this.#time);
    if (slots.length === 0) return undefined;
    const reach = await this.#reachOf(lineage!, origin);
    const { slotsEpoch, fenced } = state;
    const { generation, engine } = options;
    return { partition, generation, slots, slotsEpoch, isFenced: fenced !== undefined, engine, reach };
  }

  async #reachOf(
    { state, isStopped, why, options }: Lineage,
    origin: PartitionPlan | ChildPlan,
  ): Promise<PartitionReach> {
    const { partition, through } = options;
    const { position, clockNanos } = state;
    if (through !== undefined && position < through)
      throw new StateStoreError(
        'data_corrupt',
        `partition ${partition} is archived up to ${position}, not to ${through}`,
      );
    const isReplayed = this.#options.plan.replays;
    const warning =
      why ?? (isStopped ? undefined : typeof origin.warning === 'function' ? await origin.warning() : origin.warning);
    const doubt = 'doubt' in origin ? origin.doubt : undefined;
    const reached = { position, clockNanos, isStopped };
    return reachedOf({ partition, position, clockNanos }, { warning, doubt }, isReplayed ? reached : undefined);
  }

  async #split(
    source: Lineage,
    child: ChildPlan | undefined,
    handOver: HandOver,
  ): Promise<(() => Promise<void>) | string> {
    const { partition } = source.options;
    const { position, slots } = source.state.fenced!;
    if (child === undefined)
      return `partition ${partition} was split after its position ${position}, and of the log of what was split off nothing is archived`;
    if (child.through !== undefined && child.through < position) {
      const message = `partition ${child.partition} was split off after position ${position}, and not at ${child.through}`;
      throw new StateStoreError('invalid_parameter', message);
    }
    const { openScratch, signal } = this.#options;
    const scratch = await openScratch(child.partition, child);
    const member: Member = {
      partition: child.partition,
      origin: child,
      scratch,
      slots,
      lineage: undefined,
      state: 'there',
    };
    this.#members.splice(this.#members.findIndex(({ lineage }) => lineage === source) + 1, 0, member);
    await splitOff(source, child, { handOver, engine: scratch.engine, signal, time: this.#time });
    this.#begin(member, { ...child, slots, engine: scratch.engine });
    return async () => {
      member.state = 'absorbed';
      await this.#dispose(member);
    };
  }

  /**
   * The one whose slots it waits for is not there at the moment: by its log's clock they were fenced later. In words: why
   * they cannot be had.
   */
  async #force(target: Lineage): Promise<string | undefined> {
    const { reshape, slots } = target.awaits!;
    const { partition } = target.options;
    const after = `partition ${partition} took slots of another one after its position ${target.state.position}`;
    for (;;) {
      const member = this.#ownerOf(slots, target);
      if (member === undefined) return `${after}, and nobody has them`;
      const source = await this.#open(member);
      const { slotsEpoch } = source.state;
      const until = (state: Lineage['state']): boolean =>
        state.fenced?.reshape === reshape || state.slotsEpoch !== slotsEpoch;
      const stand = await source.advance({ until, isForced: true });
      if (source.state.fenced?.reshape === reshape) return (await this.#settle(), undefined);
      if (stand === 'there') continue;
      const why = source.why === undefined ? '' : ` (${source.why})`;
      return `${after}: of partition ${member.partition}, which had them, nothing is archived after ${source.state.position}${why}`;
    }
  }

  #ownerOf(slots: readonly SlotRange[], target: Lineage): Member | undefined {
    const [first] = slots;
    return this.#members.find(
      ({ lineage, state, slots: known }) =>
        lineage !== target && state !== 'absorbed' && slotRanges.containsSlot(lineage?.slots ?? known, first!.start),
    );
  }

  async #dispose(member: Member): Promise<undefined> {
    const { lineage, scratch } = member;
    if (lineage !== undefined) member.slots = lineage.slots;
    member.lineage = undefined;
    member.scratch = undefined;
    await lineage?.close();
    await scratch?.dispose();
    return undefined;
  }
}
