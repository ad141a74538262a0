// Clients: they write and try again until they know, read strongly and in sessions, list page by page, and clear; and say so
// where they are told what cannot be.
import type { BinaryString, Command, CommandResult, Mutate, Operation } from '@statestore/core';
import { bytesFromBinary, fingerprint } from '@statestore/core';
import { meet, without } from '../../../services/core/src/slot-ranges.ts';
import type { Around } from './reshape-node.ts';
import type { Read, ReshapeGateway, Sent, Token } from './reshape-gateway.ts';
import { slotOfKey } from './reshape-states.ts';
import { expiringStore } from './truth.ts';

export const mainStore = 'main';
export const mainKeys = Array.from({ length: 12 }, (_, i) => `k${i}`).concat('{t}a', '{t}b');
export const quotaStore = 'small';
export const clearedStore = 'scratch';

interface Named {
  readonly request: string;
  readonly body: Mutate;
  readonly idempotency: NonNullable<Command['idempotency']>;
  readonly result: CommandResult;
}

/** One thing that a client does; true: it is done, or given up. */
interface Doing {
  step(): boolean;
  /** Nobody may ask for it any more: so much time has passed that its outcome is forgotten. */
  abandon(): void;
}

export interface Counts {
  acknowledged: number;
  unknown: number;
  moved: number;
  reads: number;
  lists: number;
  clears: number;
}

export class ReshapeClient {
  readonly #around: Around;
  readonly #gateways: readonly ReshapeGateway[];
  readonly #name: string;
  readonly #counts: Counts;
  readonly #token: Token = { positions: new Map(), layout: 0n };
  /** Newest version seen of a key of the main store. */
  readonly #seen = new Map<BinaryString, number>();
  #doing: Doing | undefined;
  /** Requests under a client's key that were answered: they may come again. */
  #named: Named[] = [];
  #written: BinaryString | undefined;
  #made = 0;

  constructor(around: Around, gateways: readonly ReshapeGateway[], name: string, counts: Counts) {
    this.#around = around;
    this.#gateways = gateways;
    this.#name = name;
    this.#counts = counts;
  }

  get isIdle(): boolean {
    return this.#doing === undefined;
  }

  step(mayBegin: boolean): void {
    if (this.#doing === undefined && mayBegin) this.#doing = this.#begin();
    if (this.#doing?.step() === true) this.#doing = undefined;
  }

  abandon(): void {
    this.#doing?.abandon();
    this.#doing = undefined;
    this.#named = [];
  }

  #gateway(): ReshapeGateway {
    return this.#around.world.random.pick(this.#gateways);
  }

  #begin(): Doing {
    const { random } = this.#around.world;
    const written = this.#written;
    this.#written = undefined;
    if (written !== undefined && random.chance(0.4)) return this.#read(written, false);
    if (this.#named.length > 0 && random.chance(0.15)) return this.#repeat(random.pick(this.#named));
    const dice = random.below(20);
    if (dice < 12) return this.#write(this.#drawWrite());
    if (dice < 17) return this.#read(random.pick(mainKeys), random.chance(0.5));
    return dice < 19 ? this.#list() : this.#clear();
  }

  #drawWrite(): Mutate {
    const { random } = this.#around.world;
    const token = `${this.#name}.${this.#made++};`;
    const value = bytesFromBinary(token);
    const always = { kind: 'none' } as const;
    const never = { kind: 'never' } as const;
    const put = (key: BinaryString): Operation => ({
      kind: 'put',
      key,
      condition: always,
      value,
      contentType: '',
      ttl: never,
    });
    const one = (store: string, operation: Operation): Mutate => ({
      kind: 'mutate',
      store,
      atomic: false,
      checks: [],
      operations: [operation],
    });
    const key = random.pick(mainKeys);
    const dice = random.below(20);
    if (dice < 5) return one(mainStore, put(key));
    if (dice < 9) return one(mainStore, { ...put(key), kind: 'append' } as Operation);
    if (dice < 11) return one(mainStore, { kind: 'delete', key, condition: always });
    if (dice < 13)
      return one(mainStore, {
        kind: 'increment',
        key: `n${random.below(3)}`,
        condition: always,
        delta: 1n,
        ttl: never,
      });
    if (dice < 15) return { ...one(mainStore, put('{t}a')), atomic: true, operations: [put('{t}a'), put('{t}b')] };
    if (dice < 17) return one(clearedStore, put(`s${random.below(6)}`));
    if (dice === 17) return one(quotaStore, put(`q${random.below(12)}`));
    const ttl = { kind: 'after', ms: 1 + random.below(400) } as const;
    return one(expiringStore, { ...put(`l${random.below(8)}`), ttl } as Operation);
  }

  #write(body: Mutate): Doing {
    const { world } = this.#around;
    const { random } = world;
    const request = `${this.#name}-${this.#made++}`;
    const { store } = body;
    const { key } = body.operations[0]!;
    // As the gateway makes it: of the key's slot, so that it goes where the slot goes.
    const id = fingerprint(bytesFromBinary(`${request} ${slotOfKey(store, key)}`));
    const named: Partial<Command> = random.chance(0.5) ? { idempotency: { id, fingerprint: id } } : {};
    let gateway = this.#gateway();
    let sent: Sent | undefined;
    const route = (): void => {
      const log = gateway.logOf(gateway.placementFor(store, key));
      sent = log === undefined ? undefined : gateway.send(log, { ...named, body }, request);
    };
    const isOver = (result: CommandResult): boolean => {
      if (codeOf(result) === 'moved') {
        this.#counts.moved++;
        gateway.refresh();
        sent = undefined;
        return false;
      }
      this.#acknowledged(request, body, sent!, result);
      const { idempotency } = named;
      if (idempotency !== undefined && codeOf(result) === 'done')
        this.#named = [...this.#named, { request, body, idempotency, result }].slice(-8);
      return true;
    };
    return {
      step: () => {
        if (sent === undefined) route();
        else if (sent.result !== undefined) return isOver(sent.result);
        else if (sent.log.isGone && named.idempotency === undefined) return this.#lost(sent);
        else if (random.chance(0.3)) {
          const isElsewhere = named.idempotency !== undefined && (sent.log.isGone || random.chance(0.3));
          if (isElsewhere || world.bug === 'in-doubt-goes-on') {
            gateway = this.#gateway();
            if (world.bug === 'in-doubt-goes-on') gateway.refresh();
            route();
          } else gateway.again(sent);
        }
        return false;
      },
      abandon: () => void (sent !== undefined && this.#lost(sent)),
    };
  }

  /** A request that was answered comes once more, by whatever way: it is answered as it was, and nothing is done. */
  #repeat({ request, body, idempotency, result }: Named): Doing {
    const { world, referee } = this.#around;
    let gateway = this.#gateway();
    let sent: Sent | undefined;
    return {
      step: () => {
        if (sent === undefined || sent.log.isGone || world.random.chance(0.1)) {
          const log = gateway.logOf(gateway.placementFor(body.store, body.operations[0]!.key));
          sent = log === undefined ? undefined : gateway.send(log, { idempotency, body }, request);
          if (sent?.log.isGone) gateway.refresh();
          return false;
        }
        if (sent.result === undefined) return false;
        if (codeOf(sent.result) === 'moved') {
          gateway.refresh();
          sent = undefined;
          return false;
        }
        const [told, before] = [sent.result, result].map(({ operations }) => operations[0]!.revision);
        if (told !== before) world.wrong(`${request} had revision ${before}, and is told ${told} when it comes again`);
        if (referee.truth.timesOf(request) > 1) world.wrong(`${request} took effect again`);
        return true;
      },
      abandon: () => void (sent !== undefined && this.#lost(sent)),
    };
  }

  #lost(sent: Sent): true {
    this.#counts.unknown++;
    sent.gateway.forget(sent);
    return true;
  }

  #acknowledged(request: string, { store, operations }: Mutate, sent: Sent, result: CommandResult): void {
    const { world, referee } = this.#around;
    this.#counts.acknowledged++;
    const told = result.operations[0];
    const isEffect = told?.code === 'done' && told.revision > 0n;
    const times = referee.truth.timesOf(request);
    if (isEffect && times !== 1) world.wrong(`${request} was acknowledged and took effect ${times} times`);
    if (!isEffect && times !== 0) world.wrong(`${request} was answered ${codeOf(result)} and took effect`);
    if (!isEffect && !['done', 'quota_exceeded', 'not_a_number'].includes(codeOf(result)))
      world.wrong(`${request} was answered ${codeOf(result)}`);
    this.#met(sent.log.id, sent.position);
    sent.gateway.tells(this.#token);
    if (store !== mainStore || !isEffect) return;
    this.#written = operations[0]!.key;
    for (const { key } of operations) {
      this.#seen.set(key, Math.max(this.#seen.get(key) ?? 0, referee.truth.versionOf(request, key)));
    }
  }

  #met(log: string, position: bigint): void {
    const { positions } = this.#token;
    if (position > (positions.get(log) ?? -1n)) positions.set(log, position);
  }

  #read(key: BinaryString, isStrong: boolean): Doing {
    const { world } = this.#around;
    const from = world.step;
    let gateway = this.#gateway();
    let read: Read | undefined;
    return {
      step: () => {
        if (read === undefined || world.random.chance(0.05)) {
          if (world.random.chance(0.3)) gateway = this.#gateway();
          gateway.meets(this.#token);
          const placement = gateway.placementFor(mainStore, key);
          read = gateway.read({ kind: 'get', store: mainStore, key }, placement, isStrong ? undefined : this.#token);
          if (read === undefined) gateway.refresh();
          return false;
        }
        if (!gateway.tryRead(read)) return false;
        const told = read.told!;
        if (told === 'moved') {
          gateway.refresh();
          read = undefined;
          return false;
        }
        this.#counts.reads++;
        this.#met(read.log.id, told.position);
        this.#check(key, told.entries[0]?.[1], isStrong ? from : undefined, `${read.log.id} at ${told.position}`);
        return true;
      },
      abandon: () => {},
    };
  }

  /** `from`: step at which a strong read began. */
  #check(key: BinaryString, text: string | undefined, from: number | undefined, where: string): void {
    const { world, referee } = this.#around;
    const versions = referee.truth.versionsOf(mainStore, key);
    const seen = this.#seen.get(key) ?? 0;
    const at = versions.findIndex((version, i) => {
      const until = versions[i + 1]?.from ?? Infinity;
      return i >= seen && version.text === text && (from === undefined || until >= from);
    });
    if (at !== -1) return void this.#seen.set(key, at);
    const kind = from === undefined ? 'session' : 'strong';
    world.wrong(
      `a ${kind} read of ${key} in ${where} is told ${text}; it is ${versions.at(-1)!.text}, ${seen} seen of ${versions.length}`,
    );
  }

  #list(): Doing {
    const { world } = this.#around;
    const from = world.step;
    const limit = world.between(2, 5);
    const listed: (readonly [BinaryString, string])[] = [];
    let gateway = this.#gateway();
    let reads: Read[] | undefined;
    const page = (): boolean => {
      const after = listed.at(-1)?.[0] ?? '';
      if (world.random.chance(0.3)) gateway = this.#gateway();
      gateway.meets(this.#token);
      const all = gateway.view.partitions.map((placement) =>
        gateway.read({ kind: 'range', store: mainStore, after, limit }, placement, undefined),
      );
      reads = all.every((read) => read !== undefined) ? all : undefined;
      if (reads === undefined) gateway.refresh();
      return false;
    };
    return {
      step: () => {
        if (reads === undefined || world.random.chance(0.02)) return page();
        for (const read of reads) if (read.told === undefined) gateway.tryRead(read);
        if (reads.some(({ told }) => told === undefined)) return false;
        const moved = reads.some(({ told }) => told === 'moved');
        if (moved) gateway.refresh();
        if (moved && world.bug !== 'list-goes-on') return page();
        const parts = reads.flatMap(({ told }) => (told === 'moved' ? [] : told!.entries));
        const next = parts.toSorted(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit);
        listed.push(...next);
        reads = undefined;
        if (next.length === limit) return false;
        this.#counts.lists++;
        this.#checkList(listed, from);
        return true;
      },
      abandon: () => {},
    };
  }

  #checkList(listed: readonly (readonly [BinaryString, string])[], from: number): void {
    const { world, referee } = this.#around;
    for (const [i, [key]] of listed.entries())
      if (i > 0 && listed[i - 1]![0] >= key) world.wrong(`a listing has ${key} after ${listed[i - 1]![0]}`);
    const texts = new Map(listed);
    for (const key of referee.truth.keysOf(mainStore)) {
      const last = referee.truth.versionsOf(mainStore, key).at(-1)!;
      if (last.from >= from || texts.get(key) === last.text) continue;
      world.wrong(
        `a listing from step ${from} has ${texts.get(key)} of ${key}, which is ${last.text} since step ${last.from}`,
      );
    }
  }

  /** Of whatever slots were not cleared yet, by one layout after the other. */
  #clear(): Doing {
    const { world, referee } = this.#around;
    const before = new Map(
      [...referee.truth.present(clearedStore)].map(([key]) => [
        key,
        referee.truth.versionsOf(clearedStore, key).length,
      ]),
    );
    const gateway = this.#gateway();
    let left = [{ start: 0, end: 4096 }];
    let under: { readonly sent: Sent; readonly slots: readonly { start: number; end: number }[] }[] = [];
    const send = (): void => {
      for (const placement of gateway.view.partitions) {
        const log = gateway.logOf(placement);
        if (log === undefined || !meet(left, placement.slots)) continue;
        const command = {
          slotsEpoch: placement.slotsEpoch ?? 0n,
          body: { kind: 'clear', store: clearedStore },
        } as const;
        under.push({ sent: gateway.send(log, command, `clear ${this.#made++}`), slots: placement.slots });
      }
    };
    return {
      step: () => {
        if (left.length === 0) {
          this.#counts.clears++;
          for (const [key, length] of before)
            if (referee.truth.versionsOf(clearedStore, key).length === length)
              world.wrong(`${key} was there before a clear and is after it`);
          return true;
        }
        if (under.length === 0) return (send(), false);
        for (const { sent } of under) {
          if (sent.log.isGone) return this.#lost(sent);
          if (sent.result === undefined && world.random.chance(0.2)) gateway.again(sent);
        }
        if (under.some(({ sent }) => sent.result === undefined)) return false;
        for (const { sent, slots } of under) if (sent.result!.code === 'done') left = without(left, slots);
        under = [];
        if (left.length > 0) gateway.refresh();
        return false;
      },
      abandon: () => under.forEach(({ sent }) => this.#lost(sent)),
    };
  }
}

function codeOf({ code, operations }: CommandResult): string {
  return code === 'done' && operations.length === 1 ? operations[0]!.code : code;
}
