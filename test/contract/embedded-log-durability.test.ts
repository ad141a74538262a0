// What the embedded log keeps and says when its process is killed, its disk fails or is full.
import { spawn } from 'node:child_process';
import { write as writeFile } from 'node:fs';
import { cp, mkdtemp, rm, writeFile as writeWholeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import type { EmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import type { SyncedWrite } from '../../services/node/src/log/group-writer.ts';
import { childPayload, childSegmentBytes } from './embedded-log-child.ts';
import { appendAll, Collector, payload, positionOf } from './log-collector.ts';

const childPath = join(import.meta.dirname, 'embedded-log-child.ts');
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-log-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function open(write?: SyncedWrite, segmentBytes = childSegmentBytes): Promise<EmbeddedLog> {
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  return openEmbeddedLog({ directory, partition: 0, now, segmentBytes, ...(write === undefined ? {} : { write }) });
}

interface Acknowledged {
  readonly run: number;
  readonly number: number;
  readonly position: bigint;
}

/** Runs the child until some time after its start or its first acknowledgement, and kills it. */
async function runAndKill(run: number, afterMs: number, fromStart: boolean): Promise<Acknowledged[]> {
  const child = spawn(process.execPath, [childPath, 'append', directory, String(run)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let complaints = '';
  const killLater = (): unknown => setTimeout(() => child.kill('SIGKILL'), afterMs);
  if (fromStart) killLater();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (out === '' && !fromStart) killLater();
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const signal = await new Promise<string | null>((resolve) => child.on('close', (_, by) => resolve(by)));
  if (signal !== 'SIGKILL') throw new Error(`the child ended by itself: ${complaints}`);
  // A kill may come in the middle of a line: what lacks its end was not told.
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [of, number, position] = line.split(' ');
      return { run: Number(of), number: Number(number), position: BigInt(position ?? '') };
    });
}

describe('kill -9', () => {
  test('after 24 kills with appends in flight every acknowledged record is there, none torn, twice or missing between', async () => {
    const acknowledged: Acknowledged[] = [];
    let incarnation: string | undefined;
    let lastBefore = 0n;
    for (let run = 0; run < 24; run++) {
      // Every fourth kill falls into the start of the process, opening included.
      const told = await runAndKill(run, run % 4 === 3 ? 60 + run * 3 : 3 + ((run * 13) % 50), run % 4 === 3);
      acknowledged.push(...told);
      const log = await open();
      incarnation ??= log.incarnation;
      expect(log.incarnation).toBe(incarnation);
      const { first, last } = await log.bounds();
      expect(first).toBe(1n);
      expect(last).toBeGreaterThanOrEqual(lastBefore + BigInt(told.length));
      lastBefore = last;
      const all = new Collector(log, 1n);
      if (last > 0n) await all.reached(last);
      await log.close();
      checkHistory(all, acknowledged);
    }
    expect(acknowledged.length).toBeGreaterThan(24 * 8);
  }, 120_000);
});

function checkHistory(all: Collector, acknowledged: readonly Acknowledged[]): void {
  const seen = new Set<string>();
  for (const [i, { position, bytes }] of all.records.entries()) {
    if (position !== BigInt(i) + 1n) throw new Error(`position ${position} where ${i + 1} belongs`);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const run = view.getUint32(0);
    const number = view.getUint32(4);
    if (Buffer.compare(bytes, childPayload(run, number)) !== 0)
      throw new Error(`the record at position ${position} is torn`);
    if (seen.has(`${run} ${number}`)) throw new Error(`append ${number} of run ${run} is there twice`);
    seen.add(`${run} ${number}`);
  }
  for (const { run, number, position } of acknowledged) {
    const record = all.records[Number(position) - 1];
    if (record === undefined || Buffer.compare(record.bytes, childPayload(run, number)) !== 0) {
      throw new Error(`append ${number} of run ${run}, acknowledged at position ${position}, is lost`);
    }
  }
}

test('the checker of histories sees a lost, a torn and a doubled record', async () => {
  const log = await open();
  const history = [0, 1, 2].map((number) => childPayload(0, number));
  await appendAll(log, history);
  const collector = new Collector(log, 1n);
  await collector.reached(3n);
  const told = [{ run: 0, number: 1, position: 2n }];
  checkHistory(collector, told);
  expect(() => checkHistory(collector, [{ run: 0, number: 3, position: 4n }])).toThrow('is lost');
  expect(() => checkHistory(collector, [{ run: 0, number: 0, position: 2n }])).toThrow('is lost');
  await appendAll(log, [childPayload(0, 2)]);
  await collector.reached(4n);
  expect(() => checkHistory(collector, told)).toThrow('twice');
  const torn = collector.records[1]?.bytes;
  torn?.fill(0, torn.length - 1);
  expect(() => checkHistory(collector, told)).toThrow('torn');
  await log.close();
});

describe('a failing disk', () => {
  function failing(
    code: string,
    times = Number.POSITIVE_INFINITY,
  ): { write: SyncedWrite; arm: () => void; calls: () => number } {
    let armed = false;
    let calls = 0;
    return {
      arm: () => {
        armed = true;
      },
      calls: () => calls,
      write: (fd, bytes, offset, done) => {
        if (!armed || calls >= times) return writeFile(fd, bytes, 0, bytes.length, offset, done);
        calls++;
        // Half of it reaches the disk.
        writeFile(fd, bytes, 0, bytes.length >> 1, offset, () =>
          done(Object.assign(new Error(`${code}: injected`), { code }), 0),
        );
      },
    };
  }

  test.each([
    ['EIO', 'unavailable'],
    ['ENOSPC', 'disk_full'],
  ])(
    '%s: the outcome of that write is unknown, everything later is refused as %s, nothing is tried again',
    async (code, reason) => {
      const disk = failing(code, 1);
      const log = await open(disk.write);
      const collector = new Collector(log, 1n);
      await appendAll(log, [payload(1), payload(2)]);
      disk.arm();
      const first = [log.append(payload(3)), log.append(payload(4))];
      await new Promise((resolve) => setImmediate(resolve));
      const behind = log.append(payload(5));
      expect(await Promise.all(first)).toMatchObject([
        { kind: 'unknown', cause: { code } },
        { kind: 'unknown', cause: { code } },
      ]);
      expect(await behind).toMatchObject({ kind: 'refused', reason, cause: { code } });
      expect(await log.failed).toMatchObject({ code });
      // The disk would work again: it is not asked.
      expect(await log.append(payload(6))).toMatchObject({ kind: 'refused', reason, cause: { code } });
      expect(disk.calls()).toBe(1);
      expect(await log.bounds()).toEqual({ first: 1n, last: 2n });
      await log.close();
      expect(collector.positions).toEqual([1n, 2n]);

      const again = await open();
      const { last } = await again.bounds();
      // Half of the write is on disk: the first of its two records may be there, the refused one never.
      expect(last === 2n || last === 3n).toBe(true);
      const kept = new Collector(again, 1n);
      await kept.reached(last);
      for (const [i, { bytes }] of kept.records.entries()) expect(Buffer.compare(bytes, payload(i + 1))).toBe(0);
      expect(positionOf(await again.append(payload(9)))).toBe(last + 1n);
      await again.close();
    },
  );

  test('a kernel that writes a few bytes at a time makes no difference', async () => {
    const log = await open((fd, bytes, offset, done) =>
      writeFile(fd, bytes, 0, Math.min(bytes.length, 61), offset, done),
    );
    await appendAll(
      log,
      Array.from({ length: 30 }, (_, i) => payload(i, 100)),
    );
    await log.close();
    const again = await open();
    const collector = new Collector(again, 1n);
    await collector.reached(30n);
    expect(collector.records.every(({ bytes }, i) => Buffer.compare(bytes, payload(i, 100)) === 0)).toBe(true);
    await again.close();
  });

  test('nothing is acknowledged or delivered before the write is done, and what waits meanwhile is one write', async () => {
    const held: (() => void)[] = [];
    const lengths: number[] = [];
    const log = await open((fd, bytes, offset, done) => {
      lengths.push(bytes.length);
      held.push(() => writeFile(fd, bytes, 0, bytes.length, offset, done));
    });
    const turns = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    const events: string[] = [];
    const collector = new Collector(log, 1n, (records) => void events.push(`delivered ${records.length}`));
    const append = (): void => void log.append(payload(1, 200)).then(({ kind }) => events.push(kind));
    append();
    await turns();
    for (let i = 0; i < 10; i++) append();
    await turns();
    expect(events).toEqual([]);
    expect(held.length).toBe(1);
    expect((await log.bounds()).last).toBe(0n);
    held[0]?.();
    await collector.reached(1n);
    await turns();
    // The record is delivered before its append resolves.
    expect(events).toEqual(['delivered 1', 'appended']);
    expect(lengths).toEqual([240, 2400]);
    held[1]?.();
    await collector.reached(11n);
    expect(events[2]).toBe('delivered 10');
    const closed = log.close();
    await turns();
    // The mark of a clean end.
    held[2]?.();
    await closed;
  });

  test('a crash in the middle of a write, seen from a copy of the folder', async () => {
    const disk = failing('EIO');
    const log = await open(disk.write);
    await appendAll(log, [payload(1), payload(2)]);
    disk.arm();
    expect(await log.append(payload(3, 1000))).toMatchObject({ kind: 'unknown' });
    const copy = `${directory}-copy`;
    await cp(directory, copy, { recursive: true });
    await log.close();
    await rm(directory, { recursive: true });
    await cp(copy, directory, { recursive: true });
    await rm(copy, { recursive: true });
    const again = await open();
    expect(await again.bounds()).toEqual({ first: 1n, last: 2n });
    expect(again.recovered.cutBytes).toBeGreaterThan(0);
    expect(again.recovered.cutFile).toContain(directory);
    await again.close();
    const clean = await open();
    expect(clean.recovered).toEqual({ cutBytes: 0, cutFile: '', cutOffset: 0 });
    await clean.close();
  });
});

/** Runs the child on a file system of its own, which goes when it ends; needs no root. */
async function onTmpfs(prepare: string, ...childArguments: string[]): Promise<Record<string, unknown>> {
  const script = `mount -t tmpfs -o size=1200k tmpfs "$1" && ${prepare} && shift && exec "$@"`;
  const command = ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', directory, process.execPath, childPath];
  const child = spawn('unshare', [...command, ...childArguments], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`exit ${code}: ${complaints}`);
  return JSON.parse(out) as Record<string, unknown>;
}

describe('the directory', () => {
  test('on a full disk appends are refused as disk_full, all that was acknowledged is kept, and it goes on when there is room', async () => {
    const ballast = join(directory, 'ballast');
    const result = await onTmpfs('head -c 500000 /dev/zero > "$1/ballast"', 'fill', join(directory, 'log'), ballast);
    const acknowledged = Number(result['acknowledged']);
    expect(acknowledged).toBeGreaterThan(50);
    expect(result).toMatchObject({
      outcome: { kind: 'refused', reason: 'disk_full' },
      again: { kind: 'refused', reason: 'disk_full' },
      last: acknowledged,
      intact: acknowledged,
      full: { kind: 'refused', reason: 'disk_full' },
      later: { kind: 'appended', position: acknowledged + 1 },
    });
  });

  test('no room to begin with is disk_full', async () => {
    const result = await onTmpfs('head -c 1100000 /dev/zero > "$1/ballast"', 'open', join(directory, 'log'));
    expect(result).toMatchObject({ opened: false, code: 'disk_full' });
  });

  test('that cannot be written to is refused by name', async () => {
    const result = await onTmpfs('mount -o remount,ro tmpfs "$1"', 'open', join(directory, 'log'));
    expect(result).toMatchObject({
      opened: false,
      code: 'invalid_settings',
      message: expect.stringContaining(join(directory, 'log')),
    });
  });

  test('that is a file is refused by name', async () => {
    const path = join(directory, 'file');
    await writeWholeFile(path, 'x');
    const opening = openEmbeddedLog({ directory: path, partition: 0, now: () => 1n });
    await expect(opening).rejects.toMatchObject({ code: 'invalid_settings', message: expect.stringContaining(path) });
  });
});
