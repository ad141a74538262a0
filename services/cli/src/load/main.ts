// `npm run load`: loads a data set of any size through the HTTP API, and says honestly what became of it.
// Exit code 0: every entry is in the store (and, with --verify, was read back equal); 1: not so;
// 2: the settings are wrong; 130: interrupted.
import { writeFile } from 'node:fs/promises';
import { StateStoreError } from '@statestore/core';
import { openInput } from './input.ts';
import { verify, write } from './load.ts';
import type { Pass } from './load.ts';
import { showProgress } from './progress.ts';
import type { LoadSettings } from './settings.ts';
import { loadSettings } from './settings.ts';
import type { PhaseSummary } from './totals.ts';
import { Totals, summarize } from './totals.ts';

async function timed<T>(title: string, pass: Pass, run: () => Promise<T>): Promise<[T, PhaseSummary]> {
  const progress = showProgress(title, pass.input, pass.totals);
  const began = performance.now();
  try {
    const outcome = await run();
    return [outcome, summarize(pass.totals, (performance.now() - began) / 1000)];
  } finally {
    progress.stop();
  }
}

function print(title: string, summary: PhaseSummary): void {
  const { latencyMs } = summary;
  const some = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([code, count]) => `${count} ${code}`)
      .join(', ') || 'none';
  const rows = [
    `${title} ${summary.entries} entries, ${(summary.bytes / 1e6).toFixed(1)} MB in ${summary.seconds.toFixed(1)} s`,
    `  speed       ${summary.entriesPerSecond.toFixed(0)} entries/s, ${summary.megabytesPerSecond.toFixed(1)} MB/s`,
    `  calls       ${summary.calls}; ms: p50 ${latencyMs.p50.toFixed(1)}, p90 ${latencyMs.p90.toFixed(1)},` +
      ` p99 ${latencyMs.p99.toFixed(1)}, max ${latencyMs.max.toFixed(1)}`,
    `  retries     ${some(summary.retriedBy)}`,
    `  refused     ${some(summary.refused)}`,
    `  unreadable  ${summary.badRecords || 'none'}`,
    `  duplicates  ${summary.duplicates || 'none'}${summary.duplicates > 0 ? ' (of each key the last one counts)' : ''}`,
    ...(title === 'verified' ? [`  mismatches  ${summary.mismatches || 'none'}`] : []),
    ...summary.examples.map((example) => `    ${example}`),
  ];
  process.stdout.write(`${rows.join('\n')}\n`);
}

async function run(settings: LoadSettings, signal: AbortSignal): Promise<number> {
  const input = await openInput(settings.file, settings.verify);
  const summary: { loaded?: PhaseSummary; verified?: PhaseSummary } = {};
  let failed = 0;
  try {
    const loading: Pass = { settings, input, totals: new Totals(), signal };
    const [lastLines, loaded] = await timed('loading', loading, () => write(loading));
    summary.loaded = loaded;
    failed += loading.totals.failed;
    print('loaded', loaded);
    if (settings.verify && !signal.aborted) {
      input.readBytes = 0;
      const verifying: Pass = { settings, input, totals: new Totals(), signal };
      const [, verified] = await timed('verifying', verifying, () => verify(verifying, lastLines));
      summary.verified = verified;
      failed += verifying.totals.failed;
      print('verified', verified);
    }
  } finally {
    await input.close();
    if (settings.json !== undefined) await writeFile(settings.json, `${JSON.stringify(summary, undefined, 2)}\n`);
  }
  if (signal.aborted) return 130;
  return failed === 0 ? 0 : 1;
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
try {
  const settings = loadSettings(process.argv.slice(2));
  if (settings !== undefined) process.exitCode = await run(settings, interrupted.signal);
} catch (cause) {
  if (!(cause instanceof StateStoreError)) throw cause;
  process.stderr.write(`${cause.message}\n${cause.hint === undefined ? '' : `${cause.hint}\n`}`);
  process.exitCode = cause.code === 'invalid_settings' ? 2 : 1;
}
