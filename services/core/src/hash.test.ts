// Golden vectors from the reference implementation (Python mmh3, x64arch=False): slots, entry hashes and
// chains are persisted, so this hash may never change.
import { describe, expect, test } from 'vitest';
import { binaryFromBytes } from './binary-string.ts';
import {
  fingerprint,
  hashAdd,
  hashBytes,
  hashChained,
  hashFromBytes,
  hashSubtract,
  hashToBytes,
  hashToHex,
  newHash,
} from './hash.ts';

const text = new TextEncoder();
const fox = text.encode('The quick brown fox jumps over the lazy dog');
const allBytes = Uint8Array.from({ length: 256 }, (_, i) => i);

function hex(bytes: Uint8Array, seed: number): string {
  const out = newHash();
  hashBytes(bytes, seed, out);
  return hashToHex(out);
}

const named: readonly (readonly [name: string, bytes: Uint8Array, seed0: string, seed1: string])[] = [
  ['nothing', new Uint8Array(0), '00000000000000000000000000000000', 'a1d5bef71c6a575b1c6a575b1c6a575b'],
  ['a', text.encode('a'), '3c9394a71bb056551bb056551bb05655', '44f94e086e18a1216e18a1216e18a121'],
  ['hello', text.encode('hello'), 'a044242bf7de91dbb631db9ab631db9a', '715c9390b522293285b598d485b598d4'],
  [
    'one block',
    text.encode('0123456789abcdef'),
    '09447dfb0ad3ae369b1dad48fd3b2b57',
    '243f76dc180f0ada1d915739d6a31131',
  ],
  ['fox', fox, 'c383152f672ceeec6cf67b5d2c1de9e5', '5ed5d48a7161b84c9c3aa78e3e79b6cd'],
  ['0 to 255', allBytes, '8fc8562cdf0345db1ab252d3c0a24c49', '07812d43781f7538c4d1bb95e332f65e'],
];

/** Hash of the first n bytes of (37 i + 11) mod 256, for n = 0 to 33: every tail after 0, 1 and 2 blocks. */
const tailSource = Uint8Array.from({ length: 33 }, (_, i) => (i * 37 + 11) & 255);
const tailsSeed0: readonly string[] = [
  '00000000000000000000000000000000',
  '3c892a1a6bb55d826bb55d826bb55d82',
  '6a085be2e0376694e0376694e0376694',
  '47d55defd3e14f81d3e14f81d3e14f81',
  '70ef21d08e0afabf8e0afabf8e0afabf',
  'f5d9bda19789b5fc03ef3e2503ef3e25',
  '19c60411a21f3a534ef386cf4ef386cf',
  '3f3efbfe4e68f70cde48c0f2de48c0f2',
  'd54101fc67909af83863e1403863e140',
  '385fdd372cc99d0fd92a38dd15e3f0c0',
  '089771be12ff318b228c067f68031e35',
  'b0ddd8b7682cff027c05eb5c3bd76428',
  '8b8bbe6ba2e2dd928a9e7c42c2aafe04',
  '29daedcb2c887c107f08ab3bc3e04514',
  '425dbe3b67293b264d89a8086d80d7f5',
  '3d1634e81c11c188a99f55031c796271',
  '73203aaa4518c4a88241f0ade72356b3',
  'c08d07c51f51e3fbb00bde9e8b53e0ae',
  '6b1ed112e85201ee46446fb051f56389',
  '4a36bd6bda96aa9c96fa98c62c6b5ee4',
  'd8dec8ff23e823694e338059acb58f58',
  'ef44e186ebec85f183d5fa14acc60605',
  '08181ff4798a1eb50515f7f0ecf3872c',
  '030fe46a235b4e2e6775bfafcbfa3f73',
  'b9f9b3f76631022e9abdd5fafc372413',
  'c6eb401506ea5eac0bcdf9cc00a2c635',
  'dffe034858f1a814cf92e990d5a419a6',
  'e7d5f37c59a157b95aee7082ff495581',
  'fe915c3b49b45e3c4d466ee760e523a2',
  'eaed69f5f3883e898ff21a276e99377b',
  'ecd77fdb92705142afcda53da12a1661',
  '16a41f66c469e564a2c5d9c4182fbcae',
  '37f75fce38b3dfe314b3535d3fe9afab',
  '1752cef28f8d7528a592588b9d3f7e88',
];

const tailsSeed1: readonly string[] = [
  'a1d5bef71c6a575b1c6a575b1c6a575b',
  '0969a1d63859e54e3859e54e3859e54e',
  '9d76d11be748084be748084be748084b',
  'af6f80e8cccc05f7cccc05f7cccc05f7',
  'af163a09bcb3220bbcb3220bbcb3220b',
  'b86bd8636d20448efebfda61febfda61',
  'cb62fdbcd69ef6796f922be86f922be8',
  '2b073870f3eedde66529942365299423',
  '2a03e8ff4a056a3d065e11e0065e11e0',
  'e7d775f06b8b1d5e512c3cdd57331cc1',
  '598d3b1cad18370f93ea969cd43a6705',
  'f67d8204e9053f7f0de57747728cf981',
  '55f624cee14ff8b1f3a462001cd13971',
  '887d9f4f587c35580ec778d296fd11a2',
  'eeeec44e998a148c02cdf5cb3a122a1f',
  '73561baa009ed5ecc31f97c92bc062f2',
  'c8356adb59fb46d0be549ab4b7e06ab0',
  '281822be13b7081aa5fe8056771fe1e3',
  'd0cda37bd9c27ac13465dfbda3c01883',
  '6d6a90be482d95a2bd7498aa701f0871',
  '21094a3447d58157d1da8c6fe7b18fd2',
  '217606ea63aa5c2d0914d2e9b8632aca',
  '9eb428ae1c1019ae2fdce1c5c9f674ff',
  '421147047f457ba82e1fd3df31286c48',
  'e16d54c0424e2df3654734896c1b610b',
  'b976771e914c88cad6719920d3c4cb68',
  'a77240f0641fbcf7cc66a9a6d53bcc3a',
  'fa20df44faa5c4b1bda0699d0637f74b',
  'c7c698d41a2e3998fb0d69fb936db108',
  'b5245be39de91a4aa8f8779bbc2135ba',
  '6114e94386be7572b90c975b201921cd',
  '363ada5bc1f7fd1a878b4d9025977671',
  '5a8040ba3b96a564b00cdd6fb0c617c5',
  '363474061789fdc8d1fd7a3074793190',
];

const seed1 = 0x9747b28c;

describe('MurmurHash3_x86_128', () => {
  test.each(named)('of %s', (_, bytes, first, second) => {
    expect(hex(bytes, 0)).toBe(first);
    expect(hex(bytes, seed1)).toBe(second);
  });

  test('of every tail length after 0, 1 and 2 blocks', () => {
    for (let n = 0; n <= 33; n++) {
      expect(hex(tailSource.subarray(0, n), 0), `${n} bytes`).toBe(tailsSeed0[n]);
      expect(hex(tailSource.subarray(0, n), seed1), `${n} bytes`).toBe(tailsSeed1[n]);
    }
  });

  test('does not depend on where the bytes lie in their buffer', () => {
    const shifted = new Uint8Array(fox.length + 3);
    shifted.set(fox, 3);
    expect(hex(shifted.subarray(3), 0)).toBe(hex(fox, 0));
  });
});

describe('hashes as values', () => {
  test('a chained hash with four equal lanes of seed is a seeded one', () => {
    const out = newHash();
    hashChained(fox, Uint32Array.of(seed1, seed1, seed1, seed1), out);
    expect(hashToHex(out)).toBe(hex(fox, seed1));
  });

  test('every lane of the seed counts, and the seed may be the output', () => {
    const seen = new Set<string>();
    for (let lane = 0; lane < 4; lane++) {
      const hash = newHash();
      hash[lane] = 1;
      hashChained(fox, hash, hash);
      seen.add(hashToHex(hash));
    }
    expect(seen.size).toBe(4);
  });

  test('adding and subtracting come back to the start, in any order, over the bounds of a lane', () => {
    const a = Uint32Array.of(0xffffffff, 1, 0x80000000, 7);
    const b = Uint32Array.of(2, 0xffffffff, 0x80000000, 9);
    const sum = newHash();
    hashAdd(sum, a);
    hashAdd(sum, b);
    expect([...sum]).toEqual([1, 0, 0, 16]);
    hashSubtract(sum, a);
    expect([...sum]).toEqual([...b]);
    hashSubtract(sum, b);
    expect([...sum]).toEqual([0, 0, 0, 0]);
  });

  test('bytes and back', () => {
    const hash = Uint32Array.of(0x01020304, 0xf0e0d0c0, 0, 0xffffffff);
    expect([...hashToBytes(hash).subarray(0, 8)]).toEqual([4, 3, 2, 1, 0xc0, 0xd0, 0xe0, 0xf0]);
    expect([...hashFromBytes(hashToBytes(hash))]).toEqual([...hash]);
  });

  test('a fingerprint is the hash as a binary string', () => {
    const out = newHash();
    hashBytes(fox, 0, out);
    expect(fingerprint(fox)).toBe(binaryFromBytes(hashToBytes(out)));
  });
});
