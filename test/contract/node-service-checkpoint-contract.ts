// The part of the contract of NodeService that is about writing a partition's part of a checkpoint;
// link-checkpoint.test.ts runs it in one process and through the link.
import { fromBinary } from '@bufbuild/protobuf';
import type { RepositoryCall } from '@statestore/checkpoint';
import {
  decodePartitionManifest,
  MemoryRepository,
  partitionManifestName,
  readPartition,
} from '@statestore/checkpoint';
import { limits, StateStoreError } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { CheckpointItem, CheckpointOrder, NodeService } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, mutate, put } from './node-service-fixture.ts';

/** A repository in memory whose uploads wait while there is a gate, and fail when they are told to. */
export class GatedRepository extends MemoryRepository {
  gate: Promise<void> | undefined;
  fails = false;
  /** What waits ends when its signal aborts. */
  hears = false;
  readonly #released: (() => void)[] = [];

  override async create(name: string, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    if (this.fails) throw new StateStoreError('disk_full', 'no room');
    if (this.gate !== undefined) {
      const released = new Promise<void>((resolve) => this.#released.push(resolve));
      const { signal } = call ?? {};
      const aborted = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
      await Promise.race([this.gate, released, ...(this.hears ? [aborted] : [])]);
      signal?.throwIfAborted();
    }
    return super.create(name, bytes);
  }

  /** What waits goes on. */
  release(): void {
    for (const resolve of this.#released.splice(0)) resolve();
  }
}

export interface CheckpointFixture {
  readonly service: NodeService;
  readonly repository: GatedRepository;
  /** The node takes no repository any more. */
  unset(): void;
  close(): Promise<void>;
}

const never = new AbortController().signal;
let ids = 0;
export const newId = (): string => `00000000-0000-7000-8000-${String(++ids).padStart(12, '0')}`;
export const orderOf = (more: Partial<CheckpointOrder> = {}): CheckpointOrder => ({
  checkpointId: newId(),
  generation: 1,
  slots: [{ start: 0, end: 2048 }],
  full: false,
  level: 1,
  deadlineMs: 60_000,
  ...more,
});

async function all(items: AsyncIterable<CheckpointItem>): Promise<CheckpointItem[]> {
  const taken: CheckpointItem[] = [];
  for await (const item of items) taken.push(item);
  return taken;
}

export function checkpointContract(name: string, make: () => Promise<CheckpointFixture>): void {
  describe(`writeCheckpoint: ${name}`, () => {
    let fixture: CheckpointFixture;
    beforeEach(async () => {
      fixture = await make();
    });
    afterEach(() => fixture.close());

    const write = (more: Partial<CheckpointOrder> = {}, signal = never): AsyncIterable<CheckpointItem> =>
      fixture.service.writeCheckpoint(0, { ...orderOf(more), signal });
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const keys = Array.from({ length: 64 }, (_, j) => put(`${i}-${j}`, 'x'.repeat(1024)));
        await fixture.service.propose(0, mutate(keys));
      }
    };
    const statusOf = async () => (await fixture.service.status()).partitions.find(({ partition }) => partition === 0)!;
    const summaryIn = (items: readonly CheckpointItem[]): PartitionSummary =>
      fromBinary(PartitionSummarySchema, items.at(-1)!.summary!);

    test('is everything that was acknowledged before it was asked for, and says what it is', async () => {
      await fill();
      const { appliedPosition, chain, stateHash, entries, incarnation } = await statusOf();
      const checkpointId = newId();
      const items = await all(write({ checkpointId, generation: 7 }));
      expect(items.filter(({ summary }) => summary !== undefined)).toEqual([items.at(-1)]);
      const summary = summaryIn(items);
      expect(summary).toMatchObject({ partition: 0, generation: 7, incarnation, position: appliedPosition });
      expect(summary.entries).toBe(BigInt(entries));
      const hashes = [summary.chain, summary.stateHash].map((bytes) => Buffer.from(bytes).toString('hex'));
      expect(hashes).toEqual([chain, stateHash]);
      const stored = (await fixture.repository.get(partitionManifestName(checkpointId, 0)))!;
      const manifest = decodePartitionManifest(checkpointId, 0, stored, { cluster: 'test' });
      let records = 0;
      for await (const _ of readPartition({ repository: fixture.repository, manifest, signal: never })) records++;
      expect(records).toBe(items.at(-1)!.records);
      expect(items.at(-1)).toMatchObject({ part: 1, uploadedBytes: expect.any(Number) as number });
    });

    test('of a partition where nothing ever happened', async () => {
      expect(summaryIn(await all(write()))).toMatchObject({ position: 0n, entries: 0n });
    });

    test('tells that it lives while the repository does not answer, and goes on when it does', async () => {
      await fill();
      const gate = Promise.withResolvers<void>();
      fixture.repository.gate = gate.promise;
      const items = write()[Symbol.asyncIterator]();
      for (let i = 0; i < 3; i++) {
        const { value } = (await items.next()) as IteratorYieldResult<CheckpointItem>;
        expect([value.part < 1, value.summary]).toEqual([true, undefined]);
      }
      gate.resolve();
      fixture.repository.gate = undefined;
      let last: CheckpointItem | undefined;
      for (let step = await items.next(); step.done !== true; step = await items.next()) last = step.value;
      expect(last?.summary).toBeDefined();
    });

    test('only so many at once; one that was left makes room, and nothing of it goes on', async () => {
      await fill();
      fixture.repository.gate = new Promise(() => {});
      const open = Array.from({ length: limits.checkpointsPerNodeMax }, () => write()[Symbol.asyncIterator]());
      for (const each of open) await each.next();
      expect(await codeOf(() => all(write()))).toBe('overloaded');
      fixture.repository.gate = undefined;
      for (const each of open) void each.return?.();
      await expect.poll(() => codeOf(() => all(write())), { timeout: 20_000 }).toBe('overloaded');
      fixture.repository.release();
      await expect.poll(() => codeOf(() => all(write())), { timeout: 20_000 }).toBe('it did not fail');
    });

    test('ends without a last item where its signal aborts', async () => {
      await fill();
      expect(await all(write({}, AbortSignal.abort()))).toEqual([]);
      fixture.repository.gate = new Promise(() => {});
      const abort = new AbortController();
      const items: CheckpointItem[] = [];
      for await (const item of write({}, abort.signal)) {
        items.push(item);
        abort.abort();
        fixture.repository.release();
      }
      // On a slow machine it may tell once more how far it is.
      expect(items.length).toBeGreaterThan(0);
      expect(items.filter(({ summary }) => summary !== undefined)).toEqual([]);
      fixture.repository.gate = undefined;
      await expect.poll(() => codeOf(() => all(write())), { timeout: 20_000 }).toBe('it did not fail');
    });

    test('gives up when its deadline passes', async () => {
      await fill();
      fixture.repository.gate = new Promise(() => {});
      setTimeout(() => fixture.repository.release(), 1500);
      expect(await codeOf(() => all(write({ deadlineMs: 300 })))).toBe('unavailable');
    });

    test('what the repository says arrives', async () => {
      await fill();
      fixture.repository.fails = true;
      expect(await codeOf(() => all(write()))).toBe('disk_full');
    });

    test('without a repository, and for a partition that is elsewhere', async () => {
      const elsewhere = { ...orderOf(), signal: never };
      expect(await codeOf(() => all(fixture.service.writeCheckpoint(9, elsewhere)))).toBe('moved');
      fixture.unset();
      expect(await codeOf(() => all(write()))).toBe('checkpoints_not_configured');
    });
  });
}
