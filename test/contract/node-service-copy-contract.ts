// The part of the contract of NodeService that is about copying a partition's state; node-service-contract.ts
// runs it.
import { describe, expect, test } from 'vitest';
import { defaultTtl, hashToHex, limits, loadState, verifyState } from '@statestore/core';
import type { NodeService, PartitionStatus, StatePart } from '@statestore/link';
import { copyFromPeer } from '../../services/node/src/copy/copy-from-peer.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { codeOf, mutate, put, store, strong, text } from './node-service-fixture.ts';

/** `current`: the service of the test that runs. Partition 0 is empty at first. */
export function copyContract(current: () => NodeService): void {
  const never = new AbortController().signal;
  const statusOf = async (): Promise<PartitionStatus> =>
    (await current().status()).partitions.find(({ partition }) => partition === 0)!;
  /** More than fits the window of a link, so that the node must wait for who takes it slowly. */
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 3 * (limits.linkCopyWindowBytes / (64 * 1024)); i++) {
      const keys = Array.from({ length: 64 }, (_, j) => put(`${i}-${j}`, 'x'.repeat(1024)));
      await current().propose(0, mutate(keys));
    }
  };
  async function all(parts: AsyncIterable<StatePart>): Promise<StatePart[]> {
    const taken: StatePart[] = [];
    for await (const part of parts) taken.push(part);
    return taken;
  }

  describe('copyState', () => {
    test('is the whole state at one position, proved by its own hashes', async () => {
      await fill();
      const stamp = { session: 's'.repeat(16), counter: 1, firstUnanswered: 1, opens: true };
      await current().propose(0, { ...mutate([put('stamped', '1')]), stamp });
      const idempotency = { id: 'i'.repeat(16), fingerprint: 'f'.repeat(16) };
      const ttl = { kind: 'after', ms: 3_600_000 } as const;
      await current().propose(0, { ...mutate([put('expires', '1', { ttl })], { store: 'other' }), idempotency });
      const { appliedPosition, chain, stateHash, entries, incarnation } = await statusOf();
      const engine = new MemoryEngine();
      const copied = await copyFromPeer({
        source: current().copyState(0, { signal: never }),
        engine,
        signal: never,
        expect: { positionMin: appliedPosition, incarnation },
      });
      const state = loadState(engine);
      expect(verifyState(state, engine)).toEqual([]);
      expect({
        position: copied.position,
        chain: copied.chain,
        stateHash: copied.stateHash,
        entries: state.entries,
      }).toEqual({ position: appliedPosition, chain, stateHash, entries });
      expect([state.sessions.size, [...state.stores.keys()].toSorted()]).toEqual([1, [store, 'other']]);
    });

    test('of a partition where nothing ever happened is one last part', async () => {
      expect(await all(current().copyState(1, { signal: never }))).toEqual([{ position: 0n, records: [], total: 0 }]);
    });

    test('comes in parts of bounded size, with everything acknowledged before it was asked for', async () => {
      await fill();
      const { appliedPosition } = await statusOf();
      const parts = await all(current().copyState(0, { signal: never }));
      expect(new Set(parts.map(({ position }) => position))).toEqual(new Set([appliedPosition]));
      expect(parts.filter(({ total }) => total !== undefined)).toEqual([parts.at(-1)]);
      expect(parts.at(-1)!.total).toBe(parts.reduce((sum, { records }) => sum + records.length, 0));
      for (const { records } of parts) {
        expect(records.length).toBeLessThanOrEqual(limits.copyPartRecords);
        const bytes = records.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
        expect(bytes).toBeLessThan(limits.copyPartBytes + limits.valueBytesMax);
      }
    });

    test('is one point in time, however slowly it is taken and whatever is written meanwhile', async () => {
      await fill();
      const before = await statusOf();
      const engine = new MemoryEngine();
      const source = current().copyState(0, { signal: never });
      let written = 0;
      async function* slowly(): AsyncGenerator<StatePart, void> {
        for await (const part of source) {
          await current().propose(0, mutate([put('0-0', `${written}`), put(`new ${written++}`, 'n')]));
          yield part;
        }
      }
      const { position, stateHash } = await copyFromPeer({ source: slowly(), engine, signal: never });
      expect(written).toBeGreaterThan(10);
      expect([position, stateHash]).toEqual([before.appliedPosition, before.stateHash]);
      expect(hashToHex(loadState(engine).chain)).toBe(before.chain);
      expect(text((await current().get(0, store, '0-0', strong)).entry)).toBe(`${written - 1}`);
    });

    test('one that is not taken holds up nobody', async () => {
      await fill();
      const slow = current().copyState(0, { signal: never })[Symbol.asyncIterator]();
      await slow.next();
      const quick = await all(current().copyState(0, { signal: never }));
      expect(quick.at(-1)!.total).toBeGreaterThan(1000);
      for (let i = 0; i < 100; i++) await current().propose(0, mutate([put(`k${i}`, 'v', { ttl: defaultTtl })]));
      expect(text((await current().get(0, store, 'k99', strong)).entry)).toBe('v');
      await slow.return?.();
    });

    test('only so many at once; one that was left makes room', async () => {
      await fill();
      const open = Array.from({ length: limits.copiesMax }, () =>
        current().copyState(0, { signal: never })[Symbol.asyncIterator](),
      );
      for (const each of open) await each.next();
      const another = () => all(current().copyState(0, { signal: never }));
      expect(await codeOf(another)).toBe('overloaded');
      await open[0]!.return?.();
      await expect.poll(() => codeOf(another)).toBe('it did not fail');
      for (const each of open) await each.return?.();
    });

    test('ends when it is aborted, before, while and after a part is waited for, without a last part', async () => {
      await fill();
      expect(await all(current().copyState(0, { signal: AbortSignal.abort() }))).toEqual([]);
      for (const after of [0, 1, 5]) {
        const abort = new AbortController();
        const parts: StatePart[] = [];
        if (after === 0) setImmediate(() => abort.abort());
        for await (const part of current().copyState(0, { signal: abort.signal })) {
          parts.push(part);
          if (parts.length === after) abort.abort();
        }
        if (after > 0) expect(parts).toHaveLength(after);
      }
      // Nothing is left of them: as many as there may be can be begun.
      const again = Array.from({ length: limits.copiesMax }, () => all(current().copyState(0, { signal: never })));
      for (const parts of await Promise.all(again)) expect(parts.at(-1)!.total).toBeDefined();
    });

    test('a partition that is elsewhere', async () => {
      expect(await codeOf(() => current().copyState(7, { signal: never })[Symbol.asyncIterator]().next())).toBe(
        'moved',
      );
    });
  });
}
