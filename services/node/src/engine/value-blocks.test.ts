// That the memory engine's memory stays in proportion to what lives in it.
import { describe, expect, test } from 'vitest';
import { limits } from '@statestore/core';
import { MemoryEngine } from './memory-engine.ts';

function blocksHeld(engine: MemoryEngine): number {
  return new Set([...engine.range({})].map(({ value }) => value.buffer)).size;
}

describe('value blocks', () => {
  test('few values that stay among many that are replaced do not keep all blocks', async () => {
    const engine = new MemoryEngine();
    for (let n = 0; n < 40_000; n++) {
      await engine.put('hot', new Uint8Array(1000).fill(n));
      if (n % 60 === 0) await engine.put(`cold-${n}`, new Uint8Array(100).fill(n));
    }
    const liveBytes = engine.statistics().sizeBytes;
    expect(blocksHeld(engine)).toBeLessThanOrEqual(Math.ceil((liveBytes * 2) / limits.memoryBlockBytes) + 2);
    for (const { key, value } of engine.range({ start: 'cold-', end: 'cold.' })) {
      expect(value.every((byte) => byte === Number(key.slice(5)) % 256)).toBe(true);
    }
  });
});
