import { expect, test } from 'vitest';
import { nanosOf } from './jetstream-record.ts';

test.each([
  ['2026-11-21T11:16:32.445512416Z', 1795259792445512416n],
  ['2026-11-21T11:16:32.4455124Z', 1795259792445512400n],
  ['2026-11-21T11:16:32.1Z', 1795259792100000000n],
  ['2026-11-21T11:16:32Z', 1795259792000000000n],
  ['1970-01-01T00:00:00.000000001Z', 1n],
])('%s is exact', (text, nanos) => {
  expect(nanosOf(text)).toBe(nanos);
});

test.each(['', 'yesterday', '2026-11-21T11:16:32.1+01:00', '2026-13-21T11:16:32Z'])('%j is none', (text) => {
  expect(nanosOf(text)).toBeUndefined();
});
