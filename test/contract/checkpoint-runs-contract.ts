// What every store of runs of checkpoints must do. Run against the key-value bucket of real nats-servers and the
// memory of one process (checkpoint-runs.test.ts).
import type { CheckpointCatalog, CheckpointRun, CheckpointRuns } from '@statestore/cluster';
import {
  begunRun,
  completedRun,
  failedRun,
  livingRun,
  newRunId,
  requestCheckpoint,
  requestedRun,
  takenOverRun,
} from '@statestore/cluster';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

export interface CheckpointRunsFixture {
  /** One more store of the same cluster, as another process has it. */
  open(): Promise<CheckpointRuns>;
  /** The cluster loses all of it. */
  lose(): Promise<void>;
  dispose(): Promise<void>;
}

const request = (nowMs: number, more: object = {}) => ({
  id: newRunId(nowMs),
  trigger: 'manual' as const,
  requestedBy: 'test',
  nowMs,
  ...more,
});

const catalogOf = (created: number): CheckpointCatalog => ({
  repository: 'memory',
  updatedAtMs: 5,
  checkpoints: Array.from({ length: created }, (_, i) => ({
    id: `00000000-0000-7000-8000-${String(i).padStart(12, '0')}`,
    startedAtMs: i,
    completedAtMs: i + 1,
    trigger: 'manual',
    conductor: 'n1',
    version: '0',
    partitions: 4,
    entries: 9_007_199_254_740_991,
    bytes: 2,
    storedBytes: 3,
    uploadedBytes: 1,
  })),
  runs: [],
  statistics: { created, failed: 0 },
});

export function checkpointRunsContract(name: string, make: () => Promise<CheckpointRunsFixture>): void {
  describe(`runs of checkpoints: ${name}`, () => {
    let fixture: CheckpointRunsFixture;
    let runs: CheckpointRuns;
    let other: CheckpointRuns;

    beforeEach(async () => {
      fixture = await make();
      [runs, other] = await Promise.all([fixture.open(), fixture.open()]);
    });
    afterEach(() => fixture.dispose());

    test('there are none at first', async () => {
      expect([await runs.run(), await runs.catalog()]).toEqual([undefined, undefined]);
    });

    test('a run is kept as it was written, whatever it became', async () => {
      const asked = requestedRun(undefined, request(1000, { scheduledForMs: 900 }));
      const begun = begunRun(asked, { node: 'n1', boot: 'b' }, { nowMs: 2000, deadlineMs: 60_000 });
      const partitions = [
        {
          partition: 0,
          state: 'writing' as const,
          node: 'n2',
          records: 1,
          bytes: 2,
          part: 0.5,
          uploadedBytes: 3,
          reusedBytes: 4,
        },
      ];
      const far = livingRun(begun, { checkpoint: newRunId(1), partitions });
      const error = { code: 'unavailable', message: 'ü', retryable: true };
      const forms: CheckpointRun[] = [asked, begun, far, takenOverRun(far, { node: 'n3', boot: 'c' })];
      forms.push(completedRun(far, 3000), failedRun(far, error, 3000));
      let revision = 0;
      for (const run of forms) {
        const replaced = await runs.replaceRun(run, revision);
        if (replaced.outcome !== 'replaced') throw new Error('it was not');
        ({ revision } = replaced);
        expect(await other.run()).toEqual({ document: run, revision });
      }
      expect(forms.map(({ heartbeat }) => heartbeat)).toEqual([0, 1, 2, 3, 3, 3]);
    });

    test('only what was seen is replaced', async () => {
      const run = requestedRun(undefined, request(1));
      const first = await runs.replaceRun(run, 0);
      expect(first.outcome).toBe('replaced');
      expect(await other.replaceRun({ ...run, attempt: 9 }, 0)).toEqual({ outcome: 'conflict' });
      const { revision } = (await other.run())!;
      expect((await other.replaceRun({ ...run, attempt: 2 }, revision)).outcome).toBe('replaced');
      expect(await runs.replaceRun({ ...run, attempt: 3 }, revision)).toEqual({ outcome: 'conflict' });
      expect((await runs.run())!.document.attempt).toBe(2);
    });

    test('of many that begin the same run, one does', async () => {
      const stores = await Promise.all(Array.from({ length: 8 }, () => fixture.open()));
      for (let round = 0; round < 5; round++) {
        const asked = await requestCheckpoint(runs, request(round));
        expect(asked.outcome).toBe('requested');
        const seen = await Promise.all(stores.map(async (store) => (await store.run())!));
        const outcomes = await Promise.all(
          stores.map(async (store, i) => {
            const { document, revision } = seen[i]!;
            const conductor = { node: `n${i}`, boot: 'b' };
            return store.replaceRun(begunRun(document, conductor, { nowMs: 1, deadlineMs: 1 }), revision);
          }),
        );
        expect(outcomes.filter(({ outcome }) => outcome === 'replaced')).toHaveLength(1);
        const winner = outcomes.findIndex(({ outcome }) => outcome === 'replaced');
        const { document, revision } = (await other.run())!;
        expect(document.conductor?.node).toBe(`n${winner}`);
        await runs.replaceRun(completedRun(document, 2), revision);
      }
    });

    test('one is asked for at a time: all others are told of it', async () => {
      const stores = await Promise.all(Array.from({ length: 8 }, () => fixture.open()));
      const outcomes = await Promise.all(stores.map((store, i) => requestCheckpoint(store, request(i))));
      expect(outcomes.filter(({ outcome }) => outcome === 'requested')).toHaveLength(1);
      expect(new Set(outcomes.map(({ run }) => run.id)).size).toBe(1);
      const { document, revision } = (await runs.run())!;
      await runs.replaceRun(failedRun(document, { code: 'internal', message: '', retryable: false }, 1), revision);
      expect((await requestCheckpoint(other, request(99))).outcome).toBe('requested');
    });

    test('the same request again is the same run; one that nobody takes can be replaced', async () => {
      const asked = request(1, { scheduledForMs: 500 });
      await requestCheckpoint(runs, asked);
      expect(await requestCheckpoint(other, asked)).toMatchObject({ outcome: 'requested', run: { id: asked.id } });
      const next = await requestCheckpoint(other, request(2), ({ state }) => state === 'requested');
      expect(next).toMatchObject({ outcome: 'requested', run: { scheduledForMs: 500 } });
    });

    test('the catalogue is another document', async () => {
      await requestCheckpoint(runs, request(1));
      expect((await runs.replaceCatalog(catalogOf(3), 0)).outcome).toBe('replaced');
      expect(await other.replaceCatalog(catalogOf(1), 0)).toEqual({ outcome: 'conflict' });
      const kept = await other.catalog();
      expect(kept!.document).toEqual(catalogOf(3));
      expect((await other.replaceCatalog(catalogOf(200), kept!.revision)).outcome).toBe('replaced');
      expect((await runs.catalog())!.document.checkpoints).toHaveLength(200);
      expect((await runs.run())!.document.state).toBe('requested');
    });

    test('what is lost begins anew', async () => {
      await requestCheckpoint(runs, request(1));
      await fixture.lose();
      await expect.poll(() => runs.run(), { timeout: 20_000 }).toBeUndefined();
      expect((await requestCheckpoint(other, request(2))).outcome).toBe('requested');
      expect((await runs.run())!.document.requestedAtMs).toBe(2);
    });
  });
}
