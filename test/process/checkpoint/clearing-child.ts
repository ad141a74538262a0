// A process that applies retention to a repository and clears it up, again and again, until it is told to stop; then
// it says what it did. Told by its arguments: the folder, the grace in ms, how many checkpoints are kept.
import { applyRetention, collectGarbage, openRepository } from '@statestore/checkpoint';
import type { ClearingReport } from './stages.ts';
import { cluster } from './stages.ts';

const [, , path = '', grace = '0', kept = '2'] = process.argv;

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const repository = await openRepository({ type: 'folder', path, concurrency: 4 });
const report = { rounds: 0, blocked: [] as string[], deleted: 0, blocks: 0, abandoned: 0 };
process.stdout.write('ready\n');
while (!stop.signal.aborted) {
  const policy = { maxCheckpoints: Number(kept), keepMin: Number(kept) };
  const by = `process ${process.pid}`;
  const retained = await applyRetention({ repository, cluster, by, nowMs: Date.now, policy });
  report.deleted += retained.deleted.length;
  const collected = await collectGarbage({ repository, graceMs: Number(grace) });
  report.rounds++;
  if (collected.outcome === 'blocked') report.blocked.push(...collected.why);
  else {
    report.blocks += collected.blocks;
    report.abandoned += collected.abandoned.length;
  }
}
await repository.close();
process.stdout.write(`${JSON.stringify(report satisfies ClearingReport)}\n`);
