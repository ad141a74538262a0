// Quotas over partitions. Apply judges a write by its partition's own allowance, so that replicas agree
// without asking anybody; this file sees to it that the allowances of a store never sum up to more than its
// quota, and that a write is refused only when no partition has any left. Several gateways do so at once.
//
// Why the sum never passes the quota, whoever does what at the same time, and whoever dies in between:
// 1. Allowance moves by a take, then a gift of at most what was certainly taken. So the sum only falls.
// 2. What no partition holds is dealt out anew only under a new version of the settings. Such a change takes
//    every allowance back before it gives any, a partition takes each version once, and gifts are taken only
//    under the version for which they were meant. So what was taken before is not given after, and of two
//    that change the settings at the same time at most one gets as far as giving.
// 3. Slots that move take their part along (what is in use; a partition that ends, all). Commands say by which layout
//    they are meant, and are refused by partitions that have another one: so nothing is counted twice.
// What was taken and never given (a crash in between) is missing from the sum until somebody needs it.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  limits,
  StateStoreError,
  type AdjustAllowance,
  type CommandResult,
  type StoreSettings,
} from '@statestore/core';
import type { Proposed } from '@statestore/link';
import {
  type Allotment,
  allotmentOf,
  type Allowance,
  type Amount,
  finiteAmount,
  isNothing,
  lackOf,
  nothing,
  type PartitionInfo,
  plus,
  splitQuota,
} from './allowances.ts';
import { isMoved, type Moves, type Patience } from './moves.ts';
import type { CommandProposer } from './proposer.ts';
import type { Layout, Routing } from './routing.ts';

export type { Amount } from './allowances.ts';

/** Versions are drawn from above the newest one, not counted: a store that is made anew does not begin with those it had. */
const versionStepMax = 2 ** 20;

export class Quotas {
  readonly #routing: Routing;
  readonly #proposer: CommandProposer;
  readonly #moves: Moves;
  readonly #settleMs: number;
  /** The last change under way, by store: this gateway does not get in its own way. */
  readonly #changes = new Map<string, Promise<unknown>>();

  /** `settleMs`: how long what is missing is given to arrive, about. */
  constructor(routing: Routing, proposer: CommandProposer, moves: Moves, settleMs: number = limits.quotaSettleMs) {
    this.#routing = routing;
    this.#proposer = proposer;
    this.#moves = moves;
    this.#settleMs = settleMs;
  }

  /** Tries to get `need` into a partition that refused a write; false where nothing more can be had. */
  async makeRoom(store: string, partition: number, need: Amount): Promise<boolean> {
    try {
      return await this.#alone(store, () => this.#makeRoom(store, partition, need));
    } catch (error) {
      if (!(error instanceof StateStoreError) || error.code !== 'outcome_unknown') throw error;
      // Of the quota. The write itself was refused.
      throw new StateStoreError('unavailable', `the quota of store ${store} could not be moved`, {
        retryAfterMs: 1000,
        cause: error,
      });
    }
  }

  /** Sets the settings in every partition; the allowances follow what each one holds. */
  configure(store: string, settings: StoreSettings): Promise<void> {
    return this.#alone(store, () => this.#configure(store, settings));
  }

  async #alone<T>(store: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(store) ?? Promise.resolve();
    const mine = before.then(change, change);
    this.#changes.set(store, mine);
    try {
      return await mine;
    } finally {
      if (this.#changes.get(store) === mine) this.#changes.delete(store);
    }
  }

  /** Of partitions that had all slots between them, each once. */
  async #infos(store: string): Promise<{ readonly layout: Layout; readonly infos: readonly PartitionInfo[] }> {
    return this.#moves.through(async (layout) => {
      const asked = layout.partitions.map(async (partition) => ({
        partition,
        info: await this.#routing.nodeOf(partition).store(partition, store, layout.slotsEpochOf(partition)),
      }));
      return { layout, infos: await Promise.all(asked) };
    });
  }

  async #makeRoom(store: string, partition: number, need: Amount): Promise<boolean> {
    const patience = this.#moves.begin();
    for (let look = 1; ; look++) {
      const { layout, infos } = await this.#infos(store);
      const allotment = allotmentOf(infos);
      // Cleared or configured anew meanwhile: the write deserves another look.
      if (allotment === undefined) return true;
      const here = allotment.allowances.find((allowance) => allowance.partition === partition);
      // Its slots were given away: whoever has them judges the write.
      if (here === undefined) return true;
      const lack = lackOf(need, here.free);
      // Somebody else made room while this one waited for its turn.
      if (isNothing(lack)) return true;
      const { settled, missing, settings, settingsVersion } = allotment;
      let outcome: 'given' | 'nothing' | 'moved' | 'dealt' | 'overtaken' = settled
        ? await this.#move(store, layout, allotment, here, lack)
        : 'nothing';
      if (outcome === 'given') return true;
      if (outcome === 'nothing') {
        const helps = (lack.entries > 0 && missing.entries > 0) || (lack.bytes > 0 && missing.bytes > 0);
        if (settled && !helps) return false;
        if (look >= limits.quotaLooks) outcome = await this.#deal(store, layout, settings, settingsVersion);
      }
      if (outcome === 'moved') await this.#afterMove(store, layout, patience);
      else if (outcome === 'dealt' || outcome === 'overtaken') return true;
      // Somebody may be about to give it.
      else await this.#pause();
    }
  }

  #pause(): Promise<unknown> {
    return sleep(this.#settleMs / 2 + randomInt(Math.max(1, Math.ceil(this.#settleMs))));
  }

  /** From partitions that have some to spare; `nothing` where none has, `moved` where some cannot say so now. */
  /* oxlint-disable-next-line max-params -- what makeRoom knows */
  async #move(
    store: string,
    layout: Layout,
    allotment: Allotment,
    here: Allowance,
    lack: Amount,
  ): Promise<'given' | 'nothing' | 'moved'> {
    const { settingsVersion, allowances } = allotment;
    const others = allowances.filter((other) => other !== here);
    const { taken, moved } = await this.#take(store, layout, settingsVersion, others, lack);
    if (isNothing(taken)) return moved ? 'moved' : 'nothing';
    const body = { kind: 'adjustAllowance', store, settingsVersion, ...taken } as const;
    // Refused otherwise: the settings are others now, and the write deserves another look.
    return (await this.#adjust(layout, here.partition, body)) === undefined ? 'moved' : 'given';
  }

  /** By the layout that it is meant for: what a partition holds for slots that it gave away went with them. Undefined: `moved`. */
  async #adjust(layout: Layout, partition: number, body: AdjustAllowance): Promise<Proposed | undefined> {
    try {
      const proposed = await this.#proposer.propose(partition, body, undefined, layout.slotsEpochOf(partition));
      return proposed.code === 'moved' ? undefined : proposed;
    } catch (error) {
      if (isMoved(error)) return undefined;
      throw error;
    }
  }

  /** Half of what the others have free where that is enough, so that they need not ask back at once; else all. */
  /* oxlint-disable-next-line max-params -- what #move knows */
  async #take(
    store: string,
    layout: Layout,
    settingsVersion: number,
    others: readonly Allowance[],
    lack: Amount,
  ): Promise<{ readonly taken: Amount; readonly moved: boolean }> {
    const free = others.reduce((sum, other) => plus(sum, finiteAmount(other.free)), nothing);
    const share = (of: number, all: number, want: number): number => {
      if (want <= 0) return 0;
      return all >= 2 * want ? Math.ceil(of / 2) : of;
    };
    let moved = false;
    const results = await Promise.allSettled(
      others.map(async (other) => {
        const spare = finiteAmount(other.free);
        const entries = share(spare.entries, free.entries, lack.entries);
        const bytes = share(spare.bytes, free.bytes, lack.bytes);
        if (entries === 0 && bytes === 0) return nothing;
        const asked = { entries: -entries || 0, bytes: -bytes || 0 };
        const body = { kind: 'adjustAllowance', store, settingsVersion, ...asked } as const;
        const proposed = await this.#adjust(layout, other.partition, body);
        if (proposed === undefined) moved = true;
        return proposed?.code === 'done' ? { entries: -proposed.entries || 0, bytes: -proposed.bytes || 0 } : nothing;
      }),
    );
    // A partition that gave no answer may have given: that part is missing until somebody deals it out.
    const taken = results.reduce(
      (sum, result) => (result.status === 'fulfilled' ? plus(sum, result.value) : sum),
      nothing,
    );
    return { taken, moved };
  }

  async #configure(store: string, settings: StoreSettings): Promise<void> {
    const patience = this.#moves.begin();
    for (let attempt = 1; attempt <= limits.quotaLooks; attempt++) {
      const { layout, infos } = await this.#infos(store);
      const versions = infos.map(({ info }) => info?.settingsVersion ?? 0);
      const outcome = await this.#deal(store, layout, settings, Math.max(0, ...versions));
      if (outcome === 'dealt') return patience.over();
      if (outcome === 'moved') {
        await this.#afterMove(store, layout, patience);
        attempt--;
      } else await this.#pause();
    }
    throw new StateStoreError('outcome_unknown', `others change the settings of store ${store} at the same time`, {
      hint: 'Read the settings, and set them again where they are not as wanted.',
      retryAfterMs: 1000,
    });
  }

  /** Some partitions have the settings by now, and others do not. */
  async #afterMove(store: string, { epoch }: Layout, patience: Patience): Promise<void> {
    try {
      await patience.after(epoch);
    } catch (error) {
      throw new StateStoreError('outcome_unknown', `the settings of store ${store} did not reach all partitions`, {
        hint: 'Set them again: what was done already stays done.',
        retryAfterMs: 1000,
        cause: error,
      });
    }
  }

  /**
   * New settings, or the same ones, everywhere, and the whole quota dealt out anew: by one layout, since what is in use is
   * to be counted once. `overtaken`: somebody else did so at the same time, perhaps with other settings. `moved`: slots
   * did; nothing was given too much, and it is to be done again.
   */
  async #deal(
    store: string,
    layout: Layout,
    settings: StoreSettings,
    newest: number,
  ): Promise<'dealt' | 'overtaken' | 'moved'> {
    const settingsVersion = newest + 1 + randomInt(versionStepMax);
    const { partitions } = layout;
    const { quotaEntries, quotaBytes } = settings;
    // Nothing is granted yet: what is in use stays, and nothing more is written until all have been told.
    const allowances = {
      allowanceEntries: quotaEntries === undefined ? undefined : 0,
      allowanceBytes: quotaBytes === undefined ? undefined : 0,
    };
    const results = await this.#proposer.proposeAll(layout, partitions, () => {
      return { kind: 'configure', store, settings, settingsVersion, ...allowances };
    });
    if (results.some(({ code }) => code === 'too_many_stores')) {
      throw new StateStoreError('too_many_stores', `there is no room for store ${store}`);
    }
    if (results.some(isOutdated)) return 'overtaken';
    if (results.some(({ code }) => code === 'moved')) return 'moved';
    if (quotaEntries === undefined && quotaBytes === undefined) return 'dealt';
    // What is in use can only shrink since then.
    const entries = splitQuota(
      quotaEntries,
      results.map((result) => result.entries),
    );
    const bytes = splitQuota(
      quotaBytes,
      results.map((result) => result.bytes),
    );
    const parts = new Map(
      partitions.map((partition, i) => [partition, { entries: entries[i] ?? 0, bytes: bytes[i] ?? 0 }]),
    );
    const gifts = await this.#proposer.proposeAll(layout, partitions, (partition) => {
      return { kind: 'adjustAllowance', store, settingsVersion, ...parts.get(partition)! };
    });
    // Gifts that were refused otherwise were overtaken by newer settings: these were there, and are no more.
    return gifts.some(({ code }) => code === 'moved') ? 'moved' : 'dealt';
  }
}

function isOutdated({ code }: CommandResult): boolean {
  return code === 'precondition_failed';
}
