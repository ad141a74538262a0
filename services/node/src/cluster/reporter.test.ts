import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeReport } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { evenTopology, limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualTime, settled } from '../testing/manual-time.ts';
import { LastTopology } from './last-topology.ts';
import { Reporter } from './reporter.ts';

describe('reports', () => {
  let time: ManualTime;
  let reports: { readonly count: number; readonly atMs: number }[];
  let answer: () => Promise<void>;
  let failures: number;
  let reporter: Reporter;

  beforeEach(() => {
    time = new ManualTime();
    reports = [];
    failures = 0;
    answer = () => Promise.resolve();
    reporter = new Reporter({
      time,
      registry: {
        report: ({ count }) => {
          reports.push({ count, atMs: time.elapsedMs() });
          return answer();
        },
      },
      report: () => ({ name: 'a' }) as unknown as Omit<NodeReport, 'count'>,
      onFailing: () => failures++,
    });
    reporter.begin();
  });

  test('come at once, then once a second, counted', async () => {
    await time.advance(3500);
    expect(reports).toEqual([0, 1, 2, 3].map((at) => ({ count: at + 1, atMs: at * limits.nodeReportMs })));
    await reporter.close();
    await time.advance(5000);
    expect(reports.length).toBe(4);
    expect(time.pending).toBe(0);
  });

  test('do not come before they are begun: the last one may know more', async () => {
    await reporter.close();
    reports = [];
    const registry = { report: async () => void reports.push({ count: 0, atMs: 0 }) };
    const report = () => ({ name: 'a' }) as unknown as Omit<NodeReport, 'count'>;
    const waiting = new Reporter({ time, registry, report, onFailing: () => failures++ });
    waiting.changed();
    await time.advance(3000);
    expect(reports).toEqual([]);
    waiting.begin();
    await time.advance(0);
    expect(reports).toHaveLength(1);
    await waiting.close();
  });

  test('come soon after a change, and not more often than they may', async () => {
    await time.advance(500);
    for (let i = 0; i < 10; i++) {
      reporter.changed();
      await time.advance(20);
    }
    const distances = reports.slice(1).map(({ atMs }, at) => atMs - reports[at]!.atMs);
    expect(reports[1]?.atMs).toBe(500);
    expect(distances.every((distance) => distance >= limits.nodeReportMinMs)).toBe(true);
    expect(reports.length).toBeGreaterThan(2);
    await reporter.close();
  });

  test('one at a time: a change meanwhile comes after it', async () => {
    const slow = Promise.withResolvers<void>();
    answer = () => slow.promise;
    await time.advance(200);
    reporter.changed();
    await time.advance(5000);
    expect(reports.length).toBe(1);
    slow.resolve();
    await time.advance(limits.nodeReportMinMs);
    expect(reports.length).toBe(2);
    await reporter.close();
  });

  test('that fail are told of once in a row, and go on', async () => {
    answer = () => Promise.reject(new Error('away'));
    await time.advance(3500);
    expect([reports.length, failures]).toEqual([4, 1]);
    answer = () => Promise.resolve();
    await time.advance(1000);
    answer = () => Promise.reject(new Error('away'));
    await time.advance(1000);
    expect(failures).toBe(2);
    await reporter.close();
  });
});

describe('the last topology', () => {
  let folder: string;
  let notices: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'statestore-last-'));
    notices = [];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const open = (): Promise<LastTopology> => LastTopology.open(folder, (notice) => notices.push(notice));

  function topology(epoch: bigint): Topology {
    const log = { generation: 1, incarnation: '00000000-0000-4000-8000-000000000001' };
    const { partitions } = evenTopology(2, ['a']);
    return {
      epoch,
      spec: { replicationFactor: 1, logReplicas: 1, drained: [] },
      partitions: partitions.map((each) => ({ ...each, log })),
    };
  }

  test('is there after a restart, the newest one', async () => {
    const last = await open();
    expect(last.topology).toBeUndefined();
    for (let epoch = 1n; epoch <= 20n; epoch++) last.saw(topology(epoch));
    await last.close();
    const next = await open();
    expect(next.topology).toEqual(topology(20n));
    expect(readdirSync(folder)).toEqual(['topology.json']);
    next.saw(topology(21n));
    await next.close();
    expect((await open()).topology?.epoch).toBe(21n);
    expect(notices).toEqual([]);
  });

  test('that cannot be read counts as none, and is told of', async () => {
    writeFileSync(join(folder, 'topology.json'), '{"format":1,"epoch":"x"}');
    const last = await open();
    expect(last.topology).toBeUndefined();
    expect(notices.length).toBe(1);
    last.saw(topology(3n));
    await last.close();
    expect(readFileSync(join(folder, 'topology.json'), 'utf8')).toContain('"3"');
  });

  test('that cannot be written is told of, and nothing else happens', async () => {
    const last = await open();
    rmSync(folder, { recursive: true });
    last.saw(topology(1n));
    await last.close();
    await settled();
    expect(notices).toEqual(['the last topology cannot be written']);
  });
});
