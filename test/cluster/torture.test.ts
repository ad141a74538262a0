// A short torture run as a test. Longer ones, and other seeds: npm run torture -- --seconds 60 --seed N --faults all
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeViolations } from '../history/history-checker.ts';
import { faultGroups } from '../torture/faults.ts';
import { impossible, torture } from '../torture/torture.ts';
import { describe } from '../torture/under-load.ts';

/** Of which one may be the restart of everything, one by one. */
const faultsMin = 4;

test('20 s of all faults, seed 1', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'statestore-torture-test-'));
  const historyPath = join(folder, 'history.ndjson');
  const lacking = impossible(new Set(faultGroups));
  const faults = new Set(faultGroups.filter((group) => !lacking.has(group)));
  const print = (text: string): void => console.log(text);
  const report = await torture({ seconds: 20, faultsMin, seed: 1, faults, historyPath, print });
  console.log(describe(report));
  const again = 'again: npm run torture -- --seconds 20 --seed 1 --faults all';
  expect(describeViolations(report.violations), `${again}; history: ${historyPath}`).toBe('');
  expect(report.faults.length).toBeGreaterThanOrEqual(faultsMin);
  await rm(folder, { recursive: true });
});
