// How a connection begins: each side sends the preamble, then a Hello frame, and takes nothing else from
// a peer that did not. The client speaks first. A peer of another protocol or version is told why.
import { createHash, timingSafeEqual } from 'node:crypto';
import { StateStoreError, textFromBinary } from '@statestore/core';
import { WireReader } from '@statestore/core/wire';
import { eachField, encodeMessage } from './codec/message.ts';

/** Raised when two versions could no longer understand each other's frames. */
export const linkVersion = 1;

const magic = Buffer.from('SSLINK', 'latin1');
export const preambleBytes = magic.length + 2;

export function preamble(version: number = linkVersion): Uint8Array {
  return Uint8Array.of(...magic, version >>> 8, version & 0xff);
}

/** Why we cannot talk to who sent this preamble; undefined where we can. */
export function preambleProblem(received: Uint8Array): StateStoreError | undefined {
  if (!magic.equals(received.subarray(0, magic.length))) {
    const hex = Buffer.from(received).toString('hex');
    return new StateStoreError('unavailable', `the peer does not speak StateStore's link: it began with 0x${hex}`, {
      hint: 'is this the port of a node?',
    });
  }
  const version = received[magic.length]! * 256 + received[magic.length + 1]!;
  if (version === linkVersion) return undefined;
  return new StateStoreError(
    'unavailable',
    `the peer speaks version ${version} of the link, this process version ${linkVersion}`,
    {
      hint: 'run gateways and nodes of the same or of neighbouring releases',
    },
  );
}

export interface Hello {
  readonly software: string;
  /** Empty: none. */
  readonly token: string;
}

export function encodeHello(hello: Hello): Uint8Array {
  return encodeMessage((w, { software, token }) => {
    w.bytes(2, Buffer.from(token, 'utf8'));
    w.bytes(1, Buffer.from(software, 'utf8'));
  }, hello);
}

export function decodeHello(bytes: Uint8Array): Hello {
  const r = new WireReader(bytes);
  let software = '';
  let token = '';
  eachField(r, (field) => {
    if (field === 1) software = textFromBinary(r.binary());
    else if (field === 2) token = textFromBinary(r.binary());
    else r.skip();
  });
  return { software, token };
}

/** Whether the token is the one asked for, in a time that does not tell how much of it is right. */
export function tokenMatches(expected: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(expected), digest(given));
}
