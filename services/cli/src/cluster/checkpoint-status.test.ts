import type { CheckpointRun } from '@statestore/cluster';
import { begunRun, failedRun, MemoryCheckpointRuns, requestedRun } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { expect, test } from 'vitest';
import { checkpointLines, checkpointView } from './checkpoint-status.ts';

const asked = requestedRun(undefined, { id: 'r', trigger: 'manual', requestedBy: 'test', nowMs: 0 });
const begun = begunRun(asked, { node: 'n1', boot: 'b' }, { nowMs: 0, deadlineMs: 1000 });
const partition = { state: 'writing', records: 1, bytes: 1024, uploadedBytes: 0, reusedBytes: 0 } as const;
const view = (run?: CheckpointRun) => ({
  repository: '/backups',
  statistics: { created: 2, failed: 1, lastSuccessAtMs: 30_000, lastStoredBytes: 2048 },
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
    '  one is made, conducted by n1: 25 %, 2.0 KiB read, about 3 min to go',
  ]);
  const failed = failedRun(begun, { code: 'disk_full', message: 'no room', retryable: true }, 1);
  expect(checkpointLines(view(failed), 60_000)).toEqual([head, '  the last one failed: no room']);
  expect(checkpointLines(view(asked), 60_000)[1]).toContain('asked for');
  expect(checkpointLines({ repository: 'r', statistics: { created: 0, failed: 0 } }, 1)[0]).toContain('none complete');
  expect(checkpointLines(undefined, 1)).toEqual([]);
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
