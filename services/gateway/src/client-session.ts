// The session of one request: what its token asks of reads, and the token that its answer carries, which
// adds what this request was told. A client that sends the token along reads its own writes and never an
// older state than before, on any replica and through any gateway.
import { limits, StateStoreError } from '@statestore/core';
import type { Place, ReadOptions } from '@statestore/link';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Routing } from './routing.ts';
import {
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
}

/** Texts of the places that were told last: many answers tell of the same one. */
export class TokenTexts {
  readonly #last: LastToken[] = [];

  of(partition: number, { position, generation }: Place): LastToken {
    const last = this.#last[partition];
    if (last !== undefined && last.position === position && last.generation === generation) return last;
    const text = placeText({ position, generation });
    const made = { position, generation, placeText: text, text: `1.${partition.toString(36)}-${text}` };
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

  /** How the request reads from a partition. */
  reading(partition: number): ReadOptions {
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
    return changed ? tokenOf(merged).text : given!.text;
  }

  /**
   * Throws `unavailable` where a session read could miss something: its session knows a partition that this
   * gateway does not know. Another gateway made it, by a newer topology, and this one will hear of that.
   * Other reads and writes ask nothing of the token, and only pass it on.
   */
  check(routing: Routing): void {
    if (this.#reading.consistency !== 'session') return;
    for (const [partition, place] of this.#given?.positions ?? []) {
      if (routing.has(partition) || routing.isBeforeAll(placeOf(place))) continue;
      throw new StateStoreError(
        'unavailable',
        `${sessionHeader} tells of partition ${partition}; the topology known here, of epoch ${routing.topology.epoch}, has none`,
        {
          hint: 'If the token is of another cluster, leave it out.',
          retryAfterMs: limits.sessionTopologyRetryMs,
          extra: { parameter: sessionHeader },
        },
      );
    }
  }
}

/** `reading`: undefined for a request that does not read. Throws `invalid_parameter` or `unavailable`: to be called first. */
export function sessionOf(
  { tokens, routing }: { readonly tokens: TokenTexts; readonly routing: Routing },
  request: FastifyRequest,
  reading: ReadOptions = eventualRead,
): ClientSession {
  const header = request.headers['statestore-session'];
  if (header === undefined) return (request.clientSession = new ClientSession(tokens, reading));
  const session = new ClientSession(tokens, reading, parseSessionToken(header));
  session.check(routing);
  request.clientSession = session;
  return session;
}

/** Every answer but those that write their heads themselves. */
export function tellSession({ clientSession }: FastifyRequest, reply: FastifyReply): void {
  const token = clientSession?.token;
  if (token !== undefined) void reply.header(sessionHeader, token);
}
