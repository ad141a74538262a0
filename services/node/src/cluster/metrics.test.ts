import { request } from 'node:http';
import { StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchArchive } from '../checkpoint/archive-metrics.ts';
import { CheckpointMetrics } from '../checkpoint/checkpoint-metrics.ts';
import { watchTrim } from '../checkpoint/trim-metrics.ts';
import { systemTime } from '../time.ts';
import { nodeMetricTable } from './metric-table.ts';
import { NodeMetrics } from './metrics.ts';
import type { MetricsServer } from './metrics-server.ts';
import { openMetricsServer } from './metrics-server.ts';
import type { Replica } from './replica.ts';

let metrics: NodeMetrics;
let replicas: Replica[];

beforeEach(() => {
  metrics = new NodeMetrics();
  replicas = [];
  metrics.watch({
    replicas: () => replicas,
    disk: () => ({ level: 'low', space: { freeBytes: 12, totalBytes: 100 } }),
    connected: () => true,
    epoch: () => 7n,
    ready: () => false,
    reshapes: () => [{ id: 'x', state: 'near', position: '1', entries: 1, bytes: 1, part: 0.5, why: '' }],
    under: () => [{ kind: 'merge', id: 'x', source: 4, target: 2, slots: [], slotsEpoch: 1n }],
    kept: () => [
      { partition: 3, path: 'partitions/3/aside-1', why: 'w', bytes: 100 },
      { partition: 3, path: 'partitions/3/aside-2', why: 'w', bytes: 50 },
    ],
  });
});

function replica(partition: number, state: string, cause?: string): Replica {
  return {
    partition,
    state,
    assignment: {},
    halt: cause === undefined ? undefined : { cause },
    report: () => ({ appliedPosition: '41', storedPosition: '40', lag: 3 }),
    running: { lagMs: 1500, partition: { queuedCommands: 5, writeBufferBytes: 600 } },
  } as unknown as Replica;
}

describe('metrics of a node', () => {
  test('tell what is kept aside, by partition', async () => {
    const text = await metrics.registry.metrics();
    expect(text).toContain('state_replica_kept_folders{partition="3"} 2');
    expect(text).toContain('state_replica_kept_bytes{partition="3"} 150');
  });

  test('are those of the table, with its words', async () => {
    // What a node with a repository has beside its own.
    const nothing = (): undefined => undefined;
    const gauges = { run: nothing, catalog: nothing, silentMs: () => 0, time: systemTime };
    new CheckpointMetrics(metrics.registry).watch(gauges);
    watchArchive(metrics.registry, () => []);
    watchTrim(metrics.registry, () => []);
    const exported = await metrics.registry.getMetricsAsJSON();
    expect(exported.map(({ name }) => name).toSorted()).toEqual(Object.keys(nodeMetricTable).toSorted());
    for (const { name, help } of exported) expect(help).toBe(nodeMetricTable[name as keyof typeof nodeMetricTable]);
  });

  test('say what happened', async () => {
    metrics.appended({ kind: 'appended', position: 1n }, 1000, 3);
    metrics.appended({ kind: 'refused', reason: 'unavailable' }, 1000, 3);
    metrics.appended({ kind: 'unknown', cause: undefined }, 1000, 3);
    metrics.committed(12);
    metrics.mismatched(4);
    metrics.rebuilt(4);
    metrics.refused(new StateStoreError('disk_full', 'no room'));
    metrics.refused(new TypeError('a bug'));
    metrics.reconnected();
    replicas.push(replica(0, 'running'), replica(1, 'halted', 'diverged'), replica(2, 'waiting'));
    const text = await metrics.registry.metrics();
    for (const line of [
      'state_log_appends_total{outcome="appended"} 1',
      'state_log_appends_total{outcome="unavailable"} 1',
      'state_log_appends_total{outcome="unknown"} 1',
      'state_log_append_bytes_sum 3000',
      'state_log_append_duration_seconds_count 3',
      'state_log_append_duration_seconds_bucket{le="0.0025"} 0',
      'state_log_append_duration_seconds_bucket{le="0.005"} 3',
      'state_engine_flush_duration_seconds_sum 0.012',
      'state_hash_mismatches_total{partition="4"} 1',
      'state_replica_rebuilds_total{partition="4"} 1',
      'state_refused_total{reason="disk_full"} 1',
      'state_refused_total{reason="internal"} 1',
      'state_nats_reconnects_total 1',
      'state_nats_connected 1',
      'state_topology_epoch 7',
      'state_node_ready 0',
      'state_disk_free_bytes 12',
      'state_disk_level 1',
      'state_replica_applied_position{partition="0"} 41',
      'state_replica_stored_position{partition="0"} 40',
      'state_replica_lag_positions{partition="0"} 3',
      'state_replica_lag_seconds{partition="0"} 1.5',
      'state_replica_queued_commands{partition="0"} 5',
      'state_replica_write_buffer_bytes{partition="0"} 600',
      'state_replica_state{partition="0",state="running"} 1',
      'state_replica_state{partition="1",state="halted"} 1',
      'state_replica_state{partition="2",state="starting"} 1',
      'state_replica_halted{partition="1",cause="diverged"} 1',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text).not.toContain('state_replica_halted{partition="0"');
  });

  test('say nothing of replicas that are gone', async () => {
    replicas.push(replica(9, 'halted', 'diverged'));
    expect(await metrics.registry.metrics()).toContain('partition="9"');
    replicas.pop();
    expect(await metrics.registry.metrics()).not.toContain('partition="9"');
  });
});

describe('the server of a node', () => {
  let server: MetricsServer;
  let why: string | undefined;

  beforeEach(async () => {
    why = undefined;
    server = await openMetricsServer({ host: '127.0.0.1', port: 0, registry: metrics.registry, notReady: () => why });
  });
  afterEach(() => server.close());

  function ask(path: string, method = 'GET'): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const asking = request({ host: '127.0.0.1', port: server.port, path, method }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => (body += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      asking.on('error', reject);
      asking.end();
    });
  }

  test('tells whether it lives, is ready, and how it does', async () => {
    expect(await ask('/healthz')).toEqual({ status: 200, body: 'ok\n' });
    expect(await ask('/readyz?verbose')).toEqual({ status: 200, body: 'ready\n' });
    why = 'the replica of partition 3 is halted';
    expect(await ask('/readyz')).toEqual({ status: 503, body: `${why}\n` });
    expect((await ask('/metrics')).body).toContain('state_topology_epoch 7');
    expect(await ask('/metrics', 'HEAD')).toEqual({ status: 200, body: '' });
    expect((await ask('/other')).status).toBe(404);
    expect((await ask('/metrics', 'POST')).status).toBe(405);
  });

  test('says which port it cannot have', async () => {
    const again = openMetricsServer({
      host: '127.0.0.1',
      port: server.port,
      registry: metrics.registry,
      notReady: () => why,
    });
    await expect(again).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(String(server.port)) as unknown,
    });
  });

  test('closes also under a client that sends nothing', async () => {
    const asking = request({ host: '127.0.0.1', port: server.port, path: '/', method: 'POST' });
    asking.on('error', () => undefined);
    asking.write('half');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close();
  });
});
