// The moment that a restore is to lead to, as people write it.
import { nanosOf } from '../log/jetstream-record.ts';
import type { RestoreMoment } from './restore-plan.ts';

export const momentForms =
  'newest, a time as 2026-11-21T14:00:00.5Z, a position, or positions of all partitions as 0:1200,1:900';

const positionsForm = /^\d{1,4}:\d{1,19}(,\d{1,4}:\d{1,19})*$/;

/** Undefined: it is none of the forms. A position alone is of partition 0. */
export function parseMoment(text: string): RestoreMoment | undefined {
  if (text === 'newest') return { kind: 'newest' };
  if (/^\d{1,19}$/.test(text)) return { kind: 'position', positions: new Map([[0, BigInt(text)]]) };
  if (positionsForm.test(text)) {
    const named = text.split(',').map((each) => each.split(':'));
    const positions = new Map(named.map(([partition, position]) => [Number(partition), BigInt(position!)]));
    return positions.size === named.length ? { kind: 'position', positions } : undefined;
  }
  const nanos = nanosOf(text);
  return nanos === undefined ? undefined : { kind: 'time', nanos };
}
