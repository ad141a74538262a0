// Keys inside StateStore are binary strings: one character per byte, char code 0 to 255, as `atob`
// makes them. V8 keeps them in one byte per character, compares them in byte order with `<`, and
// hashes them for a Map faster than any Uint8Array, which is why engines, apply and the write buffer
// all use them. Text becomes one at the gateway, bytes become one at the codec, nowhere else.

/** Bytes as a string with one character (0 to 255) per byte. Order of `<` is byte order. */
export type BinaryString = string;

const ASCII = /^[\0-\x7f]*$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of `text`. Unpaired surrogates become U+FFFD, as TextEncoder does. */
export function binaryFromText(text: string): BinaryString {
  return ASCII.test(text) ? text : binaryFromBytes(encoder.encode(text));
}

/** The text whose UTF-8 bytes these are. Throws TypeError where they are not UTF-8. */
export function textFromBinary(binary: BinaryString): string {
  return ASCII.test(binary) ? binary : decoder.decode(bytesFromBinary(binary));
}

export function binaryFromBytes(bytes: Uint8Array): BinaryString {
  const { length } = bytes;
  if (length > 4096) {
    let all = '';
    for (let i = 0; i < length; i += 4096) all += binaryFromBytes(bytes.subarray(i, i + 4096));
    return all;
  }
  return String.fromCharCode.apply(undefined, bytes as unknown as number[]);
}

export function bytesFromBinary(binary: BinaryString): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * The least binary string greater than every one that starts with `prefix`: the exclusive end of a
 * prefix's range. Undefined where there is none (empty, or all 0xff).
 */
export function prefixEnd(prefix: BinaryString): BinaryString | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const code = prefix.charCodeAt(i);
    if (code < 0xff) return prefix.slice(0, i) + String.fromCharCode(code + 1);
  }
  return undefined;
}
