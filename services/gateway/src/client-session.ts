// The session of one request: what its token asks of reads, and the token that its answer carries, which
// adds what this request was told. A client that sends the token along reads its own writes and never an
// older state than before, on any replica and through any gateway.
import { limits, StateStoreError } from '@statestore/core';
import type { MaybePromise, Place, ReadOptions } from '@statestore/link';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Routing } from './routing.ts';
import {
  headOf,
  parseSessionToken,
  placeOf,
  placeText,
  raise,
  tokenOf,
  type PlaceText,
  type SessionToken,
} from './session-token.ts';

declare module 'fastify' {
  interface FastifyRequest {
    clientSession: ClientSession | undefined;
  }
}

export const sessionHeader = 'StateStore-Session';
const strongRead: ReadOptions = { consistency: 'strong' };
const eventualRead: ReadOptions = { consistency: 'eventual' };
const nowhere: Place = { position: -1n };

/** What a log of a later generation has is later than all that one before it had. */
function isLater({ position, generation = 1 }: Place, other: Place): boolean {
  const { generation: before = 1 } = other;
  return generation === before ? position > other.position : generation > before;
}

interface LastToken extends Place {
  readonly placeText: PlaceText;
  readonly text: string;
  readonly epoch: bigint;
}

/** What texts of tokens depend on beside what was seen. */
type Known = Pick<Routing, 'layoutEpoch' | 'has' | 'isOfBefore'>;
const nothingMoved: Known = { layoutEpoch: undefined, has: () => true, isOfBefore: () => false };

/** Texts of the places that were told last: many answers tell of the same one. */
export class TokenTexts {
  readonly known: Known;
  readonly #last: LastToken[] = [];

  constructor(known: Known = nothingMoved) {
    this.known = known;
  }

  of(partition: number, { position, generation }: Place): LastToken {
    const last = this.#last[partition];
    const epoch = this.known.layoutEpoch ?? 0n;
    if (last !== undefined && last.position === position && last.generation === generation && last.epoch === epoch) {
      return last;
    }
    const text = placeText({ position, generation });
    const made = {
      position,
      generation,
      epoch,
      placeText: text,
      text: `${headOf(epoch)}${partition.toString(36)}-${text}`,
    };
    this.#last[partition] = made;
    return made;
  }
}

export class ClientSession {
  readonly #texts: TokenTexts;
  readonly #reading: ReadOptions;
  readonly #given: SessionToken | undefined;
  /** Nearly every request sees one partition only: no map for it. */
  #partition = -1;
  #place: Place = nowhere;
  #others: Map<number, Place> | undefined;

  constructor(texts: TokenTexts, reading: ReadOptions, given?: SessionToken) {
    this.#texts = texts;
    this.#reading = reading;
    this.#given = given;
  }

  /** How the request reads from a partition. `slotsEpoch`: of the layout by which it is asked. */
  reading(partition: number, slotsEpoch?: bigint): ReadOptions {
    const options = this.#readingOf(partition);
    return slotsEpoch === undefined ? options : { ...options, slotsEpoch };
  }

  #readingOf(partition: number): ReadOptions {
    if (this.#given === undefined || this.#reading.consistency !== 'session') return this.#reading;
    if (this.#given.all) return strongRead;
    const text = this.#given.positions.get(partition);
    if (text === undefined) return this.#reading;
    const { position: atLeast, generation } = placeOf(text);
    return generation === 1 ? { consistency: 'session', atLeast } : { consistency: 'session', atLeast, generation };
  }

  /** The client is told of the partition's state there. */
  saw(partition: number, place: Place): void {
    if (this.#partition === -1) this.#partition = partition;
    if (this.#partition === partition) {
      if (isLater(place, this.#place)) this.#place = place;
      return;
    }
    this.#others ??= new Map();
    if (isLater(place, this.#others.get(partition) ?? nowhere)) this.#others.set(partition, place);
  }

  /** Of the answer; undefined where nobody told of a position. */
  get token(): string | undefined {
    const given = this.#given;
    if (this.#partition === -1) return given?.text;
    const seen = this.#texts.of(this.#partition, this.#place);
    if (given === undefined && this.#others === undefined) return seen.text;
    if (given?.all === true) return given.text;
    const merged = new Map(given?.positions);
    let changed = raise(merged, this.#partition, seen.placeText);
    for (const [partition, place] of this.#others ?? []) {
      if (raise(merged, partition, this.#texts.of(partition, place).placeText)) changed = true;
    }
    const { known } = this.#texts;
    const own = known.layoutEpoch ?? 0n;
    const asked = given === undefined || known.isOfBefore(given) ? 0n : given.epoch;
    const epoch = asked > own ? asked : own;
    if (own > 0n && own >= asked) {
      // Whoever knows as much as its reader must knows that these were merged away. A token names one, at least.
      for (const of of merged.keys()) if (merged.size > 1 && !known.has(of)) merged.delete(of);
    }
    return changed || epoch !== given?.epoch ? tokenOf(merged, epoch).text : given.text;
  }

  /** Why a session read could miss something here; undefined: it could not. Other reads and writes ask nothing of the token, and only pass it on. */
  lacks(routing: Routing): string | undefined {
    const given = this.#given;
    if (given === undefined || this.#reading.consistency !== 'session') return undefined;
    const { epoch } = routing.topology;
    if (given.epoch > epoch) return `tells of a topology of epoch ${given.epoch}; the one known here is of ${epoch}`;
    // A partition that was merged away since is not missed.
    if (routing.layoutEpoch !== undefined) return undefined;
    for (const [partition, place] of given.positions) {
      if (routing.has(partition) || routing.isBeforeAll(placeOf(place))) continue;
      return `tells of partition ${partition}; the topology known here, of epoch ${epoch}, has none`;
    }
    return undefined;
  }

  /** Looks for a newer topology where a session read could miss something. Rejects with `unavailable` where none came. */
  async catchUp(routing: Routing): Promise<void> {
    const untilMs = performance.now() + (routing.refreshes ? limits.gatewayTopologyWaitMs : 0);
    for (;;) {
      const why = this.lacks(routing);
      if (why === undefined) return;
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) {
        if (routing.isOfBefore(this.#given!)) return;
        throw new StateStoreError('unavailable', `${sessionHeader} ${why}`, {
          hint: 'If the token is of another cluster, leave it out.',
          retryAfterMs: limits.sessionTopologyRetryMs,
          extra: { parameter: sessionHeader },
        });
      }
      routing.refresh();
      await routing.later(routing.topology.epoch, Math.min(leftMs, limits.gatewayTopologyRefreshMs));
    }
  }
}

/** What sessions are made with: a part of the context. */
interface Making {
  readonly tokens: TokenTexts;
  readonly routing: Routing;
}

/** Of a request that does not read, or whatever there is. Throws `invalid_parameter`: to be called first. */
export function sessionOf({ tokens }: Making, request: FastifyRequest): ClientSession {
  const header = request.headers['statestore-session'];
  const given = header === undefined ? undefined : parseSessionToken(header);
  return (request.clientSession = new ClientSession(tokens, eventualRead, given));
}

/**
 * Of a request that reads. A promise where its token knows more than this gateway. Throws `invalid_parameter`, rejects
 * with `unavailable`: to be called first.
 */
export function readingSession(
  { tokens, routing }: Making,
  request: FastifyRequest,
  reading: ReadOptions,
): MaybePromise<ClientSession> {
  const header = request.headers['statestore-session'];
  if (header === undefined) return (request.clientSession = new ClientSession(tokens, reading));
  const session = new ClientSession(tokens, reading, parseSessionToken(header));
  if (session.lacks(routing) === undefined) return (request.clientSession = session);
  return session.catchUp(routing).then(() => (request.clientSession = session));
}

/** Every answer but those that write their heads themselves. */
export function tellSession({ clientSession }: FastifyRequest, reply: FastifyReply): void {
  const token = clientSession?.token;
  if (token !== undefined) void reply.header(sessionHeader, token);
}
