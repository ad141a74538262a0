// Checkpoints over HTTP: where there is no repository, where nobody takes what is asked for, and where one is made.
import type { CheckpointRuns } from '@statestore/cluster';
import { MemoryCheckpointRuns } from '@statestore/cluster';
import { describe, expect, test } from 'vitest';
import { keyPath, newStore } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

/** none: no node has a repository. asked: nobody takes what is asked for. made: a node does. */
export type CheckpointsKind = 'none' | 'asked' | 'made';

const absent = '00000000-0000-7000-8000-000000000000';
const made = '01890000-0000-7000-8000-000000000001';

/** As where a node had a repository, and is gone. */
export async function runsThatNobodyTakes(): Promise<CheckpointRuns> {
  const runs = new MemoryCheckpointRuns();
  const entry = {
    id: made,
    startedAtMs: 1_767_225_600_000,
    completedAtMs: 1_767_225_601_500,
    trigger: 'schedule',
    conductor: 'n1',
    version: '0.1.0',
    partitions: 4,
    entries: 12,
    bytes: 1200,
    storedBytes: 700,
    uploadedBytes: 100,
  };
  const statistics = { created: 1, failed: 2, lastDurationMs: 1500, lastSuccessAtMs: 1_767_225_601_500 };
  const damaged = [{ id: absent, why: 'it is cut' }];
  const clearing = { atMs: 1_767_225_602_000, blockedBy: ['it is cut'], blockedSinceMs: 1_767_225_602_000 };
  const told = { repository: '/backups', updatedAtMs: 1, checkpoints: [entry], runs: [], statistics };
  const catalog = { ...told, damaged, clearing };
  await runs.replaceCatalog(catalog, 0);
  return runs;
}

const suites: Readonly<Record<CheckpointsKind, readonly ((clientOf: ClientOf) => void)[]>> = {
  none: [refused],
  asked: [mistakes, asking],
  made: [mistakes, making],
};

export function checkpointsContract(clientOf: ClientOf, kind: CheckpointsKind): void {
  describe('checkpoints', () => {
    for (const suite of suites[kind]) suite(clientOf);
  });
}

function refused(clientOf: ClientOf): void {
  test('are refused by name where there is no repository', async () => {
    const client = clientOf();
    for (const answer of [
      await client.get('/v1/checkpoints'),
      await client.post('/v1/checkpoints'),
      await client.get(`/v1/checkpoints/${absent}`),
    ]) {
      expect([answer.status, answer.json.code]).toEqual([501, 'checkpoints_not_configured']);
      expect(answer.headers['content-type']).toBe('application/problem+json');
    }
  });
}

function mistakes(clientOf: ClientOf): void {
  test('what is wrong in a request is named', async () => {
    const client = clientOf();
    expect((await client.get('/v1/checkpoints?all=true')).json).toMatchObject({ code: 'invalid_parameter' });
    expect((await client.post('/v1/checkpoints?force=true')).json).toMatchObject({ parameter: 'force' });
    const notOne = await client.get('/v1/checkpoints/latest');
    expect([notOne.status, notOne.json.parameter]).toEqual([400, 'id']);
    const none = await client.get(`/v1/checkpoints/${absent}`);
    expect([none.status, none.json.code]).toEqual([404, 'checkpoint_not_found']);
  });
}

function asking(clientOf: ClientOf): void {
  test('one is asked for at a time, and found by its id', async () => {
    const client = clientOf();
    const before = (await client.get('/v1/checkpoints')).json;
    expect(before).toMatchObject({
      repository: '/backups',
      checkpoints: [{ id: made, completedAt: '2026-01-01T00:00:01.500Z', entries: 12 }],
      statistics: { created: 1, failed: 2, lastSuccessAt: '2026-01-01T00:00:01.500Z' },
      damaged: [{ id: absent, why: 'it is cut' }],
      clearing: {
        at: '2026-01-01T00:00:02.000Z',
        blockedBy: ['it is cut'],
        blockedSince: '2026-01-01T00:00:02.000Z',
      },
    });
    expect(before.run).toBeUndefined();
    const asked = await client.post('/v1/checkpoints');
    expect([asked.status, asked.json.state, asked.json.trigger]).toEqual([202, 'requested', 'manual']);
    expect(asked.headers['location']).toBe(`/v1/checkpoints/${asked.json.id}`);
    const again = await client.post('/v1/checkpoints');
    expect([again.status, again.json.code, again.json.run]).toEqual([409, 'checkpoint_running', asked.json.id]);
    const { json } = await client.get(asked.headers['location'] as string);
    expect(json).toEqual({ run: asked.json });
    expect((await client.get(`/v1/checkpoints/${made}`)).json.checkpoint.id).toBe(made);
    expect((await client.get('/v1/checkpoints')).json.run).toEqual(asked.json);
  });
}

function making(clientOf: ClientOf): void {
  test('one is made, with what was written, and told of', async () => {
    const client = clientOf();
    await client.put(keyPath(newStore(), 'k'), 'x'.repeat(1000));
    const asked = await client.post('/v1/checkpoints');
    expect(asked.status).toBe(202);
    const where = asked.headers['location'] as string;
    await expect
      .poll(async () => (await client.get(where)).json, { timeout: 60_000 })
      .toMatchObject({ run: { state: 'completed', part: 1 }, checkpoint: { trigger: 'manual', partitions: 4 } });
    const { run, checkpoint } = (await client.get(where)).json;
    expect(checkpoint.id).toBe(run.checkpoint);
    expect([checkpoint.entries > 0, checkpoint.bytes >= 1000, checkpoint.storedBytes > 0]).toEqual([true, true, true]);
    expect((await client.get(`/v1/checkpoints/${checkpoint.id}`)).json).toEqual({ run, checkpoint });
    const list = (await client.get('/v1/checkpoints')).json;
    expect(list).toMatchObject({
      checkpoints: [{ id: checkpoint.id }],
      statistics: { created: 1, failed: 0 },
      damaged: [],
    });
  });
}
