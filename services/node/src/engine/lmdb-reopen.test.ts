// An LMDB engine that lets go of its map and cannot open its file again: every call is refused, none
// reads what is closed.
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LmdbEngine } from './lmdb-engine.ts';

test('a file that cannot be opened again fails the engine, from that very read on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'statestore-reopen-'));
  try {
    let due = false;
    const engine = await LmdbEngine.open(folder, { isDue: () => due });
    await engine.commit(new Map([['k', new Uint8Array([1])]]), 1n);
    for (let i = 0; i < 1000; i++) expect(engine.get('k')).toEqual(new Uint8Array([1]));
    // Where LMDB's magic number stands.
    const file = openSync(join(folder, 'lmdb', 'env-1', 'data.mdb'), 'r+');
    writeSync(file, Buffer.alloc(4), 0, 4, 16);
    writeSync(file, Buffer.alloc(4), 0, 4, 24);
    closeSync(file);
    due = true;
    const codes = new Set<string>();
    for (let i = 0; i < 1000; i++) {
      try {
        engine.get('k');
      } catch (error) {
        codes.add((error as { code: string }).code);
      }
    }
    expect([...codes]).toEqual(['data_corrupt']);
    for (const call of [() => engine.range({}).next(), () => engine.snapshot(), () => engine.statistics()])
      expect(call).toThrow(/is not an LMDB file/);
    await expect(engine.commit(new Map(), 2n)).rejects.toMatchObject({ code: 'data_corrupt' });
    await engine.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
