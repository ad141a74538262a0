// Whether a log still has the very record that a replica applied last. Logs are compared by the time at which they
// stored it: one that lost its end and grew again has another record there, of another time.
import type { Log } from '../log/log.ts';
import type { FoundLog, HeldState } from './judge-log.ts';
import { unlessAborted } from './pause.ts';

export type LogReader = Pick<Log, 'timestampOf'>;

/**
 * Undefined where that cannot be told: nothing was noted, or the record is not in the log any more, since it was
 * trimmed or belongs to the log before. Rejects where nobody can be asked.
 */
/* oxlint-disable-next-line max-params -- what is compared with what */
export async function holdsLast(
  log: LogReader,
  { position, lastNanos }: Pick<HeldState, 'position' | 'lastNanos'>,
  found: FoundLog,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  if (lastNanos === undefined || position < found.first || position > found.last) return undefined;
  const there = await unlessAborted(Promise.resolve(log.timestampOf?.(position)), signal);
  return there === undefined ? undefined : there === lastNanos;
}
