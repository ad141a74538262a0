// MurmurHash3_x86_128 (Austin Appleby, public domain, github.com/aappleby/smhasher): 128 bits from
// 32-bit multiplications, which is what JavaScript does well. The one hash of StateStore: slots, entry
// hashes, the chain, fingerprints. It is fixed for ever, since slots and replica proofs depend on it;
// golden vectors in hash.test.ts come from the reference implementation. It finds damage and
// divergence; it is no defence against a forger, and nothing relies on it for that.
import type { BinaryString } from './binary-string.ts';

/** Four unsigned 32-bit lanes, reused by the caller: no allocation per hash. */
export type Hash128 = Uint32Array;

export function newHash(): Hash128 {
  return new Uint32Array(4);
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;

function fmix(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Writes the hash of the first `length` of `bytes` into `out`. `seed`: unsigned 32 bits. */
export function hashBytes(bytes: Uint8Array, seed: number, out: Hash128, length = bytes.length): void {
  hashSeeded(bytes, length, seed, seed, seed, seed, out);
}

/** As hashBytes, with 128 bits of seed: this is how hashes are chained. */
export function hashChained(bytes: Uint8Array, seed: Hash128, out: Hash128, length = bytes.length): void {
  hashSeeded(bytes, length, seed[0]!, seed[1]!, seed[2]!, seed[3]!, out);
}

/* oxlint-disable-next-line max-params -- the hot loop keeps its lanes in registers */
function hashSeeded(b: Uint8Array, length: number, h1: number, h2: number, h3: number, h4: number, out: Hash128): void {
  const blocks = length & ~15;
  let k1 = 0;
  let k2 = 0;
  let k3 = 0;
  let k4 = 0;
  for (let i = 0; i < blocks; i += 16) {
    k1 = b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24);
    k2 = b[i + 4]! | (b[i + 5]! << 8) | (b[i + 6]! << 16) | (b[i + 7]! << 24);
    k3 = b[i + 8]! | (b[i + 9]! << 8) | (b[i + 10]! << 16) | (b[i + 11]! << 24);
    k4 = b[i + 12]! | (b[i + 13]! << 8) | (b[i + 14]! << 16) | (b[i + 15]! << 24);

    k1 = Math.imul(k1, C1);
    k1 = (k1 << 15) | (k1 >>> 17);
    h1 ^= Math.imul(k1, C2);
    h1 = (h1 << 19) | (h1 >>> 13);
    h1 = (Math.imul(h1 + h2, 5) + 0x561ccd1b) | 0;

    k2 = Math.imul(k2, C2);
    k2 = (k2 << 16) | (k2 >>> 16);
    h2 ^= Math.imul(k2, C3);
    h2 = (h2 << 17) | (h2 >>> 15);
    h2 = (Math.imul(h2 + h3, 5) + 0x0bcaa747) | 0;

    k3 = Math.imul(k3, C3);
    k3 = (k3 << 17) | (k3 >>> 15);
    h3 ^= Math.imul(k3, C4);
    h3 = (h3 << 15) | (h3 >>> 17);
    h3 = (Math.imul(h3 + h4, 5) + 0x96cd1c35) | 0;

    k4 = Math.imul(k4, C4);
    k4 = (k4 << 18) | (k4 >>> 14);
    h4 ^= Math.imul(k4, C1);
    h4 = (h4 << 13) | (h4 >>> 19);
    h4 = (Math.imul(h4 + h1, 5) + 0x32ac3b17) | 0;
  }

  k1 = k2 = k3 = k4 = 0;
  // The tail: bytes blocks..length, each into its lane.
  for (let i = length - 1; i >= blocks; i--) {
    const at = i - blocks;
    const shifted = b[i]! << ((at & 3) * 8);
    if (at >= 12) k4 ^= shifted;
    else if (at >= 8) k3 ^= shifted;
    else if (at >= 4) k2 ^= shifted;
    else k1 ^= shifted;
  }
  const rest = length - blocks;
  if (rest > 12) {
    k4 = Math.imul(k4, C4);
    k4 = (k4 << 18) | (k4 >>> 14);
    h4 ^= Math.imul(k4, C1);
  }
  if (rest > 8) {
    k3 = Math.imul(k3, C3);
    k3 = (k3 << 17) | (k3 >>> 15);
    h3 ^= Math.imul(k3, C4);
  }
  if (rest > 4) {
    k2 = Math.imul(k2, C2);
    k2 = (k2 << 16) | (k2 >>> 16);
    h2 ^= Math.imul(k2, C3);
  }
  if (rest > 0) {
    k1 = Math.imul(k1, C1);
    k1 = (k1 << 15) | (k1 >>> 17);
    h1 ^= Math.imul(k1, C2);
  }

  h1 ^= length;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = fmix(h1);
  h2 = fmix(h2);
  h3 = fmix(h3);
  h4 = fmix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  out[0] = h1;
  out[1] = h2 + h1;
  out[2] = h3 + h1;
  out[3] = h4 + h1;
}

/** The 16 bytes of a hash, each lane little-endian, as the reference writes them on x86. */
export function hashToBytes(hash: Hash128): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let lane = 0; lane < 4; lane++) view.setUint32(lane * 4, hash[lane]!, true);
  return bytes;
}

export function hashFromBytes(bytes: Uint8Array): Hash128 {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.of(
    view.getUint32(0, true),
    view.getUint32(4, true),
    view.getUint32(8, true),
    view.getUint32(12, true),
  );
}

/** 32 hexadecimal digits, in the order of hashToBytes. */
export function hashToHex(hash: Hash128): string {
  let hex = '';
  for (const byte of hashToBytes(hash)) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

/** Adds lane by lane, modulo 2^32: a hash of a multiset is the sum of its members' hashes. */
export function hashAdd(sum: Hash128, part: Hash128): void {
  for (let lane = 0; lane < 4; lane++) sum[lane] = sum[lane]! + part[lane]!;
}

export function hashSubtract(sum: Hash128, part: Hash128): void {
  for (let lane = 0; lane < 4; lane++) sum[lane] = sum[lane]! - part[lane]!;
}

const scratch = newHash();

/** Hash of bytes as 16 characters: for identities kept as keys. */
export function fingerprint(bytes: Uint8Array): BinaryString {
  hashBytes(bytes, 0, scratch);
  return String.fromCharCode(...hashToBytes(scratch));
}
