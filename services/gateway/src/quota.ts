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
// What was taken and never given (a crash in between) is missing from the sum until somebody needs it.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits, StateStoreError, type CommandResult, type StoreSettings } from '@statestore/core';
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
import type { CommandProposer } from './proposer.ts';
import type { Routing } from './routing.ts';

export type { Amount } from './allowances.ts';

/** Versions are drawn from above the newest one, not counted: a store that is made anew does not begin with those it had. */
const versionStepMax = 2 ** 20;

export class Quotas {
  readonly #routing: Routing;
  readonly #proposer: CommandProposer;
  readonly #settleMs: number;
  /** The last change under way, by store: this gateway does not get in its own way. */
  readonly #changes = new Map<string, Promise<unknown>>();

  /** `settleMs`: how long what is missing is given to arrive, about. */
  constructor(routing: Routing, proposer: CommandProposer, settleMs: number = limits.quotaSettleMs) {
    this.#routing = routing;
    this.#proposer = proposer;
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

  async #infos(store: string): Promise<readonly PartitionInfo[]> {
    const { partitions } = this.#routing;
    return Promise.all(
      partitions.map(async (partition) => ({
        partition,
        info: await this.#routing.nodeOf(partition).store(partition, store),
      })),
    );
  }

  async #makeRoom(store: string, partition: number, need: Amount): Promise<boolean> {
    for (let look = 1; ; look++) {
      const allotment = allotmentOf(await this.#infos(store));
      // Cleared or configured anew meanwhile: the write deserves another look.
      if (allotment === undefined) return true;
      const here = allotment.allowances.find((allowance) => allowance.partition === partition);
      if (here === undefined) return true;
      const lack = lackOf(need, here.free);
      // Somebody else made room while this one waited for its turn.
      if (isNothing(lack)) return true;
      const moved = allotment.settled ? await this.#move(store, allotment, here, lack) : false;
      if (moved) return true;
      const { missing } = allotment;
      const helps = (lack.entries > 0 && missing.entries > 0) || (lack.bytes > 0 && missing.bytes > 0);
      if (allotment.settled && !helps) return false;
      if (look >= limits.quotaLooks) {
        await this.#deal(store, allotment.settings, allotment.settingsVersion);
        return true;
      }
      // Somebody may be about to give it.
      await this.#pause();
    }
  }

  #pause(): Promise<unknown> {
    return sleep(this.#settleMs / 2 + randomInt(Math.max(1, Math.ceil(this.#settleMs))));
  }

  /** From partitions that have some to spare; false where none has. */
  async #move(store: string, allotment: Allotment, here: Allowance, lack: Amount): Promise<boolean> {
    const { settingsVersion, allowances } = allotment;
    const others = allowances.filter((other) => other !== here);
    const taken = await this.#take(store, settingsVersion, others, lack);
    if (isNothing(taken)) return false;
    const body = { kind: 'adjustAllowance', store, settingsVersion, ...taken } as const;
    // Refused: the settings are others now, and the write deserves another look.
    await this.#proposer.propose(here.partition, body);
    return true;
  }

  /** Half of what the others have free where that is enough, so that they need not ask back at once; else all. */
  async #take(store: string, settingsVersion: number, others: readonly Allowance[], lack: Amount): Promise<Amount> {
    const free = others.reduce((sum, other) => plus(sum, finiteAmount(other.free)), nothing);
    const share = (of: number, all: number, want: number): number => {
      if (want <= 0) return 0;
      return all >= 2 * want ? Math.ceil(of / 2) : of;
    };
    const results = await Promise.allSettled(
      others.map(async (other) => {
        const spare = finiteAmount(other.free);
        const entries = share(spare.entries, free.entries, lack.entries);
        const bytes = share(spare.bytes, free.bytes, lack.bytes);
        if (entries === 0 && bytes === 0) return nothing;
        const asked = { entries: -entries || 0, bytes: -bytes || 0 };
        const body = { kind: 'adjustAllowance', store, settingsVersion, ...asked } as const;
        const { code, entries: e, bytes: b } = await this.#proposer.propose(other.partition, body);
        return code === 'done' ? { entries: -e || 0, bytes: -b || 0 } : nothing;
      }),
    );
    // A partition that gave no answer may have given: that part is missing until somebody deals it out.
    return results.reduce((sum, result) => (result.status === 'fulfilled' ? plus(sum, result.value) : sum), nothing);
  }

  async #configure(store: string, settings: StoreSettings): Promise<void> {
    for (let attempt = 1; attempt <= limits.quotaLooks; attempt++) {
      const versions = (await this.#infos(store)).map(({ info }) => info?.settingsVersion ?? 0);
      if (await this.#deal(store, settings, Math.max(0, ...versions))) return;
      await this.#pause();
    }
    throw new StateStoreError('outcome_unknown', `others change the settings of store ${store} at the same time`, {
      hint: 'Read the settings, and set them again where they are not as wanted.',
      retryAfterMs: 1000,
    });
  }

  /**
   * New settings, or the same ones, everywhere, and the whole quota dealt out anew. False where somebody else
   * did so at the same time: perhaps with other settings.
   */
  async #deal(store: string, settings: StoreSettings, newest: number): Promise<boolean> {
    const settingsVersion = newest + 1 + randomInt(versionStepMax);
    const { partitions } = this.#routing;
    const { quotaEntries, quotaBytes } = settings;
    // Nothing is granted yet: what is in use stays, and nothing more is written until all have been told.
    const allowances = {
      allowanceEntries: quotaEntries === undefined ? undefined : 0,
      allowanceBytes: quotaBytes === undefined ? undefined : 0,
    };
    const results = await this.#proposer.proposeAll(partitions, () => {
      return { kind: 'configure', store, settings, settingsVersion, ...allowances };
    });
    if (results.some(({ code }) => code === 'too_many_stores')) {
      throw new StateStoreError('too_many_stores', `there is no room for store ${store}`);
    }
    if (results.some(isOutdated)) return false;
    if (quotaEntries === undefined && quotaBytes === undefined) return true;
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
    await this.#proposer.proposeAll(partitions, (partition) => {
      return { kind: 'adjustAllowance', store, settingsVersion, ...parts.get(partition)! };
    });
    // Gifts that were refused were overtaken by newer settings: these were there, and are no more.
    return true;
  }
}

function isOutdated({ code }: CommandResult): boolean {
  return code === 'precondition_failed';
}
