// What every registry of nodes must do. Run against the key-value bucket of real nats-servers
// (jetstream-node-registry.test.ts) and the registry in memory (memory-node-registry.test.ts).
import { evenTopology, limits } from '@statestore/core';
import type { NodeRegistry, NodeReport, ObservedNode } from '@statestore/cluster';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

export interface NodeRegistryFixture {
  /** One more registry of the same cluster, as another process has it. */
  open(): Promise<NodeRegistry>;
  dispose(): Promise<void>;
}

export function reportOf(name: string, count: number, more: Partial<NodeReport> = {}): NodeReport {
  return {
    name,
    address: `${name}.example:7000`,
    zone: 'z1',
    version: '1.2.3',
    boot: `boot of ${name}`,
    count,
    epoch: '18446744073709551615',
    draining: false,
    disk: { freeBytes: 2 ** 40, totalBytes: 2 ** 41 },
    replicas: [
      {
        partition: 4095,
        state: 'halted',
        haltCause: 'log_regressed',
        reason: 'the log ends at 5; 7 was applied here',
        incarnation: '0198c5a4-0000-4000-8000-000000000001',
        appliedPosition: '9007199254740993',
        storedPosition: '9007199254740992',
        lag: 3,
        chain: '00112233445566778899aabbccddeeff',
        stateHash: 'ffeeddccbbaa99887766554433221100',
        entries: 12,
        bytes: 3456,
      },
    ],
    ...more,
  };
}

/** Far more than a watch needs, on a machine with much else to do. */
const soon = { timeout: 20_000, interval: 10 };

export class Watcher {
  nodes: ReadonlyMap<string, ObservedNode> = new Map();
  calls = 0;
  readonly close: () => Promise<void>;

  constructor(registry: NodeRegistry) {
    const watch = registry.watch((nodes) => {
      this.nodes = nodes;
      this.calls++;
    });
    this.close = () => watch.close();
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.nodes].map(([name, { report }]) => [name, report.count]));
  }

  get live(): string[] {
    return [...this.nodes].flatMap(([name, { live }]) => (live ? [name] : [])).sort();
  }

  get confirmed(): string[] {
    return [...this.nodes].flatMap(([name, { confirmed }]) => (confirmed ? [name] : [])).sort();
  }
}

export function nodeRegistryContract(name: string, make: () => Promise<NodeRegistryFixture>): void {
  describe(`node registry contract: ${name}`, () => {
    let fixture: NodeRegistryFixture;
    let registry: NodeRegistry;
    let other: NodeRegistry;
    const watchers: Watcher[] = [];

    beforeEach(async () => {
      fixture = await make();
      [registry, other] = await Promise.all([fixture.open(), fixture.open()]);
    });
    afterEach(async () => {
      await Promise.all(watchers.splice(0).map((watcher) => watcher.close()));
      await fixture.dispose();
    });

    function watching(from: NodeRegistry): Watcher {
      const watcher = new Watcher(from);
      watchers.push(watcher);
      return watcher;
    }

    const byName = (reports: readonly NodeReport[]): NodeReport[] =>
      [...reports].sort((a, b) => (a.name < b.name ? -1 : 1));

    test('has none at first', async () => {
      expect(await registry.list()).toEqual([]);
    });

    test('lists the last report of each node, whole', async () => {
      const lastTopology = { ...evenTopology(2, ['n1']), epoch: 9n };
      for (let count = 1; count <= 3; count++) await registry.report(reportOf('n1', count, { lastTopology }));
      await other.report(reportOf('n2', 1, { draining: true, replicas: [] }));
      expect(byName(await other.list())).toEqual([
        reportOf('n1', 3, { lastTopology }),
        reportOf('n2', 1, { draining: true, replicas: [] }),
      ]);
    });

    test('takes no node of a name that cannot be', async () => {
      await expect(async () => registry.report(reportOf('no.de', 1))).rejects.toMatchObject({
        code: 'invalid_settings',
      });
    });

    test('a watch tells what there is, and each change', async () => {
      await registry.report(reportOf('n1', 1));
      const watcher = watching(other);
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), soon);
      expect(watcher.nodes.get('n1')).toEqual({ report: reportOf('n1', 1), live: true, confirmed: false });
      for (let count = 2; count <= 10; count++) {
        await registry.report(reportOf('n1', count));
        await registry.report(reportOf('n2', count));
        await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: count, n2: count }), soon);
      }
      expect(watcher.confirmed).toEqual(['n1', 'n2']);
    });

    test('what a watcher was given does not change afterwards', async () => {
      await registry.report(reportOf('n1', 1));
      const watcher = watching(other);
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), soon);
      const before = watcher.nodes;
      await registry.report(reportOf('n1', 2));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 2 }), soon);
      expect(before.get('n1')?.report.count).toBe(1);
    });

    test('a node that says nothing new is not live, until it does; its report stays', async () => {
      const watcher = watching(other);
      await registry.report(reportOf('n1', 1));
      await registry.report(reportOf('n2', 1));
      await vi.waitFor(() => expect(watcher.live).toEqual(['n1', 'n2']), soon);
      const startedMs = performance.now();
      let count = 1;
      const reporting = setInterval(() => void registry.report(reportOf('n2', ++count)), 200);
      try {
        await vi.waitFor(() => expect(watcher.live).toEqual(['n2']), { ...soon, timeout: 30_000 });
        expect(performance.now() - startedMs).toBeGreaterThan(limits.nodeSilenceMs - 1000);
        expect(watcher.nodes.get('n1')).toEqual({ report: reportOf('n1', 1), live: false, confirmed: false });
        // A restarted watcher sees what is there as live, and confirms what changes.
        const fresh = watching(registry);
        await vi.waitFor(() => expect(fresh.confirmed).toEqual(['n2']), soon);
        expect(fresh.live).toEqual(['n1', 'n2']);
        await registry.report(reportOf('n1', 2));
        await vi.waitFor(() => expect(watcher.live).toEqual(['n1', 'n2']), soon);
      } finally {
        clearInterval(reporting);
      }
    });

    test('a node that started anew counts from 1', async () => {
      const watcher = watching(other);
      await registry.report(reportOf('n1', 100));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 100 }), soon);
      await registry.report(reportOf('n1', 1, { boot: 'another' }));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), soon);
      expect(watcher.confirmed).toEqual(['n1']);
    });

    test('a node that was removed is gone, and may come back', async () => {
      const watcher = watching(other);
      await registry.report(reportOf('n1', 1));
      await registry.report(reportOf('n2', 1));
      await vi.waitFor(() => expect(watcher.live).toEqual(['n1', 'n2']), soon);
      await registry.remove('n1');
      await registry.remove('n1');
      await registry.remove('never-was');
      await vi.waitFor(() => expect(watcher.live).toEqual(['n2']), soon);
      expect((await other.list()).map((report) => report.name)).toEqual(['n2']);
      await registry.report(reportOf('n1', 2));
      await vi.waitFor(() => expect(watcher.live).toEqual(['n1', 'n2']), soon);
    });

    test('a watch is silent once it is closed, however often', async () => {
      const watcher = watching(other);
      await registry.report(reportOf('n1', 1));
      await vi.waitFor(() => expect(watcher.counts).toEqual({ n1: 1 }), soon);
      await Promise.all([watcher.close(), watcher.close()]);
      const { calls } = watcher;
      const still = watching(other);
      await registry.report(reportOf('n1', 2));
      await vi.waitFor(() => expect(still.counts).toEqual({ n1: 2 }), soon);
      expect(watcher.calls).toBe(calls);
    });

    test('many nodes', async () => {
      const watcher = watching(other);
      const nodes = Array.from({ length: 200 }, (_, i) => `n${i}`);
      await Promise.all(nodes.map((node) => registry.report(reportOf(node, 1))));
      await vi.waitFor(() => expect(watcher.live).toEqual(nodes.toSorted()), soon);
      expect(await other.list()).toHaveLength(nodes.length);
      expect(watcher.calls).toBeLessThanOrEqual(nodes.length);
    });
  });
}
