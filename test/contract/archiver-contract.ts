// What an archiver must do with any log: the archive has every batch of it, in order, proved by the chain, whoever else
// archives and whatever fails. Runs with the embedded log and with JetStream, into a folder.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ArchivedLog, ChainPoint, Repository } from '@statestore/checkpoint';
import {
  archivedThrough,
  chainAfter,
  chainFromHex,
  coverageOf,
  decodeArchivedLog,
  archivedLogName,
  listSegments,
  openRepository,
  readArchive,
  readSegment,
  segmentName,
} from '@statestore/checkpoint';
import type { BatchRecord } from '@statestore/core';
import { hashToHex, newHash, StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Archiver, type ArchiverOptions } from '../../services/node/src/checkpoint/archiver.ts';
import type { Log } from '../../services/node/src/log/log.ts';
import { systemTime } from '../../services/node/src/time.ts';
import { appendAll, Collector, payload, type LogFixture } from './log-collector.ts';
import { withCreate } from './repository-with-create.ts';

const { signal } = new AbortController();
const zero = hashToHex(newHash());
const waiting = { timeout: 20_000, interval: 10 };

/* oxlint-disable-next-line max-lines-per-function -- a suite */
export function archiverContract(name: string, makeFixture: () => Promise<LogFixture>): void {
  describe(`the archiver of ${name}`, () => {
    let fixture: LogFixture;
    let log: Log;
    let root = '';
    let repository: Repository;
    const archivers: Archiver[] = [];

    beforeEach(async () => {
      fixture = await makeFixture();
      log = await fixture.open();
      root = await mkdtemp(join(tmpdir(), 'statestore-archiver-'));
      repository = await openRepository({ type: 'folder', path: root, concurrency: 4 });
    });
    afterEach(async () => {
      await Promise.all(archivers.splice(0).map((archiver) => archiver.close()));
      await log.close();
      await fixture.dispose();
      await repository.close();
      await rm(root, { recursive: true, force: true });
    });

    const identity = (): ArchivedLog => ({ cluster: 'c', partition: 0, generation: 1, incarnation: log.incarnation });

    function start(options: Partial<ArchiverOptions> = {}): Archiver {
      const archiver = new Archiver({
        repository,
        log: identity(),
        source: log,
        point: () => undefined,
        time: systemTime,
        intervalMs: 20,
        ...options,
      });
      archivers.push(archiver);
      return archiver;
    }

    const append = (count: number, from = 0): Promise<bigint[]> =>
      appendAll(
        log,
        Array.from({ length: count }, (_, i) => payload(from + i, 20 + ((from + i) % 300))),
      );

    async function recordsOf(first = 1n): Promise<readonly BatchRecord[]> {
      const { last } = await log.bounds();
      const collector = new Collector(log, first);
      await collector.reached(last);
      await collector.subscription.close();
      return collector.records;
    }

    async function archived(after: ChainPoint = { position: 0n, chain: zero }): Promise<BatchRecord[]> {
      const { incarnation } = log;
      const segments = new Map([[incarnation, await listSegments(repository, incarnation)]]);
      const path = [{ incarnation, through: undefined }];
      const found: BatchRecord[] = [];
      for await (const { batches } of readArchive({ repository, path, segments, after, signal }))
        found.push(...batches);
      return found;
    }

    const reached = (archiver: Archiver, position: bigint): Promise<void> =>
      vi.waitFor(() => expect(archiver.status.position ?? 0n).toBeGreaterThanOrEqual(position), waiting);

    const same = (a: readonly BatchRecord[], b: readonly BatchRecord[]): void => {
      expect(a.map(({ position }) => position)).toEqual(b.map(({ position }) => position));
      for (const [at, one] of a.entries()) {
        expect(one.timestampNanos).toBe(b[at]!.timestampNanos);
        expect(Buffer.compare(one.bytes, b[at]!.bytes)).toBe(0);
      }
    };

    const pointAt = async (position: bigint): Promise<ChainPoint> => {
      const before = (await recordsOf()).filter((record) => record.position <= position);
      return { position, chain: hashToHex(chainAfter(chainFromHex(zero), before)) };
    };

    test('what the log has, and what comes, is archived, soon', async () => {
      await append(50);
      const began = await log.beganNanos?.();
      const archiver = start({ began: () => Promise.resolve(began) });
      await reached(archiver, 50n);
      await append(70, 50);
      await reached(archiver, 120n);
      same(await archived(), await recordsOf());
      expect(archiver.status).toMatchObject({ batches: 120, failures: 0, gapPositions: 0n, failing: undefined });
      const { beganNanos, ...described } = decodeArchivedLog(
        log.incarnation,
        (await repository.get(archivedLogName(log.incarnation)))!,
      );
      expect(described).toEqual(identity());
      // Of a log that knows it: before its first batch.
      if (began === undefined) expect(beganNanos).toBeGreaterThan(0n);
      else expect([began, began <= (await recordsOf())[0]!.timestampNanos]).toEqual([beganNanos, true]);
    });

    test('segments end at their bound', async () => {
      await append(40);
      const archiver = start({ segmentBytes: 200 });
      await reached(archiver, 40n);
      expect(archiver.status.segments).toBeGreaterThan(4);
      same(await archived(), await recordsOf());
    });

    test('one that begins anew goes on where the archive ends', async () => {
      await append(30);
      const first = start();
      await reached(first, 30n);
      await first.close();
      await append(30, 30);
      const second = start();
      await reached(second, 60n);
      expect(second.status.batches).toBe(30);
      same(await archived(), await recordsOf());
      expect(coverageOf(await listSegments(repository, log.incarnation))).toMatchObject({ gaps: [], overlaps: [] });
    });

    test('several at once do no harm', async () => {
      const some = [start(), start({ intervalMs: 7 }), start({ segmentBytes: 500 })];
      for (let from = 0; from < 200; from += 20) await append(20, from);
      for (const archiver of some) await reached(archiver, 200n);
      same(await archived(), await recordsOf());
      const segments = await listSegments(repository, log.incarnation);
      expect(coverageOf(segments).spans).toEqual([{ first: 1n, last: 200n }]);
      for (const segment of segments)
        expect(await readSegment(repository, segment, { signal })).not.toBeTypeOf('string');
    });

    test('a hole is filled while the log has what is missing', async () => {
      await append(30);
      const first = start({ segmentBytes: 200 });
      await reached(first, 30n);
      await first.close();
      const segments = await listSegments(repository, log.incarnation);
      const removed = segments[1]!;
      await repository.remove([segmentName(log.incarnation, removed.first, removed.last)]);
      const second = start();
      await vi.waitFor(async () => expect(await archived()).toHaveLength(30), waiting);
      await append(5, 30);
      await reached(second, 35n);
      same(await archived(), await recordsOf());
    });

    test('a damaged end is written again', async () => {
      await append(10);
      const first = start();
      await reached(first, 10n);
      await first.close();
      const ending = (await listSegments(repository, log.incarnation)).at(-1)!;
      await repository.put(segmentName(log.incarnation, ending.first, ending.last), Buffer.from('damaged'));
      const second = start();
      await reached(second, 10n);
      same(await archived(), await recordsOf());
    });

    test('what is not archived says how old it is, and no writer waits for it', async () => {
      let fails = true;
      const failing = withCreate(repository, (...call: Parameters<Repository['create']>) =>
        fails ? Promise.reject(new StateStoreError('unavailable', 'down')) : repository.create(...call),
      );
      await append(10);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const notices: string[] = [];
      const point = { position: 10n, chain: zero };
      const archiver = start({ repository: failing, point: () => point, onNotice: (notice) => notices.push(notice) });
      await vi.waitFor(() => expect(archiver.status.failures).toBeGreaterThan(1), waiting);
      await append(300, 10);
      expect(archiver.status.ageMs).toBeGreaterThan(290);
      expect(archiver.status.failing).toBe('down');
      // Told once, though it failed more often.
      expect(notices).toHaveLength(1);
      fails = false;
      await reached(archiver, 310n);
      expect(archiver.status).toMatchObject({ ageMs: 0, failing: undefined });
      same(await archived(), await recordsOf());
    });

    test('the age is that of the first batch that waits, from the first look on, also with a backlog and a slow store', async () => {
      await append(60);
      const nanos = (await recordsOf()).map(({ timestampNanos }) => timestampNanos);
      await new Promise((resolve) => setTimeout(resolve, 700));
      const slow = withCreate(repository, async (...call: Parameters<Repository['create']>) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return repository.create(...call);
      });
      const point = { position: 60n, chain: zero };
      const archiver = start({ repository: slow, point: () => point, segmentBytes: 1000 });
      const seen: (readonly [bigint | undefined, number | undefined, number])[] = [];
      const look = (): void => {
        const { position, ageMs } = archiver.status;
        const first = nanos[Number(position ?? 0n)];
        seen.push([position, ageMs, first === undefined ? 0 : Date.now() - Number(first / 1_000_000n)]);
      };
      look();
      while (archiver.status.position !== 60n) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        look();
      }
      const known = seen.findIndex(([, ageMs]) => ageMs !== undefined);
      for (const [position, ageMs, wanted] of seen.slice(known))
        expect(Math.abs(ageMs! - wanted), `${ageMs}, not ${wanted}, at ${position}`).toBeLessThan(200);
      expect(seen.slice(known).filter(([, ageMs]) => ageMs! > 600).length).toBeGreaterThan(5);
      expect(archiver.status.ageMs).toBe(0);
    });

    test('it goes no further than it may hold, while the repository does not answer', async () => {
      const stuck = Promise.withResolvers<void>();
      let most = 0;
      const slow = withCreate(repository, async (...call: Parameters<Repository['create']>) => {
        if (call[0].endsWith('/log')) return repository.create(...call);
        await stuck.promise;
        return repository.create(...call);
      });
      let given = 0;
      const source: ArchiverOptions['source'] = {
        incarnation: log.incarnation,
        bounds: () => log.bounds(),
        subscribe: (options) =>
          log.subscribe({
            ...options,
            onRecords: (records) => {
              given += records.reduce((sum, { bytes }) => sum + bytes.length, 0);
              most = Math.max(most, given);
              return options.onRecords(records);
            },
          }),
      };
      const archiver = start({ repository: slow, source, segmentBytes: 2000 });
      for (let from = 0; from < 600; from += 20) await append(20, from);
      const before = most;
      for (let from = 600; from < 900; from += 20) await append(20, from);
      // It takes nothing more, but for what was given with the last delivery.
      expect(most).toBe(before);
      stuck.resolve();
      await reached(archiver, 900n);
      same(await archived(), await recordsOf());
    });

    test('what was trimmed before it was archived is a gap that is told, and it goes on from the replica', async () => {
      await append(10);
      const first = start();
      await reached(first, 10n);
      await first.close();
      await append(20, 10);
      const chains = await Promise.all([20n, 30n].map((position) => pointAt(position)));
      const bounds = { first: 16n, last: 30n };
      const source: ArchiverOptions['source'] = {
        incarnation: log.incarnation,
        bounds: async () => ({ first: bounds.first, last: (await log.bounds()).last }),
        subscribe: (options) => log.subscribe(options),
      };
      const notices: Readonly<Record<string, unknown>>[] = [];
      let known: ChainPoint | undefined;
      const second = start({ source, point: () => known, onNotice: (_, details) => notices.push(details) });
      await vi.waitFor(() => expect(second.status.failing).toMatch(/begins at 16/), waiting);
      [known] = chains;
      await reached(second, 30n);
      expect(second.status.gapPositions).toBe(10n);
      expect(notices).toContainEqual({ partition: 0, first: '11', last: '20' });
      const segments = await listSegments(repository, log.incarnation);
      expect(coverageOf(segments)).toMatchObject({ gaps: [{ first: 11n, last: 20n }] });
      await expect(archived()).rejects.toThrow(/11 to 20 are not archived/);
      expect(await archived(chains[0])).toHaveLength(10);
      expect(archivedThrough(segments, 16n)).toBe(30n);
    });

    test('a log that has another history than the archive, or than the replica, is not archived', async () => {
      await append(10);
      const first = start();
      await reached(first, 10n);
      await first.close();
      const [ending] = (await listSegments(repository, log.incarnation)).slice(-1);
      const other: ArchiverOptions['source'] = {
        incarnation: log.incarnation,
        bounds: () => log.bounds(),
        subscribe: (options) =>
          log.subscribe({
            ...options,
            onRecords: (records) => options.onRecords(records.map((record) => ({ ...record, bytes: payload(999) }))),
          }),
      };
      await append(3, 10);
      const second = start({ source: other });
      await vi.waitFor(() => expect(second.status.failing).toMatch(/another batch at 10/), waiting);
      await second.close();
      const third = start({ chainAt: () => zero });
      await vi.waitFor(() => expect(third.status.failing).toMatch(/the replica has the chain/), waiting);
      expect((await listSegments(repository, log.incarnation)).at(-1)).toEqual(ending);
    });

    test('it can be closed at any moment, and twice', async () => {
      for (let round = 0; round < 8; round++) {
        await append(10, round * 10);
        const archiver = start({ segmentBytes: 200 });
        await new Promise((resolve) => setTimeout(resolve, round * 4));
        await Promise.all([archiver.close(), archiver.close()]);
      }
      const last = start();
      await reached(last, 80n);
      same(await archived(), await recordsOf());
    });
  });
}
