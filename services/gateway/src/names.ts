// Keys and store names as they come from URLs and bodies. Past this file a key is a binary string of
// valid UTF-8, 1 to 1024 bytes, without control characters.
import { binaryFromText, limits, StateStoreError, textFromBinary, type BinaryString } from '@statestore/core';

const plain = new RegExp(`^[\\x20-\\x7e]{1,${limits.keyBytesMax}}$`);
// oxlint-disable-next-line no-control-regex -- they are what it looks for
const control = /[\u0000-\u001f\u007f-\u009f]/u;
const storeName = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.storeNameCharsMax - 1}}$`);

/** Throws `invalid_key`, which says why. `what` names it in the message. */
export function checkKey(text: string, what = 'the key'): BinaryString {
  return plain.test(text) ? text : checkUnusualKey(text, what);
}

function checkUnusualKey(text: string, what: string): BinaryString {
  if (text === '') throw invalidKey(`${what} is empty; it has 1 to ${limits.keyBytesMax} bytes`);
  const found = control.exec(text);
  if (found !== null) {
    const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    throw invalidKey(`${what} has the control character U+${code} at character ${found.index}`);
  }
  if (!text.isWellFormed()) throw invalidKey(`${what} has an unpaired surrogate, which UTF-8 cannot write`);
  const key = binaryFromText(text);
  if (key.length > limits.keyBytesMax) {
    throw invalidKey(`${what} has ${key.length} bytes; at most ${limits.keyBytesMax} are allowed`);
  }
  return key;
}

function invalidKey(message: string): StateStoreError {
  return new StateStoreError('invalid_key', message, {
    hint: 'A key is 1 to 1024 bytes of UTF-8 without control characters; in a URL it is one percent-encoded segment.',
  });
}

/** A prefix or bound of keys: as a key, but it may be empty. */
export function checkKeyPart(text: string, parameter: string): BinaryString {
  if (text === '') return '';
  try {
    return checkKey(text, `the parameter ${parameter}`);
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    throw new StateStoreError('invalid_parameter', error.message, { extra: { parameter } });
  }
}

/** Throws `invalid_store_name`. */
export function checkStoreName(text: string): string {
  if (storeName.test(text)) return text;
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  throw new StateStoreError('invalid_store_name', `${JSON.stringify(shown)} is not a store name`, {
    hint: `1 to ${limits.storeNameCharsMax} of A-Z a-z 0-9 . _ - and the first one a letter or digit.`,
  });
}

const lossy = new TextDecoder();

/** For answers. A key that some other tool wrote and that is not UTF-8 is shown with U+FFFD. */
export function keyText(key: BinaryString): string {
  try {
    return textFromBinary(key);
  } catch {
    return lossy.decode(Buffer.from(key, 'latin1'));
  }
}
