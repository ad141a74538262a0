// What every store of the topology must do. Run against the key-value bucket of real nats-servers
// (jetstream-topology-store.test.ts) and the store in memory (memory-topology-store.test.ts).
import type { Topology } from '@statestore/core';
import { StateStoreError, evenTopology, limits } from '@statestore/core';
import type { TopologyStore } from '@statestore/cluster';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

export interface TopologyStoreFixture {
  /** One more store of the same cluster, as another process has it. */
  open(): Promise<TopologyStore>;
  /** The cluster loses all of it. */
  lose(): Promise<void>;
  dispose(): Promise<void>;
}

/** Of that epoch, and told from others of the same epoch by `nodes`. */
export function topologyOf(epoch: bigint, ...nodes: readonly string[]): Topology {
  return {
    ...evenTopology(3, nodes.length === 0 ? ['n1', 'n2', 'n3'] : nodes),
    epoch,
    spec: { replicationFactor: 3, logReplicas: 3, drained: [] },
  };
}

const lineageOf = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

/** Far more than a watch needs, on a machine with much else to do. */
const soon = { timeout: 20_000, interval: 10 };

export function topologyStoreContract(name: string, make: () => Promise<TopologyStoreFixture>): void {
  describe(`topology store contract: ${name}`, () => {
    let fixture: TopologyStoreFixture;
    let store: TopologyStore;
    let other: TopologyStore;

    beforeEach(async () => {
      fixture = await make();
      [store, other] = await Promise.all([fixture.open(), fixture.open()]);
    });
    afterEach(() => fixture.dispose());

    function watching(from: TopologyStore): { readonly epochs: bigint[]; close(): Promise<void> } {
      const epochs: bigint[] = [];
      const watch = from.watch(({ epoch }) => epochs.push(epoch));
      return { epochs, close: () => watch.close() };
    }

    test('has none at first', async () => {
      expect(await store.read()).toBeUndefined();
    });

    test('gives everybody what was put', async () => {
      expect(await store.replace(topologyOf(1n))).toBe('replaced');
      expect(await other.read()).toEqual(topologyOf(1n));
      expect(await other.replace(topologyOf(2n, 'n4'))).toBe('replaced');
      expect(await store.read()).toEqual(topologyOf(2n, 'n4'));
    });

    test('replaces only the epoch before', async () => {
      expect(await store.replace(topologyOf(2n))).toBe('conflict');
      expect(await store.read()).toBeUndefined();
      await store.replace(topologyOf(1n));
      for (const epoch of [1n, 3n]) expect(await other.replace(topologyOf(epoch, 'n9'))).toBe('conflict');
      expect(await store.read()).toEqual(topologyOf(1n));
    });

    test('of many that replace the same, one succeeds, at each epoch', async () => {
      const stores = await Promise.all(Array.from({ length: 8 }, () => fixture.open()));
      for (let epoch = 1n; epoch <= 5n; epoch++) {
        const outcomes = await Promise.all(stores.map((each, i) => each.replace(topologyOf(epoch, `n${i}`))));
        expect(outcomes.filter((outcome) => outcome === 'replaced')).toHaveLength(1);
        expect(await other.read()).toEqual(topologyOf(epoch, `n${outcomes.indexOf('replaced')}`));
      }
    });

    test('restores only where there is none', async () => {
      expect(await store.restore(topologyOf(40n))).toBe('replaced');
      expect(await other.restore(topologyOf(50n))).toBe('conflict');
      expect(await other.replace(topologyOf(41n))).toBe('replaced');
      await fixture.lose();
      await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), soon);
      expect(await store.restore(topologyOf(60n))).toBe('replaced');
      expect(await other.read()).toEqual(topologyOf(60n));
    });

    test('takes none that makes no sense', async () => {
      const senseless = { ...topologyOf(1n), partitions: [] };
      await expect(async () => store.replace(senseless)).rejects.toThrow(StateStoreError);
      expect(await other.read()).toBeUndefined();
    });

    test('a watch tells the present one and each newer one, once', async () => {
      await store.replace(topologyOf(1n));
      await store.replace(topologyOf(2n));
      const seen = watching(other);
      await vi.waitFor(() => expect(seen.epochs).toEqual([2n]), soon);
      const startedMs = performance.now();
      for (let epoch = 3n; epoch <= 20n; epoch++) {
        await store.replace(topologyOf(epoch));
        await vi.waitFor(() => expect(seen.epochs.at(-1)).toBe(epoch), soon);
      }
      expect(seen.epochs).toEqual(Array.from({ length: 19 }, (_, i) => BigInt(i + 2)));
      // Told, not found by reading now and then.
      expect(performance.now() - startedMs).toBeLessThan((18 * limits.bucketRereadMs) / 2);
      await seen.close();
    });

    test('a watch of none waits for the first one', async () => {
      const seen = [watching(store), watching(other)];
      await store.replace(topologyOf(1n));
      for (const { epochs } of seen) await vi.waitFor(() => expect(epochs).toEqual([1n]), soon);
      await Promise.all(seen.map((each) => each.close()));
    });

    test('a watch never goes back, also where the store was lost', async () => {
      const seen = watching(other);
      await store.restore(topologyOf(7n));
      await vi.waitFor(() => expect(seen.epochs).toEqual([7n]), soon);
      await fixture.lose();
      await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), soon);
      await store.restore(topologyOf(6n));
      await store.replace(topologyOf(7n, 'n9'));
      await store.replace(topologyOf(8n));
      await vi.waitFor(() => expect(seen.epochs).toEqual([7n, 8n]), soon);
      await seen.close();
    });

    test('a watch is told of a cluster that was made anew, and of the one before no more', async () => {
      const seen = watching(other);
      await store.restore({ ...topologyOf(7n), lineage: lineageOf(1) });
      await vi.waitFor(() => expect(seen.epochs).toEqual([7n]), soon);
      await fixture.lose();
      await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), soon);
      await store.replace({ ...topologyOf(1n), lineage: lineageOf(2) });
      await vi.waitFor(() => expect(seen.epochs).toEqual([7n, 1n]), soon);
      await fixture.lose();
      await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), soon);
      await store.restore({ ...topologyOf(8n), lineage: lineageOf(1) });
      await store.replace({ ...topologyOf(9n), lineage: lineageOf(3) });
      await vi.waitFor(() => expect(seen.epochs).toEqual([7n, 1n, 9n]), soon);
      await seen.close();
    });

    test('a watch is silent once it is closed, however often', async () => {
      const seen = watching(other);
      await store.replace(topologyOf(1n));
      await vi.waitFor(() => expect(seen.epochs).toEqual([1n]), soon);
      await Promise.all([seen.close(), seen.close()]);
      const still = watching(other);
      await store.replace(topologyOf(2n));
      await vi.waitFor(() => expect(still.epochs.at(-1)).toBe(2n), soon);
      expect(seen.epochs).toEqual([1n]);
      await still.close();
      await seen.close();
    });

    test('a watch that is closed at once is silent', async () => {
      await store.replace(topologyOf(1n));
      const seen = watching(other);
      await seen.close();
      await store.replace(topologyOf(2n));
      await other.read();
      expect(seen.epochs).toEqual([]);
    });

    test('has one secret of 32 bytes, whoever asks first', async () => {
      const stores = await Promise.all(Array.from({ length: 6 }, () => fixture.open()));
      const secrets = await Promise.all(stores.map((each) => each.secret()));
      for (const secret of secrets) {
        expect(secret).toHaveLength(32);
        expect(secret).toEqual(secrets[0]);
      }
      expect(new Set(secrets[0]).size).toBeGreaterThan(8);
      await store.replace(topologyOf(1n));
      expect(await store.secret()).toEqual(secrets[0]);
      expect(await other.read()).toEqual(topologyOf(1n));
    });
  });
}
