// The replicas of one partition, best first: the first one of the topology's list that is connected, heard
// of, running by its own report, live by the registry and has not just failed. None of these excludes a
// replica: where all look bad, the least bad one is asked, since what is known here may be late or wrong.
import { limits, type PartitionLog, type PartitionPlacement, StateStoreError } from '@statestore/core';
import type { Place, ReadOptions } from '@statestore/link';
import { Health, type Lane, lanes } from './health.ts';
import type { Member } from './member.ts';
import type { RoutingTiming } from './timing.ts';

export interface Surroundings {
  readonly timing: RoutingTiming;
  /** Failure domain of this gateway; empty: none is known. */
  readonly zone: string;
  nowMs(): number;
  member(name: string): Member | undefined;
  /** Grows whenever something changed that the order of replicas depends on. */
  readonly version: number;
}

export interface Replica {
  readonly node: string;
  readonly health: Readonly<Record<Lane, Health>>;
}

/** How bad a replica looks; a greater one outweighs all smaller ones together. */
const bad = { disconnected: 64, notServing: 32, suspect: 16, behind: 8, notLive: 4, failed: 2, failedOtherwise: 1 };
/** From here on a watch is better off elsewhere. */
const tooBadToFollow = bad.notLive;
/** From here on there is no use in asking it beside another one, or in waiting for it. */
const tooBadToWaitFor = bad.suspect;

/** A watch that follows a replica until it is told to leave. */
export interface Follower {
  readonly replica: Replica;
  readonly leave: () => void;
}

/** One lane's order, as long as nothing changes. */
class Ranking {
  version = -1;
  /** When a replica is no longer avoided, and the order may be another. */
  untilMs = 0;
  order: readonly Replica[] = [];
  /** The best ones, all alike; those of this gateway's zone where there are any. */
  readers: readonly Replica[] = [];
}

export class PartitionReplicas {
  readonly partition: number;
  readonly followers = new Set<Follower>();
  /** Requests that are asked of a second replica because the first one is slow. */
  readonly slowHedges: Record<Lane | 'patient', number> = { log: 0, local: 0, patient: 0 };
  readonly #around: Surroundings;
  readonly #rankings: Readonly<Record<Lane, Ranking>> = { log: new Ranking(), local: new Ranking() };
  #replicas: readonly Replica[] = [];
  #log: PartitionLog | undefined;
  #slotsEpoch = 0n;
  #gone = false;
  #retired = false;
  #nextReader = 0;
  #seen = 0n;

  constructor(partition: number, around: Surroundings) {
    this.partition = partition;
    this.#around = around;
  }

  /** Keeps what is known of replicas that stay. Undefined: the topology has no such partition any more. `isRetired`: it has no slots any more. */
  place(placement: PartitionPlacement | undefined, isRetired = false): void {
    const before = new Map(this.#replicas.map((replica) => [replica.node, replica]));
    const { timing } = this.#around;
    this.#replicas = (placement?.replicas ?? []).map(
      (node) => before.get(node) ?? { node, health: { log: new Health(timing), local: new Health(timing) } },
    );
    // A log that was lost may have ended before what was told; what is read now is all there is.
    if (this.#log !== undefined && placement?.log?.incarnation !== this.#log.incarnation) this.#seen = 0n;
    this.#log = placement?.log;
    this.#slotsEpoch = placement?.slotsEpoch ?? 0n;
    this.#gone = placement === undefined;
    this.#retired = isRetired;
    for (const lane of lanes) this.#rankings[lane].version = -1;
  }

  get replicas(): readonly Replica[] {
    return this.#replicas;
  }

  /** A topology came that does not have it: its slots are others' by now. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Whether what was asked by this layout is to be asked of others: the topology has another one by now. */
  isMoot(slotsEpoch: bigint | undefined): boolean {
    return this.#gone || (slotsEpoch !== undefined && (this.#retired || slotsEpoch !== this.#slotsEpoch));
  }

  /** Best first. Empty where the topology has no such partition. */
  order(lane: Lane): readonly Replica[] {
    return this.#ranked(lane).order;
  }

  /** The next one for a read that any replica may answer. */
  reader(): Replica | undefined {
    const { readers } = this.#ranked('local');
    if (readers.length === 0) return undefined;
    this.#nextReader = (this.#nextReader + 1) % readers.length;
    return readers[this.#nextReader];
  }

  /** Whether it is worth waiting for its answer. */
  mayHelp(replica: Replica, lane: Lane): boolean {
    return this.#badnessOf(replica, lane) < tooBadToWaitFor;
  }

  member({ node }: Replica): Member | undefined {
    return this.#around.member(node);
  }

  /** The newest position of its log that anybody was told of through this gateway. */
  get seen(): bigint {
    return this.#seen;
  }

  saw({ position, generation }: Place): void {
    // Of a log that was followed by another one while the answer was on its way.
    if (generation !== this.generation) return;
    if (position > this.#seen) this.#seen = position;
  }

  /** Of the log that the topology names; undefined: it names none. */
  get generation(): number | undefined {
    return this.#log?.generation;
  }

  get log(): PartitionLog | undefined {
    return this.#log;
  }

  /** Whether the session was told of a log that this gateway has not heard of yet. */
  isOutdatedFor({ atLeast, generation = 1 }: ReadOptions): boolean {
    return atLeast !== undefined && this.#log !== undefined && generation > this.#log.generation;
  }

  /** Whether a session asks for something that this gateway was never told of. */
  asksForMore(options: ReadOptions): boolean {
    return (this.#leastOf(options) ?? 0n) > this.#seen || this.isOutdatedFor(options);
  }

  /**
   * What a node is asked for now. A session read never sees less than what this gateway has told of, whichever replica
   * answers: so a client without a token reads its own writes, also after a failover. Throws `unavailable` as long as
   * the session knows a later log than this gateway: a replica of an earlier one must not answer it.
   */
  asked(options: ReadOptions): ReadOptions {
    const { generation } = this;
    if (this.isOutdatedFor(options)) {
      throw new StateStoreError(
        'unavailable',
        `the session tells of the log of generation ${options.generation} of partition ${this.partition}; the topology known here names that of ${generation}`,
        { retryAfterMs: limits.sessionTopologyRetryMs },
      );
    }
    const { consistency, maxLagMs, slotsEpoch } = options;
    // As the caller had it: what is asked now was sent by that layout, whatever came meanwhile.
    const of = slotsEpoch === undefined ? { consistency, generation } : { consistency, generation, slotsEpoch };
    if (consistency !== 'session') return maxLagMs === undefined ? of : { ...of, maxLagMs };
    const least = this.#leastOf(options) ?? 0n;
    const atLeast = least > this.#seen ? least : this.#seen;
    return atLeast === 0n ? of : { ...of, atLeast };
  }

  /** A log that carries another one on has all that is left of it: every replica of it has come so far. */
  #leastOf({ atLeast, generation = 1 }: ReadOptions): bigint | undefined {
    return this.#log === undefined || generation === this.#log.generation ? atLeast : undefined;
  }

  /** Watches that are better off on another replica go there. */
  moveFollowers(): void {
    if (this.followers.size === 0) return;
    const best = this.order('local')[0];
    if (best === undefined) return;
    const least = this.#badnessOf(best, 'local');
    for (const { replica, leave } of this.followers) {
      const badness = this.#replicas.includes(replica) ? this.#badnessOf(replica, 'local') : Infinity;
      if (badness >= tooBadToFollow && least < badness) leave();
    }
  }

  #ranked(lane: Lane): Ranking {
    const ranking = this.#rankings[lane];
    const { version } = this.#around;
    if (ranking.version === version && (ranking.untilMs === Infinity || this.#around.nowMs() < ranking.untilMs)) {
      return ranking;
    }
    const nowMs = this.#around.nowMs();
    const until = (replica: Replica): number => replica.health[lane].avoidedUntilMs;
    const ranked = this.#replicas
      .map((replica) => ({ replica, badness: this.#badnessOf(replica, lane), avoidedUntilMs: until(replica) }))
      // Of those that failed, first the one that is avoided no longer first. Else the topology's order stays.
      .toSorted(
        (a, b) => a.badness - b.badness || ((a.badness & bad.failed) === 0 ? 0 : a.avoidedUntilMs - b.avoidedUntilMs),
      );
    const best = ranked.filter(({ badness }) => badness === ranked[0]!.badness).map(({ replica }) => replica);
    const near = best.filter(({ node }) => this.#isNear(node));
    ranking.version = version;
    ranking.untilMs = Infinity;
    for (const { health } of this.#replicas) {
      for (const each of lanes) {
        if (health[each].avoided(nowMs)) ranking.untilMs = Math.min(ranking.untilMs, health[each].avoidedUntilMs);
      }
    }
    ranking.order = ranked.map(({ replica }) => replica);
    ranking.readers = near.length > 0 ? near : best;
    return ranking;
  }

  #isNear(node: string): boolean {
    const { zone } = this.#around;
    return zone !== '' && this.#around.member(node)?.report.zone === zone;
  }

  #badnessOf({ node, health }: Replica, lane: Lane): number {
    const { timing } = this.#around;
    const nowMs = this.#around.nowMs();
    const failed =
      (health[lane].avoided(nowMs) ? bad.failed : 0) +
      // What cannot reach its log falls behind; what cannot read will hardly write.
      (health[lane === 'log' ? 'local' : 'log'].avoided(nowMs) ? bad.failedOtherwise : 0);
    const member = this.#around.member(node);
    if (member === undefined) return bad.disconnected + failed;
    const report = member.replica(this.partition);
    return (
      (member.connected ? 0 : bad.disconnected) +
      (report?.state === 'running' ? 0 : bad.notServing) +
      (member.suspect(timing.suspectMs) ? bad.suspect : 0) +
      ((report?.lag ?? 0) > limits.gatewayLagMax ? bad.behind : 0) +
      (member.live ? 0 : bad.notLive) +
      failed
    );
  }
}
