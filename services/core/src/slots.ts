// Which slot a key lies in: murmur3(store name, 0x00, routing key) mod 4096. Fixed for ever; clients of
// other languages test themselves against docs/slot-vectors.json.
import type { BinaryString } from './binary-string.ts';
import { binaryFromText } from './binary-string.ts';
import { hashBytes, newHash } from './hash.ts';
import { keyBytesMax, slotCount, storeNameCharsMax } from './limits.ts';

const buffer = new Uint8Array(storeNameCharsMax * 4 + 1 + keyBytesMax);
const out = newHash();
/** The store whose name the buffer begins with: calls come many in a row for one store. */
let nameInBuffer: string | undefined;
let nameEnd = 0;

/**
 * The part of the key that decides where it lies: what is inside the first `{…}`, so that keys that
 * belong together can be kept together; the whole key where there is none, or where it is empty
 * (the rule of Redis Cluster's hash tags).
 */
export function routingKey(key: BinaryString): BinaryString {
  const open = key.indexOf('{');
  if (open === -1) return key;
  const close = key.indexOf('}', open + 1);
  return close === -1 || close === open + 1 ? key : key.slice(open + 1, close);
}

/** 0 ≤ slot < 4096. The store's name must be valid, and the key 1 to 1024 bytes. */
export function slotOf(store: string, key: BinaryString): number {
  const routing = routingKey(key);
  if (store !== nameInBuffer) writeName(store);
  let at = nameEnd;
  for (let i = 0; i < routing.length; i++) buffer[at++] = routing.charCodeAt(i);
  hashBytes(buffer, 0, out, at);
  return out[0]! % slotCount;
}

function writeName(store: string): void {
  const name = binaryFromText(store);
  nameInBuffer = undefined;
  let at = 0;
  for (let i = 0; i < name.length; i++) buffer[at++] = name.charCodeAt(i);
  buffer[at++] = 0;
  nameEnd = at;
  nameInBuffer = store;
}
