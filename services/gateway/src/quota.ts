// Quotas over partitions. Apply judges a write by its partition's own allowance, so that replicas agree
// without asking anybody; this file sees to it that the allowances of a store never sum up to more than
// its quota, and that a write is refused only when no partition has any left.
//
// One change of allowances at a time per store and gateway. What was taken and never given (a crash in
// between) is missing from the sum, and is given back the next time that somebody looks.
import type { StoreSettings } from '@statestore/core';
import type { StoreInfo } from '@statestore/link';
import type { CommandProposer } from './proposer.ts';
import type { Routing } from './routing.ts';

export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

interface Allowance {
  readonly partition: number;
  /** What is granted or, where more is in use (the quota was lowered), what is in use. Infinity: no quota. */
  readonly held: Amount;
  /** What is granted and not in use. */
  readonly free: Amount;
}

export class Quotas {
  readonly #routing: Routing;
  readonly #proposer: CommandProposer;
  /** The last change under way, by store. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(routing: Routing, proposer: CommandProposer) {
    this.#routing = routing;
    this.#proposer = proposer;
  }

  /** Tries to get `need` into a partition that refused a write; false where nothing more can be had. */
  makeRoom(store: string, partition: number, need: Amount): Promise<boolean> {
    return this.#alone(store, () => this.#makeRoom(store, partition, need));
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

  async #infos(store: string): Promise<readonly { partition: number; info: StoreInfo | undefined }[]> {
    const { partitions } = this.#routing;
    return Promise.all(
      partitions.map(async (partition) => ({
        partition,
        info: await this.#routing.nodeOf(partition).store(partition, store),
      })),
    );
  }

  async #makeRoom(store: string, partition: number, need: Amount): Promise<boolean> {
    const infos = await this.#infos(store);
    const settings = infos.find(({ info }) => info !== undefined)?.info?.settings;
    // Cleared or configured anew meanwhile: the write deserves another look.
    if (settings === undefined) return true;
    const allowances = infos.map(({ partition: of, info }) => allowanceOf(of, info));
    const here = allowances.find((allowance) => allowance.partition === partition);
    if (here === undefined) return true;
    // Somebody else made room while this one waited for its turn.
    if (here.free.entries >= need.entries && here.free.bytes >= need.bytes) return true;
    const missing = missingOf(settings, allowances);
    const wanted = {
      entries: need.entries - finite(here.free.entries) - missing.entries,
      bytes: need.bytes - finite(here.free.bytes) - missing.bytes,
    };
    const taken = await this.#take(
      store,
      allowances.filter((other) => other !== here),
      wanted,
    );
    const entries = missing.entries + taken.entries;
    const bytes = missing.bytes + taken.bytes;
    if (entries === 0 && bytes === 0) return false;
    const given = await this.#proposer.propose(partition, { kind: 'adjustAllowance', store, entries, bytes });
    return given.code === 'done';
  }

  /** Half of what the others have free where that is enough, so that they need not ask back at once; else all. */
  async #take(store: string, others: readonly Allowance[], wanted: Amount): Promise<Amount> {
    const free = others.reduce((sum, other) => plus(sum, finiteAmount(other.free)), { entries: 0, bytes: 0 });
    const share = (of: number, all: number, want: number): number => {
      if (want <= 0) return 0;
      return all >= 2 * want ? Math.ceil(of / 2) : of;
    };
    const results = await Promise.allSettled(
      others.map(async (other) => {
        const entries = share(finite(other.free.entries), free.entries, wanted.entries);
        const bytes = share(finite(other.free.bytes), free.bytes, wanted.bytes);
        if (entries === 0 && bytes === 0) return { entries: 0, bytes: 0 };
        const body = { kind: 'adjustAllowance', store, entries: -entries || 0, bytes: -bytes || 0 } as const;
        const { entries: e, bytes: b } = await this.#proposer.propose(other.partition, body);
        return { entries: -e || 0, bytes: -b || 0 };
      }),
    );
    // A partition that gave no answer may have given: that part is missing until the next time.
    return results.reduce((sum, result) => (result.status === 'fulfilled' ? plus(sum, result.value) : sum), {
      entries: 0,
      bytes: 0,
    });
  }

  async #configure(store: string, settings: StoreSettings): Promise<void> {
    const infos = await this.#infos(store);
    const entries = splitQuota(
      settings.quotaEntries,
      infos.map(({ info }) => info?.entries ?? 0),
    );
    const bytes = splitQuota(
      settings.quotaBytes,
      infos.map(({ info }) => info?.bytes ?? 0),
    );
    const shrinking: number[] = [];
    const growing: number[] = [];
    const bodies = new Map(
      infos.map(({ partition, info }, i) => {
        const allowanceEntries = entries[i];
        const allowanceBytes = bytes[i];
        const grows = isMore(allowanceEntries, info?.allowanceEntries) || isMore(allowanceBytes, info?.allowanceBytes);
        (grows && info !== undefined ? growing : shrinking).push(partition);
        return [partition, { kind: 'configure', store, settings, allowanceEntries, allowanceBytes } as const];
      }),
    );
    // Less first: the sum stays below the greater of both quotas whatever fails in between.
    await this.#proposer.proposeAll(shrinking, (partition) => bodies.get(partition)!);
    await this.#proposer.proposeAll(growing, (partition) => bodies.get(partition)!);
  }
}

function isMore(after: number | undefined, before: number | undefined): boolean {
  return (after ?? Number.POSITIVE_INFINITY) > (before ?? Number.POSITIVE_INFINITY);
}

/** Parts that sum up to the quota: what each partition uses, and an equal part of what is left. */
export function splitQuota(quota: number | undefined, used: readonly number[]): readonly (number | undefined)[] {
  if (quota === undefined) return used.map(() => undefined);
  const total = used.reduce((sum, part) => sum + part, 0);
  const left = quota - total;
  // Over the quota already: nobody may grow, and the parts shrink in proportion.
  const parts =
    left >= 0
      ? used.map((part) => part + Math.floor(left / used.length))
      : used.map((part) => Math.floor((part * quota) / total));
  let rest = quota - parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part, i) => {
    const extra = rest > 0 && (left >= 0 || part < used[i]!) ? 1 : 0;
    rest -= extra;
    return part + extra;
  });
}

function allowanceOf(partition: number, info: StoreInfo | undefined): Allowance {
  // A partition that was never told of the store has been granted nothing, and limits nothing either.
  if (info === undefined) return { partition, held: { entries: 0, bytes: 0 }, free: { entries: 0, bytes: 0 } };
  const entries = info.allowanceEntries ?? Number.POSITIVE_INFINITY;
  const bytes = info.allowanceBytes ?? Number.POSITIVE_INFINITY;
  const free = { entries: Math.max(0, entries - info.entries), bytes: Math.max(0, bytes - info.bytes) };
  const held = { entries: Math.max(entries, info.entries), bytes: Math.max(bytes, info.bytes) };
  return { partition, held, free };
}

function missingOf(settings: StoreSettings, allowances: readonly Allowance[]): Amount {
  const granted = allowances.reduce((sum, { held }) => plus(sum, held), { entries: 0, bytes: 0 });
  const missing = (quota: number | undefined, sum: number): number =>
    quota === undefined ? 0 : Math.max(0, quota - sum);
  return {
    entries: missing(settings.quotaEntries, granted.entries),
    bytes: missing(settings.quotaBytes, granted.bytes),
  };
}

function plus(a: Amount, b: Amount): Amount {
  return { entries: a.entries + b.entries, bytes: a.bytes + b.bytes };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

function finiteAmount({ entries, bytes }: Amount): Amount {
  return { entries: finite(entries), bytes: finite(bytes) };
}
