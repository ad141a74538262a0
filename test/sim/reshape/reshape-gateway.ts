// A gateway, as far as reshapes concern it: its idea of the topology, sessions with partitions, and reads of replicas that
// have to have come far enough. Whoever uses it decides what becomes of `moved`.
import type { BinaryString, Command, CommandResult, PartitionPlacement, Topology } from '@statestore/core';
import { binaryFromBytes, readEntry, readRange } from '@statestore/core';
import { containsSlot } from '../../../services/core/src/slot-ranges.ts';
import type { Around } from './reshape-node.ts';
import type { LogId, ReshapeLog } from './reshape-log.ts';
import { slotOfKey } from './reshape-states.ts';
import { layoutOf, logOfPlacement } from './reshape-topology.ts';

interface Session {
  readonly id: BinaryString;
  counter: number;
  isOpen: boolean;
  readonly unanswered: Set<number>;
}

/** A command on its way, under one stamp. */
export interface Sent {
  readonly log: ReshapeLog;
  readonly command: Command;
  readonly gateway: ReshapeGateway;
  result: CommandResult | undefined;
  position: bigint;
}

/** What a client carries from request to request. */
export interface Token {
  readonly positions: Map<LogId, bigint>;
  layout: bigint;
}

export type Asked =
  | { readonly kind: 'get'; readonly store: string; readonly key: BinaryString }
  | { readonly kind: 'range'; readonly store: string; readonly after: BinaryString; readonly limit: number };

export type Told =
  | 'moved'
  | { readonly entries: readonly (readonly [BinaryString, string])[]; readonly position: bigint };

/** A read on its way. */
export interface Read {
  readonly asked: Asked;
  readonly log: ReshapeLog;
  readonly slotsEpoch: bigint;
  /** Undefined: its barrier is not there yet. */
  atLeast: bigint | undefined;
  told: Told | undefined;
}

export class ReshapeGateway {
  readonly name: string;
  view: Topology;
  readonly #around: Around;
  readonly #sessions = new Map<LogId, Session>();
  #made = 0;

  constructor(around: Around, name: string) {
    this.#around = around;
    this.name = name;
    this.view = around.topology();
  }

  refresh(): void {
    this.view = this.#around.topology();
  }

  placementFor(store: string, key: BinaryString): PartitionPlacement {
    const slot = slotOfKey(store, key);
    return this.view.partitions.find(({ slots }) => containsSlot(slots, slot))!;
  }

  logOf(placement: PartitionPlacement): ReshapeLog | undefined {
    return this.#around.referee.all.get(logOfPlacement(placement))?.log;
  }

  /** Under a new stamp; `request`: whose effect it is. */
  send(log: ReshapeLog, command: Omit<Command, 'stamp'>, request: string): Sent {
    let session = this.#sessions.get(log.id);
    if (session === undefined) {
      const id = `${this.name}.${this.#made++}`.padEnd(16, '.');
      this.#sessions.set(log.id, (session = { id, counter: 0, isOpen: false, unanswered: new Set() }));
    }
    const counter = ++session.counter;
    session.unanswered.add(counter);
    const stamp = {
      session: session.id,
      counter,
      firstUnanswered: Math.min(...session.unanswered),
      opens: !session.isOpen,
    };
    this.#around.referee.truth.sent(`${stamp.session}/${counter}`, request);
    const sent: Sent = { log, command: { ...command, stamp }, gateway: this, result: undefined, position: 0n };
    this.again(sent);
    return sent;
  }

  /** The same once more, under the same stamp. */
  again(sent: Sent): void {
    const { world, referee } = this.#around;
    const { log, command } = sent;
    world.send('a command', () => {
      if (log.isGone) return;
      const [result] = referee.append(log, [command]) as readonly CommandResult[];
      const position = log.last;
      world.send('an answer', () => {
        if (sent.result !== undefined || result!.code === 'already_answered') return;
        sent.result = result!;
        sent.position = position;
        this.#answered(sent);
      });
    });
  }

  #answered({ log, command: { stamp } }: Sent): void {
    const session = this.#sessions.get(log.id);
    if (session?.id !== stamp!.session) return;
    session.isOpen = true;
    session.unanswered.delete(stamp!.counter);
  }

  /** Nobody waits for it any more, and it is not sent again. */
  forget({ log, command: { stamp } }: Sent): void {
    this.#sessions.get(log.id)?.unanswered.delete(stamp!.counter);
  }

  /** All sessions are forgotten by then. */
  newSessions(): void {
    this.#sessions.clear();
  }

  /** `token`: of a session read; without one it is a strong one. Undefined: there is no such log. */
  read(asked: Asked, placement: PartitionPlacement, token: Token | undefined): Read | undefined {
    const { world, referee } = this.#around;
    const log = this.logOf(placement);
    if (log === undefined || log.isGone) return undefined;
    const slotsEpoch = placement.slotsEpoch ?? 0n;
    const atLeast = token === undefined ? undefined : (token.positions.get(log.id) ?? log.first);
    const read: Read = { asked, log, slotsEpoch, atLeast, told: undefined };
    if (token === undefined) {
      world.send('a barrier', () => {
        if (log.isGone || read.atLeast !== undefined) return;
        referee.append(log, [{ body: { kind: 'barrier' } }]);
        read.atLeast = log.last;
      });
    }
    return read;
  }

  /** Whether it was answered: by any node whose replica has come far enough. */
  tryRead(read: Read): boolean {
    const { world, nodes } = this.#around;
    const { asked, log, slotsEpoch, atLeast } = read;
    const replica = world.random.pick(nodes()).replicas.get(log.id);
    if (replica === undefined || atLeast === undefined) return false;
    const { state, records } = replica.live;
    if (state.position < atLeast || state.slotsEpoch < slotsEpoch) return false;
    const { position, slots } = state;
    if (state.slotsEpoch > slotsEpoch) {
      read.told = 'moved';
    } else if (asked.kind === 'get') {
      const { store, key } = asked;
      const isIts = slots === undefined || containsSlot(slots, slotOfKey(store, key));
      const entry = readEntry(state, records, store, key, 0);
      const entries = entry === undefined ? [] : [[key, binaryFromBytes(entry.value)] as const];
      read.told = isIts ? { entries, position } : 'moved';
    } else {
      const entries: (readonly [BinaryString, string])[] = [];
      for (const { key, value } of readRange(state, records, asked.store, { start: `${asked.after}\x00` }, 0)) {
        if (entries.push([key, binaryFromBytes(value)]) >= asked.limit) break;
      }
      read.told = { entries, position };
    }
    return true;
  }

  /** The topology is at least as new as what the session has seen. */
  meets(token: Token): void {
    if (this.#around.world.bug !== 'sessions-without-layout' && layoutOf(this.view) < token.layout) this.refresh();
    this.tells(token);
  }

  /** With each answer. */
  tells(token: Token): void {
    if (layoutOf(this.view) > token.layout) token.layout = layoutOf(this.view);
  }
}
