// Values inside JSON: as text where they are UTF-8, which round-trips exactly, else as base64.
import { isUtf8 } from 'node:buffer';
import { StateStoreError } from '@statestore/core';

export type ValueEncoding = 'utf8' | 'base64';

export interface ValueJson {
  readonly value: string;
  readonly encoding: ValueEncoding;
}

export function valueToJson(value: Uint8Array): ValueJson {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return isUtf8(bytes)
    ? { value: bytes.toString('utf8'), encoding: 'utf8' }
    : { value: bytes.toString('base64'), encoding: 'base64' };
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** `where` names the field in the message. Throws `invalid_body`. */
export function valueFromJson(value: string, encoding: ValueEncoding | undefined, where: string): Uint8Array {
  if (encoding === 'base64') {
    if (!base64.test(value))
      throw new StateStoreError('invalid_body', `${where} is not base64 (RFC 4648, with padding)`);
    return Buffer.from(value, 'base64');
  }
  if (!value.isWellFormed()) {
    throw new StateStoreError('invalid_body', `${where} has an unpaired surrogate, which UTF-8 cannot write`);
  }
  return Buffer.from(value, 'utf8');
}

// Most strings need no escape; JSON.stringify costs twice this test and a concatenation.
// oxlint-disable-next-line no-control-regex -- they are what must be escaped
const needsEscape = /[\u0000-\u001f"\\\ud800-\udfff]/;

/** JSON text of a string. */
export function quote(text: string): string {
  return needsEscape.test(text) ? JSON.stringify(text) : `"${text}"`;
}
