// The settings of a node that are about checkpoints: where they are kept (the table of services/checkpoint), when
// they are made, how many stay.
import type { RepositorySettings } from '@statestore/checkpoint';
import { repositoryFrom, repositoryTable } from '@statestore/checkpoint';
import { limits, StateStoreError } from '@statestore/core';
import type { CheckpointSettings } from '@statestore/node';
import { checkInterval, Schedule } from '@statestore/node';
import { z } from 'zod';
import type { Setting, SettingsOf } from './settings.ts';
import { flag, wholeNumber } from './settings.ts';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3600_000, d: 24 * 3600_000 };

/** As a TTL is written. */
export function duration(help: string, fallback: string): Setting<number | undefined> {
  return {
    schema: z
      .string()
      .regex(/^\d{1,9}(ms|s|m|h|d)$/)
      .transform((text) => Number.parseInt(text, 10) * unitsMs[text.replace(/^\d+/, '')]!)
      .refine((ms) => ms >= 1 && ms <= limits.checkpointIntervalMsMax)
      .optional(),
    allowed: 'a duration of at most 366d: 500ms, 30s, 15m, 12h, 7d',
    help,
    fallback,
  };
}

const anyText = z.string().min(1).max(200).optional();

export const checkpointSettings = {
  ...repositoryTable,
  checkpointSchedule: {
    schema: anyText,
    allowed: 'cron of five fields: minute, hour, day of the month, month, day of the week',
    help: 'when checkpoints are made',
    fallback: 'only when asked for',
    notWith: 'checkpointInterval',
  } satisfies Setting<string | undefined>,
  checkpointTimeZone: {
    schema: anyText,
    allowed: 'an IANA name, such as Europe/Berlin',
    help: 'time zone of the schedule',
    fallback: 'UTC',
    onlyWith: 'checkpointSchedule',
  } satisfies Setting<string | undefined>,
  checkpointInterval: duration('makes one every so often, instead of a schedule', 'none'),
  checkpointMinInterval: duration(
    'the schedule keeps this long between two checkpoints',
    `${limits.checkpointMinIntervalMsDefault / 1000}s`,
  ),
  checkpointSuspend: flag('the schedule asks for nothing; by hand it can be done'),
  checkpointsMax: {
    schema: wholeNumber(limits.checkpointsKeptMin, limits.checkpointCatalogMax).optional(),
    allowed: `${limits.checkpointsKeptMin} to ${limits.checkpointCatalogMax}`,
    help: 'at most so many are kept',
    fallback: 'all',
  } satisfies Setting<number | undefined>,
  checkpointMaxAge: duration(
    `older ones are deleted, but for the newest ${limits.checkpointsKeptMin}`,
    'none is too old',
  ),
  checkpointLevel: {
    schema: wholeNumber(1, limits.checkpointLevelMax).default(limits.checkpointLevelDefault),
    allowed: `1 to ${limits.checkpointLevelMax}`,
    help: 'level of zstd',
    fallback: String(limits.checkpointLevelDefault),
  } satisfies Setting<number>,
  checkpointDeadline: duration(
    'one that is not complete by then is given up',
    `${limits.checkpointDeadlineMs / 3600_000}h`,
  ),
  checkpointLookInterval: duration(
    'how often a node looks whether the repository answers, and what was deleted by hand',
    `${limits.checkpointLookMs / 1000}s`,
  ),
  archiveOff: flag('logs are not archived: only the moments of checkpoints can be restored'),
  archiveInterval: duration(
    'how long a batch waits at most before it is archived',
    `${limits.archiveIntervalMs / 1000}s`,
  ),
  checkpointOnShutdown: flag('makes a final one when the process is asked to stop'),
  checkpointShutdownTimeout: duration(
    'how long the final one may take; the process stops that much later',
    `${limits.checkpointShutdownMs / 1000}s`,
  ),
};

export interface NodeCheckpoints {
  readonly repository: RepositorySettings;
  /** Undefined: logs are not archived. */
  readonly archiveIntervalMs: number | undefined;
  readonly settings: CheckpointSettings;
}

type Given = SettingsOf<typeof checkpointSettings>;

/** Undefined: no repository is set. Throws `invalid_settings`. `fallback`: the repository where none is named. */
export function checkpointsOf(given: Given, fallback?: RepositorySettings): NodeCheckpoints | undefined {
  const schedule = {
    cron: given.checkpointSchedule,
    timeZone: given.checkpointTimeZone,
    intervalMs: given.checkpointInterval,
    minIntervalMs: given.checkpointMinInterval ?? limits.checkpointMinIntervalMsDefault,
    suspend: given.checkpointSuspend,
  };
  if (given.checkpointInterval !== undefined) checkInterval('--checkpoint-interval', given.checkpointInterval);
  void new Schedule(schedule);
  const shutdownMs = given.checkpointShutdownTimeout ?? limits.checkpointShutdownMs;
  const deadlineMs = given.checkpointDeadline ?? limits.checkpointDeadlineMs;
  if (shutdownMs > limits.checkpointShutdownMsMax)
    throw tooLong('--checkpoint-shutdown-timeout', shutdownMs, limits.checkpointShutdownMsMax);
  if (given.checkpointLookInterval !== undefined && given.checkpointLookInterval < limits.checkpointLookMsMin)
    throw new StateStoreError(
      'invalid_settings',
      `--checkpoint-look-interval is ${given.checkpointLookInterval} ms; it may be at least ${limits.checkpointLookMsMin} ms`,
    );
  // What deletes garbage takes what is older than the grace for given up.
  if (deadlineMs > limits.checkpointDeadlineMs)
    throw tooLong('--checkpoint-deadline', deadlineMs, limits.checkpointDeadlineMs);
  const repository = repositoryFrom(given) ?? fallback;
  if (repository === undefined) {
    if (schedule.cron === undefined && schedule.intervalMs === undefined && !given.checkpointOnShutdown)
      return undefined;
    throw new StateStoreError('invalid_settings', 'checkpoints are to be made, but no repository is set', {
      hint: 'say where they are kept: --repository, or --repository-type',
    });
  }
  // Where nobody asked for checkpoints, nothing would ever clear the archive up.
  const isAsked = repository !== fallback || schedule.cron !== undefined || schedule.intervalMs !== undefined;
  const archives = !given.archiveOff && (isAsked || given.archiveInterval !== undefined);
  return {
    repository,
    archiveIntervalMs: archives ? (given.archiveInterval ?? limits.archiveIntervalMs) : undefined,
    settings: {
      schedule,
      maxCheckpoints: given.checkpointsMax,
      maxAgeMs: given.checkpointMaxAge,
      level: given.checkpointLevel,
      deadlineMs,
      ...(given.checkpointLookInterval === undefined ? {} : { lookMs: given.checkpointLookInterval }),
      ...(given.checkpointOnShutdown ? { shutdownMs } : {}),
    },
  };
}

function tooLong(name: string, ms: number, max: number): StateStoreError {
  return new StateStoreError('invalid_settings', `${name} is ${ms} ms; it may be at most ${max} ms`);
}
