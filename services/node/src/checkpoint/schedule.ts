// When the next checkpoint is due: cron in a time zone, or an interval. A function of times that are given to it;
// asking for the checkpoint is the conductor's business. Cron is read by croner.
import { Cron } from 'croner';
import { limits, StateStoreError } from '@statestore/core';

export interface ScheduleSettings {
  /** Five fields: minute, hour, day of the month, month, day of the week. Not with `intervalMs`. */
  readonly cron?: string | undefined;
  /** Of the cron, by its IANA name. Default: UTC. */
  readonly timeZone?: string | undefined;
  /** Every so often, counted from 1970, so that all nodes mean the same moments. */
  readonly intervalMs?: number | undefined;
  /** Between any checkpoint and one of the schedule. */
  readonly minIntervalMs: number;
  /** The schedule asks for nothing. */
  readonly suspend: boolean;
}

/** What is known of the past; all by the clocks of nodes, ms since 1970. */
export interface ScheduleBase {
  /** The last moment that a checkpoint was asked for by schedule, or one was begun; undefined: never. */
  readonly scheduledForMs: number | undefined;
  /** When the last run of any kind was asked for. */
  readonly requestedAtMs: number | undefined;
  /** When this process began: earlier moments are none of its own, where nothing else is known. */
  readonly sinceMs: number;
}

export class Schedule {
  readonly #settings: ScheduleSettings;
  readonly #cron: Cron | undefined;

  /** Throws `invalid_settings`. */
  constructor(settings: ScheduleSettings) {
    const { cron, intervalMs, timeZone } = settings;
    if (cron !== undefined && intervalMs !== undefined)
      throw invalid('a schedule and an interval are given; it may be one of them');
    if (timeZone !== undefined && cron === undefined) throw invalid('a time zone is given, but no schedule');
    this.#settings = settings;
    this.#cron = cron === undefined ? undefined : parsedCron(cron, timeZone ?? 'UTC');
  }

  /** Strictly later than `ms`; undefined: never. */
  nextAfter(ms: number): number | undefined {
    const { intervalMs } = this.#settings;
    if (intervalMs !== undefined) return (Math.floor(ms / intervalMs) + 1) * intervalMs;
    return this.#cron?.nextRun(new Date(ms))?.getTime();
  }

  /** Of however many moments that passed, one checkpoint is due. */
  isDue({ scheduledForMs, requestedAtMs, sinceMs }: ScheduleBase, nowMs: number): boolean {
    const { suspend, minIntervalMs } = this.#settings;
    if (suspend) return false;
    // One of a clock that was far ahead must not keep the schedule from going on.
    const isOfUse = scheduledForMs !== undefined && scheduledForMs <= nowMs + limits.checkpointClockAheadMs;
    const next = this.nextAfter(isOfUse ? scheduledForMs : sinceMs);
    if (next === undefined || next > nowMs) return false;
    const agoMs = requestedAtMs === undefined ? Infinity : nowMs - requestedAtMs;
    return agoMs < 0 || agoMs >= minIntervalMs;
  }
}

function parsedCron(pattern: string, timezone: string): Cron {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch (cause) {
    throw invalid(`the time zone is ${JSON.stringify(timezone)}; it may be an IANA name, such as Europe/Berlin`, cause);
  }
  const allowed = 'it may be five fields: minute, hour, day of the month, month, day of the week';
  let cron: Cron;
  try {
    cron = new Cron(pattern, { timezone, paused: true, mode: '5-part' });
  } catch (cause) {
    const why = cause instanceof Error ? ` (${cause.message})` : '';
    throw invalid(`the schedule is ${JSON.stringify(pattern)}${why}; ${allowed}`, cause);
  }
  if (cron.nextRun() === null) throw invalid(`the schedule ${JSON.stringify(pattern)} never comes; ${allowed}`);
  return cron;
}

/** Throws `invalid_settings` where an interval is out of bounds. */
export function checkInterval(what: string, ms: number): void {
  const { checkpointIntervalMsMin: min, checkpointIntervalMsMax: max } = limits;
  if (ms < min || ms > max) throw invalid(`${what} is ${ms} ms; it may be ${min} to ${max}`);
}

function invalid(message: string, cause?: unknown): StateStoreError {
  return new StateStoreError('invalid_settings', message, cause === undefined ? {} : { cause });
}
