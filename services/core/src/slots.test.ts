import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryFromText } from './binary-string.ts';
import { slotCount } from './limits.ts';
import { routingKey, slotOf } from './slots.ts';

interface Vector {
  readonly store: string;
  readonly key: string;
  readonly routingKey: string;
  readonly slot: number;
}
const file = new URL('../../../docs/slot-vectors.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: readonly Vector[] };

describe('slots', () => {
  test('there are vectors', () => expect(vectors.length).toBeGreaterThanOrEqual(40));

  test.each(vectors)('$store/$key lies in slot $slot', ({ store, key, routingKey: routing, slot }) => {
    expect(routingKey(binaryFromText(key))).toBe(binaryFromText(routing));
    expect(slotOf(store, binaryFromText(key))).toBe(slot);
  });

  test('keys with one tag lie in one slot, whatever stands around it', () => {
    const tag = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !/[{}]/.test(text));
    const before = fc.string({ maxLength: 20 }).filter((text) => !text.includes('{'));
    fc.assert(
      fc.property(tag, before, fc.string({ maxLength: 20 }), (inside, left, right) => {
        const key = binaryFromText(`${left}{${inside}}${right}`);
        expect(slotOf('s', key)).toBe(slotOf('s', binaryFromText(inside)));
      }),
    );
  });

  test('are spread evenly: 100 000 keys leave no slot empty and fill none three times over', () => {
    const counts = new Uint32Array(slotCount);
    for (let i = 0; i < 100_000; i++) {
      const slot = slotOf('spread', `key-${i}`);
      counts[slot] = counts[slot]! + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(0);
    expect(Math.max(...counts)).toBeLessThan((3 * 100_000) / slotCount);
  });
});
