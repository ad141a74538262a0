// Times to live as people write them: 500ms, 30s, 15m, 12h, 7d, never.
import { limits, StateStoreError, type Ttl } from '@statestore/core';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const pattern = /^(\d{1,15})(ms|s|m|h|d)$/;
const never: Ttl = { kind: 'never' };

/** JSON schema pattern of the same. */
export const ttlPattern = '^(never|0*[1-9][0-9]{0,14}(ms|s|m|h|d))$';

/** Throws `invalid_ttl`. */
export function parseTtl(text: string): Ttl {
  if (text === 'never') return never;
  const match = pattern.exec(text);
  if (match === null) throw invalid(text, 'is not a number with a unit');
  const ms = Number(match[1]) * unitsMs[match[2]!]!;
  if (ms === 0) throw invalid(text, 'is zero');
  if (ms > limits.ttlMsMax) throw invalid(text, `is longer than ten years (${limits.ttlMsMax} ms)`);
  return { kind: 'after', ms };
}

function invalid(text: string, why: string): StateStoreError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return new StateStoreError('invalid_ttl', `ttl ${JSON.stringify(shown)} ${why}`, {
    hint: 'Write 500ms, 30s, 15m, 12h, 7d or never.',
  });
}

/** The same duration in its largest whole unit; 0 is `never`. */
export function formatTtl(ms: number): string {
  if (ms === 0) return 'never';
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = unitsMs[unit]!;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** RFC 3339 in UTC with milliseconds, the form of all times in answers. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
