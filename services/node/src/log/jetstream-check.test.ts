import type { StreamAnswer, StreamView } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { expect, test } from 'vitest';
import { judgeStream } from './jetstream-check.ts';

const incarnation = '00000000-0000-4000-8000-000000000001';
const other = '00000000-0000-4000-8000-000000000002';

function said(first: bigint, last: bigint, more: Partial<StreamView> = {}): StreamAnswer<StreamView> {
  const metadata = { 'statestore.incarnation': incarnation };
  return {
    kind: 'answered',
    value: { subjects: [], metadata, first, last, sizeBytes: 0, sealed: false, isCurrent: true, ...more },
  };
}

const wanted = { incarnation, next: 10n, known: 9n, wasThere: true };

test.each([
  [1n, 9n],
  [10n, 9n],
  [10n, 10n],
  [1n, 100n],
])('a log of %d to %d has what is wanted next', (first, last) => {
  expect(judgeStream(said(first, last), wanted)).toEqual({ kind: 'good', first, sealed: false });
});

test('what begins later was trimmed, at once', () => {
  expect(judgeStream(said(11n, 20n), wanted)).toEqual({ kind: 'ended', end: { kind: 'trimmed', first: 11n } });
});

test.each([
  ['ends before what was taken', said(1n, 8n), wanted, 8n, incarnation],
  ['ends before what somebody saw', said(1n, 11n), { ...wanted, known: 12n }, 11n, incarnation],
  ['is of another incarnation', said(1n, 20n, { metadata: { 'statestore.incarnation': other } }), wanted, 20n, other],
  ['is no log at all', said(1n, 20n, { metadata: {} }), wanted, 20n, ''],
  ['is gone', { kind: 'absent' } as const, wanted, 0n, ''],
])('a log that %s is suspect', (_, answer, want, last, found) => {
  const end = { kind: 'regressed', last, incarnation: found };
  expect(judgeStream(answer, want)).toEqual({ kind: 'suspect', end, confirmMs: limits.logRegressedConfirmMs });
});

test('one that is absent and was never seen must be so for longer', () => {
  expect(judgeStream({ kind: 'absent' }, { ...wanted, wasThere: false })).toMatchObject({
    confirmMs: limits.logAbsentConfirmMs,
  });
});

test('one that is sealed is read to its end, and is suspect there', () => {
  expect(judgeStream(said(1n, 10n, { sealed: true }), wanted)).toEqual({ kind: 'good', first: 1n, sealed: true });
  const end = { kind: 'regressed', last: 9n, incarnation, sealed: true };
  const confirmMs = limits.logRegressedConfirmMs;
  expect(judgeStream(said(1n, 9n, { sealed: true }), wanted)).toEqual({ kind: 'suspect', end, confirmMs });
});

test.each([
  ['a leader that hears nobody', said(1n, 8n, { isCurrent: false })],
  ['nobody', { kind: 'unanswered', cause: 0 } as const],
  ['an error', { kind: 'refused', code: 10008, cause: 0 } as const],
])('%s says nothing', (_, answer) => {
  expect(judgeStream(answer, wanted)).toEqual({ kind: 'unclear' });
});
