// Invariants 1 to 3 and 6 against the real process: acknowledged writes survive kill -9 at any instant, writes are
// linearizable, retried ones take effect once, refusals change nothing. Other seeds and longer runs:
// npm run kill -- --kills N --seed S
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HistoryEvent } from '../history/history.ts';
import { describeViolations } from '../history/history-checker.ts';
import { runKills } from './kill/run.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-kill-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const kinds = ['write', 'read', 'compareAndSet', 'delete', 'increment', 'append', 'transfer', 'audit', 'writeExpiring'];
const leastOfEach = 20;

/** How many operations of each kind took effect. */
function answered(events: readonly HistoryEvent[]): Record<string, number> {
  const ok: Record<string, number> = {};
  for (const { operation, outcome } of events) {
    if (outcome === 'ok') ok[operation.kind] = (ok[operation.kind] ?? 0) + 1;
  }
  return ok;
}

test('20 kills under load: nothing acknowledged is lost, torn, stale or doubled', async () => {
  const report = await runKills({
    kills: 20,
    seed: 20,
    folder,
    print: () => {},
    isEnough: (events, { unknownAttempts }) =>
      unknownAttempts > leastOfEach && kinds.every((kind) => (answered(events)[kind] ?? 0) > leastOfEach),
  });
  expect(describeViolations(report.violations)).toBe('');
  expect(report.kills).toBeGreaterThanOrEqual(20);
  // And the run was one that could have found something.
  const { events, counts } = report;
  const ok = answered(events);
  for (const kind of kinds)
    expect(ok).toHaveProperty(
      kind,
      expect.toSatisfy((count: number) => count > leastOfEach),
    );
  expect(counts.unknownAttempts).toBeGreaterThan(leastOfEach);
  expect(events.some(({ outcome }) => outcome === 'unknown')).toBe(true);
  expect(
    events.some(
      ({ outcome, attempts, operation }) => outcome === 'ok' && attempts! > 1 && operation.kind === 'increment',
    ),
  ).toBe(true);
}, 300_000);

test('a store that forgets what it acknowledged is found out', async () => {
  const old = join(folder, 'old');
  let hasOld = false;
  let rolledBack = false;
  const report = await runKills({
    kills: 5,
    seed: 5,
    folder,
    print: () => {},
    // The data of an earlier kill comes back at a later one.
    async afterKill(_kill, dataFolder) {
      if (!hasOld) {
        await cp(dataFolder, old, { recursive: true });
        hasOld = true;
      } else if (!rolledBack) {
        await rm(dataFolder, { recursive: true });
        await cp(old, dataFolder, { recursive: true });
        rolledBack = true;
      }
    },
  });
  expect(rolledBack).toBe(true);
  const rules = new Set(report.violations.map(({ rule }) => rule));
  expect([...rules]).toEqual(expect.arrayContaining(['lost write', 'revision order']));
}, 300_000);
