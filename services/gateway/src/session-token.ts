// The session token as text: how far its session was told that each partition is. Clients send back the
// last one they got, and need not read it.
//
//   1.<partition>-<position>_<partition>-<position>…   both in base 36
//   1.<partition>-<position>-<generation>…             where the partition's log is not its first one
//   1.~                                                longer than a token may be: its reads are strong ones
//   2.<epoch>.<partition>-<position>…                  where slots were moved between partitions
//
// The epoch is that of a topology by which everybody knows as well as the gateway that answered whose the slots are: a
// gateway whose own is older looks for a newer one before it reads, or it would ask whoever had the slots before.
//
// It is not signed: whoever makes up a position waits for it, and nobody else does.
import { limits, StateStoreError } from '@statestore/core';
import type { Place } from '@statestore/link';

/**
 * A position, and behind a dash the generation of its log where that is not 1: numbers in base 36, without leading
 * zeros, so that of two the longer is the greater, then the later in the alphabet. What another generation has is later.
 */
export type PlaceText = string;

export interface SessionToken {
  readonly text: string;
  /** It spans more partitions than a token can name. */
  readonly all: boolean;
  /** Of the topology that a gateway must have to read by it; 0n: whatever one. */
  readonly epoch: bigint;
  readonly positions: ReadonlyMap<number, PlaceText>;
}

const allText = '1.~';
const pair = '(?:0|[1-9a-z][0-9a-z]{0,2})-(?:0|[1-9a-z][0-9a-z]{0,12})(?:-(?!1(?:_|$))[1-9a-z][0-9a-z]{0,5})?';
const pairs = `${pair}(?:_${pair})*`;
const pattern = new RegExp(`^(?:1\\.~|(?:1|2\\.([1-9a-z][0-9a-z]{0,12}))\\.(${pairs}))$`);
const greatestPosition = (2n ** 64n - 1n).toString(36);
const noPositions: ReadonlyMap<number, PlaceText> = new Map();

/** One token, or several behind commas: of answers to requests that ran at the same time. Throws `invalid_parameter`. */
export function parseSessionToken(header: string | readonly string[]): SessionToken {
  const texts = (typeof header === 'string' ? header : header.join(',')).split(',');
  const tokens = texts.map((text) => parseOne(text.trim()));
  if (tokens.length === 1) return tokens[0]!;
  const positions = new Map<number, PlaceText>();
  let epoch = 0n;
  for (const token of tokens) {
    for (const [partition, position] of token.positions) raise(positions, partition, position);
    if (token.epoch > epoch) ({ epoch } = token);
  }
  return tokenOf(
    positions,
    epoch,
    tokens.some(({ all }) => all),
  );
}

function parseOne(text: string): SessionToken {
  if (text.length > limits.sessionTokenCharsMax) {
    throw malformed(`has ${text.length} characters; it may have ${limits.sessionTokenCharsMax}`);
  }
  if (text === allText) return { text, all: true, epoch: 0n, positions: noPositions };
  const match = pattern.exec(text);
  if (match === null) throw malformed(`is ${JSON.stringify(text.slice(0, 60))}, which no answer carried`);
  const [, epochText = '0', pairsText = ''] = match;
  if (isGreater(epochText, greatestPosition)) throw malformed('has an epoch past 64 bits');
  const positions = new Map<number, PlaceText>();
  for (const part of pairsText.split('_')) {
    const dash = part.indexOf('-');
    const place = part.slice(dash + 1);
    if (isGreater(partsOf(place).position, greatestPosition)) throw malformed('has a position past 64 bits');
    raise(positions, Number.parseInt(part.slice(0, dash), 36), place);
  }
  return { text, all: false, epoch: positionOf(epochText), positions };
}

function malformed(why: string): StateStoreError {
  return new StateStoreError('invalid_parameter', `the header StateStore-Session ${why}`, {
    hint: 'Send the header back as it came with the last answer, or leave it out to begin anew.',
    extra: { parameter: 'StateStore-Session' },
  });
}

/** Whether it changed anything. */
export function raise(positions: Map<number, PlaceText>, partition: number, position: PlaceText): boolean {
  const known = positions.get(partition);
  if (known !== undefined && !isLater(position, known)) return false;
  positions.set(partition, position);
  return true;
}

function isLater(one: PlaceText, other: PlaceText): boolean {
  const [a, b] = [partsOf(one), partsOf(other)];
  return a.generation === b.generation ? isGreater(a.position, b.position) : isGreater(a.generation, b.generation);
}

function isGreater(one: string, other: string): boolean {
  return one.length === other.length ? one > other : one.length > other.length;
}

function partsOf(place: PlaceText): { readonly position: string; readonly generation: string } {
  const dash = place.indexOf('-');
  if (dash === -1) return { position: place, generation: '1' };
  return { position: place.slice(0, dash), generation: place.slice(dash + 1) };
}

export function placeText({ position, generation = 1 }: Place): PlaceText {
  return generation === 1 ? position.toString(36) : `${position.toString(36)}-${generation.toString(36)}`;
}

export function placeOf(text: PlaceText): Required<Place> {
  const { position, generation } = partsOf(text);
  return { position: positionOf(position), generation: Number.parseInt(generation, 36) };
}

/** `epoch`: 0n where slots never moved. */
export function tokenOf(positions: ReadonlyMap<number, PlaceText>, epoch = 0n, all = false): SessionToken {
  const text = all
    ? allText
    : `${headOf(epoch)}${[...positions].map(([of, at]) => `${of.toString(36)}-${at}`).join('_')}`;
  if (text.length > limits.sessionTokenCharsMax) return tokenOf(noPositions, 0n, true);
  return { text, all, epoch: all ? 0n : epoch, positions };
}

/** What a token's pairs follow. */
export function headOf(epoch: bigint): string {
  return epoch === 0n ? '1.' : `2.${epoch.toString(36)}.`;
}

function positionOf(text: string): bigint {
  // Ten digits fit a double exactly.
  const head = text.slice(0, -10);
  const tail = BigInt(Number.parseInt(text.slice(-10), 36));
  return head === '' ? tail : BigInt(Number.parseInt(head, 36)) * 36n ** 10n + tail;
}
