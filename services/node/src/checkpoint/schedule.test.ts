import { describe, expect, test } from 'vitest';
import { Schedule, type ScheduleSettings } from './schedule.ts';

const at = (text: string): number => Date.parse(text);
const settings = (more: Partial<ScheduleSettings>): ScheduleSettings => ({
  minIntervalMs: 60_000,
  suspend: false,
  ...more,
});
const night = new Schedule(settings({ cron: '30 2 * * *', timeZone: 'Europe/Berlin' }));
const never = { scheduledForMs: undefined, requestedAtMs: undefined };

describe('a schedule', () => {
  test('by cron is of its time zone, over both changes of the clocks', () => {
    const next = (from: string): string => new Date(night.nextAfter(at(from))!).toISOString();
    expect(next('2026-01-10T12:00:00Z')).toBe('2026-01-11T01:30:00.000Z');
    expect(next('2026-07-10T12:00:00Z')).toBe('2026-07-11T00:30:00.000Z');
    // 02:30 does not exist in the night of the 29th of March, and is there twice on the 25th of October.
    expect(next('2026-03-28T12:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
    expect(next('2026-03-29T01:00:00Z')).toBe('2026-03-30T00:30:00.000Z');
    expect(next('2026-10-24T12:00:00Z')).toBe('2026-10-25T00:30:00.000Z');
    expect(next('2026-10-25T00:30:00Z')).toBe('2026-10-26T01:30:00.000Z');
    expect(new Schedule(settings({ cron: '0 0 1 * *' })).nextAfter(at('2026-01-31T00:00:00Z'))).toBe(
      at('2026-02-01T00:00:00Z'),
    );
  });

  test.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago', 'UTC'])(
    'is once a day, and each half hour once, in %s, whatever becomes of the clocks there',
    (timeZone) => {
      const daily = new Schedule(settings({ cron: '30 2 * * *', timeZone }));
      const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' });
      const days = new Set<string>();
      let [ms, count] = [at('2026-01-01T12:00:00Z'), 0];
      for (; ms < at('2027-01-01T12:00:00Z'); count++) days.add(format.format((ms = daily.nextAfter(ms)!)));
      expect([days.size, count]).toEqual([366, 366]);
      const often = new Schedule(settings({ cron: '*/30 * * * *', timeZone }));
      for (const night of ['03-08', '03-29', '04-05', '09-06', '10-04', '10-25', '11-01']) {
        ms = at(`2026-${night}T00:00:00Z`) - 24 * 3600_000;
        for (let nth = 0; nth < 96; nth++, ms += 1800_000) expect(often.nextAfter(ms)).toBe(ms + 1800_000);
      }
    },
  );

  test('by interval means the same moments on every node', () => {
    const hourly = new Schedule(settings({ intervalMs: 3600_000 }));
    expect(hourly.nextAfter(at('2026-01-10T12:00:00Z'))).toBe(at('2026-01-10T13:00:00Z'));
    expect(hourly.nextAfter(at('2026-01-10T12:59:59.999Z'))).toBe(at('2026-01-10T13:00:00Z'));
  });

  test('none never comes', () => {
    const none = new Schedule(settings({}));
    expect(none.nextAfter(0)).toBeUndefined();
    expect(none.isDue({ ...never, sinceMs: 0 }, at('2026-01-10T12:00:00Z'))).toBe(false);
  });

  test('is due once, however many moments were missed', () => {
    const hourly = new Schedule(settings({ intervalMs: 3600_000 }));
    const scheduledForMs = at('2026-01-10T12:00:00Z');
    const nowMs = at('2026-01-12T09:20:00Z');
    expect(hourly.isDue({ ...never, scheduledForMs, sinceMs: nowMs }, nowMs)).toBe(true);
    const base = { scheduledForMs: nowMs, requestedAtMs: nowMs, sinceMs: nowMs };
    expect(hourly.isDue(base, nowMs + 120_000)).toBe(false);
    expect(hourly.isDue(base, at('2026-01-12T10:00:00Z'))).toBe(true);
  });

  test('misses nothing before it began, where nothing is known', () => {
    const sinceMs = at('2026-01-10T12:20:00Z');
    const hourly = new Schedule(settings({ intervalMs: 3600_000 }));
    expect(hourly.isDue({ ...never, sinceMs }, at('2026-01-10T12:59:59Z'))).toBe(false);
    expect(hourly.isDue({ ...never, sinceMs }, at('2026-01-10T13:00:00Z'))).toBe(true);
  });

  test('keeps its distance from any other run, and from none of a clock that is ahead', () => {
    const hourly = new Schedule(settings({ intervalMs: 3600_000, minIntervalMs: 600_000 }));
    const nowMs = at('2026-01-10T13:00:00Z');
    const due = (requestedAtMs: number): boolean =>
      hourly.isDue({ scheduledForMs: undefined, requestedAtMs, sinceMs: nowMs - 1 }, nowMs);
    expect([due(nowMs - 599_999), due(nowMs - 600_000), due(nowMs + 5)]).toEqual([false, true, true]);
    const ahead = (scheduledForMs: number): boolean =>
      hourly.isDue({ scheduledForMs, requestedAtMs: undefined, sinceMs: nowMs - 1 }, nowMs);
    expect([ahead(at('2099-01-01T00:00:00Z')), ahead(nowMs), ahead(nowMs + 30_000)]).toEqual([true, false, false]);
  });

  test('suspended asks for nothing', () => {
    const paused = new Schedule(settings({ intervalMs: 3600_000, suspend: true }));
    expect(paused.isDue({ ...never, sinceMs: 0 }, at('2026-01-10T13:00:00Z'))).toBe(false);
  });

  test.each<[string, Partial<ScheduleSettings>, RegExp]>([
    ['too few fields', { cron: '* * *' }, /schedule is "\* \* \*".*five fields/],
    ['seconds', { cron: '* * * * * *' }, /five fields/],
    ['a minute that is none', { cron: '61 * * * *' }, /61/],
    ['a day that never comes', { cron: '0 0 30 2 *' }, /never comes/],
    ['a time zone that is none', { cron: '0 0 * * *', timeZone: 'Mars/Olympus' }, /Mars\/Olympus.*IANA/],
    ['a time zone without cron', { timeZone: 'UTC' }, /no schedule/],
    ['two of them', { cron: '0 0 * * *', intervalMs: 3600_000 }, /one of them/],
  ])('%s is refused, named', (_name, wrong, message) => {
    let found: unknown;
    try {
      new Schedule(settings(wrong));
    } catch (error) {
      found = error;
    }
    expect(found).toMatchObject({ code: 'invalid_settings', message: expect.stringMatching(message) as string });
  });
});
