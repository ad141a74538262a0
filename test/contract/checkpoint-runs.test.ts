// Runs of checkpoints, in memory and in a key-value bucket of real nats-servers; and documents that are damaged.
import type { CheckpointRuns } from '@statestore/cluster';
import {
  checkpointsBucket,
  decodeCatalog,
  decodeRun,
  encodeRun,
  jetStreamCheckpointRuns,
  MemoryCheckpointRuns,
  newRunId,
  requestCheckpoint,
  requestedRun,
  RunSight,
} from '@statestore/cluster';
import { Kvm } from '@nats-io/kv';
import { describe, expect, test } from 'vitest';
import { withBucketServers } from './bucket-servers.ts';
import { checkpointRunsContract } from './checkpoint-runs-contract.ts';

checkpointRunsContract('memory', async () => {
  const runs = new MemoryCheckpointRuns();
  return { open: async () => runs, lose: async () => runs.lose(), dispose: async () => {} };
});

withBucketServers('runs', (these) => {
  const open = async (cluster: string): Promise<CheckpointRuns> =>
    jetStreamCheckpointRuns(await these.connection(), cluster, { replicas: these.servers });

  checkpointRunsContract(`key-value bucket of ${these.servers}`, async () => {
    const cluster = these.newCluster();
    return {
      open: () => open(cluster),
      lose: async () =>
        void (await (await new Kvm(await these.connection()).open(checkpointsBucket(cluster))).destroy()),
      dispose: async () => {},
    };
  });

  test('a key that a person removed is as none', async () => {
    const cluster = these.newCluster();
    const runs = await open(cluster);
    const asked = { trigger: 'manual', requestedBy: 'test', nowMs: 1 } as const;
    await requestCheckpoint(runs, { ...asked, id: newRunId(1) });
    await (await new Kvm(await these.connection()).open(checkpointsBucket(cluster))).delete('run');
    expect(await runs.run()).toBeUndefined();
    expect((await requestCheckpoint(runs, { ...asked, id: newRunId(2) })).outcome).toBe('requested');
  });

  test('what cannot be asked is unavailable', async () => {
    const made = await these.connection();
    const runs = jetStreamCheckpointRuns(made, 'closed', { replicas: these.servers });
    await made.close();
    await expect(runs.run()).rejects.toMatchObject({ code: 'unavailable' });
    const run = requestedRun(undefined, { id: 'x', trigger: 'manual', requestedBy: '', nowMs: 1 });
    await expect(runs.replaceRun(run, 1)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('documents of runs', () => {
  const text = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));
  const run = requestedRun(undefined, { id: newRunId(1), trigger: 'schedule', requestedBy: 'n1', nowMs: 1 });

  test('of another format, or damaged, are refused by name', () => {
    expect(decodeRun(encodeRun(run))).toEqual(run);
    expect(decodeRun(text({ format: 1, ...run, later: 'field' }))).toMatchObject(run);
    expect(() => decodeRun(text({ ...run, format: 2 }))).toThrow(/format 2; this version knows 1/);
    for (const [field, value] of Object.entries({
      id: 1,
      state: 'asleep',
      trigger: '',
      heartbeat: '1',
      partitions: {},
      conductor: 'n1',
      error: [],
      scheduledForMs: -1,
    }))
      expect(() => decodeRun(text({ format: 1, ...run, [field]: value })), field).toThrow(field);
    for (const bytes of [Uint8Array.of(0xff), text([]), text(null)]) expect(() => decodeRun(bytes)).toThrow(/damaged/);
    expect(() => decodeCatalog(text({ format: 1 }))).toThrow(/checkpoints/);
  });
});

test('a run that stands still is seen by the clock of who looks', () => {
  const sight = new RunSight();
  const run = requestedRun(undefined, { id: newRunId(1), trigger: 'manual', requestedBy: 'n1', nowMs: 1 });
  expect([sight.stillMs(undefined, 5), sight.stillMs(run, 10), sight.stillMs(run, 25)]).toEqual([5, 0, 15]);
  expect(sight.stillMs({ ...run, heartbeat: 1 }, 30)).toBe(0);
  expect(sight.stillMs({ ...run, heartbeat: 1, partitions: [] }, 90)).toBe(60);
});
