import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EngineKind } from '../engine/engine.ts';
import { systemTime } from '../time.ts';
import type { Built } from './replica-store.ts';
import { ReplicaStore } from './replica-store.ts';

const own = 'a'.repeat(32);
const wrong = { cause: 'diverged', why: 'its state is wrong', kept: false } as const;
const { signal } = new AbortController();
let path: string;

beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'statestore-store-')), '0');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }));

async function open(engine: EngineKind): Promise<ReplicaStore> {
  const store = new ReplicaStore({ partition: 0, path, engine, time: systemTime, onCommitted: () => undefined });
  await (await store.open()).engine.close();
  return store;
}

/** Of data that are taken to be at that position, by a state at 50. */
function replace(store: ReplicaStore, position: bigint): Promise<Built> {
  const fill = () => Promise.resolve({ position: 50n, chain: own, incarnation: 'one' });
  return store.build({ fill, held: { position, incarnation: 'one', chain: own }, signal });
}

function keepAside(count: number): void {
  for (let i = 1; i <= count; i++) {
    mkdirSync(join(path, `aside-${i}`));
    writeFileSync(join(path, `aside-${i}`, 'kept.json'), '{"why":"earlier"}');
  }
}

describe.each<EngineKind>(['lmdb', 'memory'])('data whose state was found to be wrong, in %s', (engine) => {
  test('go where the copy has had their history, also without room aside', async () => {
    const store = await open(engine);
    await store.condemn(wrong);
    keepAside(limits.asideFoldersMax);
    expect(await replace(store, 50n)).toEqual({ position: 50n, kept: undefined });
    expect(await store.folder.condemned()).toBeUndefined();
    await store.close();
  });

  test('are kept where they are ahead of the copy, which waits for room', async () => {
    const store = await open(engine);
    await store.condemn(wrong);
    keepAside(limits.asideFoldersMax);
    const before = await readdir(path);
    await expect(replace(store, 51n)).rejects.toMatchObject({ code: 'disk_full' });
    expect(await readdir(path)).toEqual(before);
    expect(await store.folder.condemned()).toEqual(wrong);
    rmSync(join(path, 'aside-1'), { recursive: true });
    expect((await replace(store, 51n)).kept).toContain('ahead');
    const kept = JSON.parse(readFileSync(join(path, `aside-${limits.asideFoldersMax + 1}`, 'kept.json'), 'utf8'));
    expect(kept).toEqual({ why: expect.stringContaining('ahead') });
    await store.close();
  });
});

test('condemned data that cannot be read any more are not replaced without keeping them', async () => {
  const store = await open('lmdb');
  await store.condemn(wrong);
  const lmdb = join(store.folder.dataPath, 'lmdb');
  writeFileSync(join(lmdb, readFileSync(join(lmdb, 'current'), 'latin1').trim(), 'data.mdb'), 'damaged');
  const { engine, facts, condemned } = await store.open();
  await engine.close();
  expect(facts.position).toBe(0n);
  expect(condemned).toEqual({ ...wrong, kept: true });
  expect((await replace(store, facts.position)).kept).toBe(wrong.why);
  expect((await store.folder.asides()).map(({ kept }) => kept)).toEqual([true]);
  await store.close();
});
