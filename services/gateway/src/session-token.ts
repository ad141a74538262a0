// The session token as text: how far its session was told that each partition is. Clients send back the
// last one they got, and need not read it.
//
//   1.<partition>-<position>_<partition>-<position>…   both in base 36
//   1.~                                                longer than a token may be: its reads are strong ones
//
// It is not signed: whoever makes up a position waits for it, and nobody else does.
import { limits, StateStoreError } from '@statestore/core';

/** In base 36, without leading zeros: of two, the longer is the greater, then the later in the alphabet. */
export type PositionText = string;

export interface SessionToken {
  readonly text: string;
  /** It spans more partitions than a token can name. */
  readonly all: boolean;
  readonly positions: ReadonlyMap<number, PositionText>;
}

const allText = '1.~';
const pair = '(?:0|[1-9a-z][0-9a-z]{0,2})-(?:0|[1-9a-z][0-9a-z]{0,12})';
const pattern = new RegExp(`^1\\.(?:~|${pair}(?:_${pair})*)$`);
const greatestPosition: PositionText = (2n ** 64n - 1n).toString(36);
const noPositions: ReadonlyMap<number, PositionText> = new Map();

/** One token, or several behind commas: of answers to requests that ran at the same time. Throws `invalid_parameter`. */
export function parseSessionToken(header: string | readonly string[]): SessionToken {
  const texts = (typeof header === 'string' ? header : header.join(',')).split(',');
  const tokens = texts.map((text) => parseOne(text.trim()));
  if (tokens.length === 1) return tokens[0]!;
  const positions = new Map<number, PositionText>();
  for (const token of tokens) {
    for (const [partition, position] of token.positions) raise(positions, partition, position);
  }
  return tokenOf(
    positions,
    tokens.some(({ all }) => all),
  );
}

function parseOne(text: string): SessionToken {
  if (text.length > limits.sessionTokenCharsMax) {
    throw malformed(`has ${text.length} characters; it may have ${limits.sessionTokenCharsMax}`);
  }
  if (text === allText) return { text, all: true, positions: noPositions };
  if (!pattern.test(text)) throw malformed(`is ${JSON.stringify(text.slice(0, 60))}, which no answer carried`);
  const positions = new Map<number, PositionText>();
  for (const part of text.slice(2).split('_')) {
    const dash = part.indexOf('-');
    const position = part.slice(dash + 1);
    if (isLater(position, greatestPosition)) throw malformed('has a position past 64 bits');
    raise(positions, Number.parseInt(part.slice(0, dash), 36), position);
  }
  return { text, all: false, positions };
}

function malformed(why: string): StateStoreError {
  return new StateStoreError('invalid_parameter', `the header StateStore-Session ${why}`, {
    hint: 'Send the header back as it came with the last answer, or leave it out to begin anew.',
    extra: { parameter: 'StateStore-Session' },
  });
}

/** Whether it changed anything. */
export function raise(positions: Map<number, PositionText>, partition: number, position: PositionText): boolean {
  const known = positions.get(partition);
  if (known !== undefined && !isLater(position, known)) return false;
  positions.set(partition, position);
  return true;
}

function isLater(one: PositionText, other: PositionText): boolean {
  return one.length === other.length ? one > other : one.length > other.length;
}

export function tokenOf(positions: ReadonlyMap<number, PositionText>, all = false): SessionToken {
  const text = all ? allText : `1.${[...positions].map(([of, at]) => `${of.toString(36)}-${at}`).join('_')}`;
  if (text.length > limits.sessionTokenCharsMax) return tokenOf(noPositions, true);
  return { text, all, positions };
}

export function positionOf(text: PositionText): bigint {
  // Ten digits fit a double exactly.
  const head = text.slice(0, -10);
  const tail = BigInt(Number.parseInt(text.slice(-10), 36));
  return head === '' ? tail : BigInt(Number.parseInt(head, 36)) * 36n ** 10n + tail;
}
