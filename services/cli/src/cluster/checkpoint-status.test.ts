import type { CheckpointRun } from '@statestore/cluster';
import { begunRun, failedRun, MemoryCheckpointRuns, requestedRun } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { expect, test } from 'vitest';
import { checkpointLines, checkpointProblems, checkpointView } from './checkpoint-status.ts';

const asked = requestedRun(undefined, { id: 'r', trigger: 'manual', requestedBy: 'test', nowMs: 0 });
const begun = begunRun(asked, { node: 'n1', boot: 'b' }, { nowMs: 0, deadlineMs: 1000 });
const partition = { state: 'writing', records: 1, bytes: 1024, uploadedBytes: 0, reusedBytes: 0 } as const;
const view = (run?: CheckpointRun) => ({
  repository: '/backups',
  statistics: { created: 2, failed: 1, lastSuccessAtMs: 30_000, lastStoredBytes: 2048 },
  damaged: [],
  ...(run === undefined ? {} : { run }),
});

test('says what is made, how far it is, and what was made last', () => {
  const head = 'Checkpoints in /backups: 2 created, 1 failed; the last one complete 30.0 s ago, 2.0 KiB.';
  expect(checkpointLines(view(), 60_000)).toEqual([head]);
  const partitions = [
    { ...partition, partition: 0, part: 0.5 },
    { ...partition, partition: 1, part: 0 },
  ];
  expect(checkpointLines(view({ ...begun, partitions }), 60_000)).toEqual([
    head,
    '  one is made, conducted by n1: 25 %, 2 records, 2.0 KiB read, about 3 min to go',
  ]);
  const failed = failedRun(begun, { code: 'disk_full', message: 'no room', retryable: true }, 1);
  const lastFailed = failed;
  expect(checkpointLines({ ...view(failed), lastFailed }, 60_000)).toEqual([
    head,
    '  the last one failed 60.0 s ago: no room',
  ]);
  expect(checkpointLines({ ...view({ ...asked, id: 'r2' }), lastFailed }, 60_000).slice(1)).toEqual([
    '  one is asked for',
    '  one failed 60.0 s ago: no room',
  ]);
  expect(checkpointLines(view(), undefined)[0]).toContain('complete at 1970-01-01 00:00:30Z');
  const none = { repository: 'r', statistics: { created: 0, failed: 0 }, damaged: [] };
  expect(checkpointLines(none, 1)[0]).toContain('none complete');
  expect(checkpointLines(undefined, 1)).toEqual([]);
});

test('names what a person should look at, once', async () => {
  const damaged = [{ id: 'c1', why: 'checkpoints/c1: it is cut' }];
  const clearing = { atMs: 1, blockedBy: ['checkpoints/c1: it is cut', 'blocks/c2/x is missing', 'more'] };
  expect(checkpointProblems({ ...view(), damaged, clearing })).toEqual([
    'checkpoint c1 is damaged: checkpoints/c1: it is cut',
    'nothing of old checkpoints is cleared up: blocks/c2/x is missing (and 1 more)',
  ]);
  expect(checkpointProblems({ ...view(), clearing: { atMs: 1, blockedBy: [] } })).toEqual([]);
  const namesake = { checkpoint: 'c9', lineage: 'other', conductor: 'n1', completedAtMs: 1 };
  expect(checkpointProblems({ ...view(), namesake })).toEqual([
    'another cluster of this name keeps checkpoints here: c9, made by its node n1',
  ]);
  expect(checkpointProblems(undefined)).toEqual([]);
  const runs = new MemoryCheckpointRuns();
  const failed = failedRun(begun, { code: 'disk_full', message: 'no room', retryable: true }, 1);
  const { statistics, repository } = view();
  await runs.replaceCatalog(
    { statistics, repository, updatedAtMs: 1, checkpoints: [], runs: [failed], damaged, clearing },
    0,
  );
  expect(await checkpointView(runs)).toEqual({ ...view(), damaged, clearing, lastFailed: failed });
});

test('is silent where there is no repository, or nobody to ask', async () => {
  const runs = new MemoryCheckpointRuns();
  expect(await checkpointView(runs)).toBeUndefined();
  runs.catalog = () => Promise.reject(new StateStoreError('unavailable', 'away'));
  expect(await checkpointView(runs)).toBeUndefined();
  runs.catalog = () => new Promise(() => {});
  // Something else keeps the process alive, as a connection does.
  const alive = setInterval(() => {}, 1000);
  expect(await checkpointView(runs, 50)).toBeUndefined();
  clearInterval(alive);
});
