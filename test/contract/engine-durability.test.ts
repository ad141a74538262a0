// The LMDB engine against what ends processes: kill -9 in the middle of commits, compactions and
// restores, a disk without room, a folder that is damaged.
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { markers, rowKey, rowsKept, rowValue } from './engine-child.ts';

const child = fileURLToPath(new URL('engine-child.ts', import.meta.url));

describe('the LMDB engine', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'statestore-engine-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  /** Kills the process after it has acknowledged so many commits; resolves with the last position it told of. */
  async function killAfter(commits: number): Promise<bigint> {
    const running = spawn(process.execPath, [child, 'commit', dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    let told = '';
    for await (const chunk of running.stdout) {
      told += String(chunk);
      if (told.split('\n').length > commits) running.kill('SIGKILL');
    }
    return BigInt(told.slice(0, told.lastIndexOf('\n')).split('\n').at(-1)!);
  }

  test(
    'after kill -9 at any instant has position and content of one commit, and nothing acknowledged is lost',
    { timeout: 120_000 },
    async () => {
      for (const commits of [1, 3, 24, 25, 30, 39, 41, 52, 67, 80]) {
        const acknowledged = await killAfter(commits);
        const engine = await openEngine('lmdb', dir);
        const { position } = engine;
        expect(position).toBeGreaterThanOrEqual(acknowledged);
        for (const key of markers) expect(Buffer.from(engine.get(key)!).toString()).toBe(String(position));
        const rows = [...engine.range({ start: 'row-', end: 'row.' })];
        const first = position > BigInt(rowsKept) ? position - BigInt(rowsKept) + 1n : 1n;
        const expected = Array.from({ length: Number(position - first) + 1 }, (_, i) => first + BigInt(i));
        expect(rows.map(({ key }) => key)).toEqual(expected.map(rowKey).toSorted());
        for (const at of expected) expect(Buffer.compare(engine.get(rowKey(at))!, rowValue(at))).toBe(0);
        await engine.close();
        expect((await readdir(join(dir, 'lmdb'))).filter((name) => name.startsWith('env-'))).toHaveLength(1);
      }
    },
  );

  test('stops at the first commit that finds no room, for good, and keeps what was acknowledged', async () => {
    const script = `ulimit -f 8192; exec "${process.execPath}" "${child}" fill "${dir}"`;
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script]);
    const { acknowledged, codes, unhandled } = JSON.parse(stdout) as {
      acknowledged: string;
      codes: string[];
      unhandled: string[];
    };
    expect(Number(acknowledged)).toBeGreaterThan(1);
    // A write that is cut short reaches us as EIO; only the free space tells that the disk is full.
    expect(['disk_full', 'data_corrupt']).toContain(codes[0]);
    expect(codes).toEqual(Array.from({ length: 7 }, () => codes[0]));
    expect(unhandled).toEqual([]);
    const engine = await openEngine('lmdb', dir);
    expect(engine.position).toBe(BigInt(acknowledged));
    expect(engine.statistics().length).toBe(Number(acknowledged) * 8);
    await engine.commit(new Map([['a', new Uint8Array(1)]]), engine.position + 1n);
    await engine.close();
  });

  test('a restore whose writes fail in the middle fails with their reason, and what was there stays', async () => {
    const script = `ulimit -f 16384; exec "${process.execPath}" "${child}" overfill "${dir}"`;
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script]);
    const { codes, unhandled } = JSON.parse(stdout) as { codes: string[]; unhandled: string[] };
    expect(['disk_full', 'data_corrupt']).toContain(codes[0]);
    expect(codes).toEqual([codes[0], codes[0]]);
    expect(unhandled).toEqual([]);
    const engine = await openEngine('lmdb', dir);
    expect(engine.position).toBe(1n);
    expect([...engine.keys({})]).toEqual(['a']);
    await engine.close();
    expect((await readdir(join(dir, 'lmdb'))).filter((name) => name.startsWith('env-'))).toHaveLength(1);
  });

  test('refuses a compaction or a restore that the disk has no room for, before anything fails', async () => {
    const script = 'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"';
    const command = ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', dir, process.execPath, child];
    const { stdout } = await promisify(execFile)('unshare', [...command, 'replace', dir]);
    expect(JSON.parse(stdout)).toEqual({ compacted: 'disk_full', restored: 'disk_full', length: 65 });
  });

  test('removes what a crash in a replacement left, and refuses a folder that is damaged', async () => {
    let engine = await openEngine('lmdb', dir);
    await engine.commit(new Map([['a', new Uint8Array(1)]]), 1n);
    await engine.close();
    const folder = join(dir, 'lmdb');
    await mkdir(join(folder, 'env-2'));
    await writeFile(join(folder, 'env-2', 'data.mdb'), 'half written');
    engine = await openEngine('lmdb', dir);
    expect(engine.position).toBe(1n);
    expect((await readdir(folder)).toSorted()).toEqual(['current', 'env-1']);
    await engine.close();
    await writeFile(join(folder, 'current'), '../elsewhere\n');
    await expect(openEngine('lmdb', dir)).rejects.toMatchObject({ code: 'data_corrupt' });
    await rm(join(folder, 'current'));
    await expect(openEngine('lmdb', dir)).rejects.toMatchObject({ code: 'data_corrupt' });
    await writeFile(join(folder, 'current'), 'env-1\n');
    await writeFile(join(folder, 'env-1', 'data.mdb'), Buffer.alloc(8192, 'x'));
    await expect(openEngine('lmdb', dir)).rejects.toMatchObject({ code: 'data_corrupt' });
  });
});
