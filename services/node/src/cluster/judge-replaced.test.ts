import { describe, expect, test } from 'vitest';
import type { Replaced, Replacement } from './judge-replaced.ts';
import { whyKept } from './judge-replaced.ts';

const own = 'a'.repeat(32);
const other = 'b'.repeat(32);

function held(position: bigint, change: Partial<Replaced> = {}): Replaced {
  return { position, incarnation: 'one', chain: own, condemned: undefined, durable: true, ...change };
}

function copy(change: Partial<Replacement> = {}): Replacement {
  return { position: 50n, chain: other, chainAt: () => undefined, incarnation: 'two', ...change };
}

describe('data that a copy replaces', () => {
  test('go where they are nothing, or an earlier part of its history', () => {
    expect(whyKept(held(0n, { incarnation: undefined }), copy())).toBeUndefined();
    expect(whyKept(held(50n), copy({ chain: own }))).toBeUndefined();
    expect(whyKept(held(7n), copy({ chainAt: (at) => (at === 7n ? own : other) }))).toBeUndefined();
  });

  test('are kept where they are of another history', () => {
    expect(whyKept(held(50n), copy())).toContain(other);
    expect(whyKept(held(7n), copy({ chainAt: () => other }))).toContain(other);
    expect(whyKept(held(51n), copy({ chain: own, chainAt: () => own }))).toContain('ahead');
  });

  test('are kept where nobody can tell any more', () => {
    expect(whyKept(held(7n), copy())).toContain('so long ago');
    expect(whyKept(held(7n, { incarnation: 'two' }), copy())).toContain('so long ago');
  });

  test('go where they were old anyway: saved from memory, of the log that is followed', () => {
    expect(whyKept(held(7n, { incarnation: 'two', durable: false }), copy())).toBeUndefined();
    expect(whyKept(held(7n, { durable: false }), copy())).toContain('so long ago');
    const differs = copy({ chainAt: () => other });
    expect(whyKept(held(7n, { incarnation: 'two', durable: false }), differs)).toContain(other);
  });

  const wrong = { cause: 'diverged', why: 'its state is wrong', kept: false } as const;

  test('are kept where they were found to be of another history', () => {
    const condemned = { ...wrong, kept: true };
    expect(whyKept(held(7n, { condemned }), copy({ chainAt: () => own }))).toBe('its state is wrong');
    expect(whyKept(held(0n, { condemned }), copy())).toBe('its state is wrong');
  });

  test('are judged by their history all the same where only their state was found to be wrong', () => {
    expect(whyKept(held(7n, { condemned: wrong }), copy({ chainAt: () => own }))).toBeUndefined();
    expect(whyKept(held(7n, { condemned: wrong }), copy({ chainAt: () => other }))).toContain(other);
    expect(whyKept(held(7n, { condemned: wrong }), copy())).toContain('so long ago');
    expect(whyKept(held(51n, { condemned: wrong }), copy())).toContain('ahead');
  });
});
