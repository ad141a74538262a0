import { hashToHex, limits, newHash } from '@statestore/core';
import { expect, test } from 'vitest';
import { notedChain, notedChains, noteOfChain } from './chain-notes.ts';
import { MemoryEngine } from './engine/memory-engine.ts';

test('chains of the last positions are known, and of no others', async () => {
  const engine = new MemoryEngine();
  const last = BigInt(limits.chainNotesMax) + 10n;
  for (let position = 1n; position <= last; position++) {
    const chain = newHash();
    chain[0] = Number(position);
    await engine.commit(noteOfChain({ position, chain }), position);
  }
  const chainOf = (position: bigint): string => {
    const chain = newHash();
    chain[0] = Number(position);
    return hashToHex(chain);
  };
  const noted = notedChains(engine);
  for (const chainAt of [noted, (position: bigint) => notedChain(engine, position)]) {
    expect(chainAt(last)).toBe(chainOf(last));
    expect(chainAt(11n)).toBe(chainOf(11n));
    for (const position of [-1n, 0n, 10n, last + 1n, last + BigInt(limits.chainNotesMax)]) {
      expect(chainAt(position)).toBeUndefined();
    }
  }
  await engine.close();
});
