// A process for the durability tests of the LMDB engine to kill or to starve: `commit`, `fill`, `replace`, `overfill`.
import { setImmediate as turn } from 'node:timers/promises';
import { StateStoreError } from '@statestore/core';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';

/** Rows that each commit leaves: those of the last so many positions. */
export const rowsKept = 40;
export const markers = ['a', 'm', 'z'];
export const rowKey = (position: bigint): string => `row-${position}`;
export const rowValue = (position: bigint): Buffer => Buffer.alloc(Number(position % 3000n) + 1, String(position));

const [mode, dir] = process.argv.slice(2);
if (mode === 'commit') await commitForEver(dir!);
if (mode === 'fill') await fillUntilItFails(dir!);
if (mode === 'replace') await replaceWithoutRoom(dir!);
if (mode === 'overfill') await restoreUntilItFails(dir!);

/** Prints each position when it is acknowledged; now and then compacts or restores its own content. */
async function commitForEver(path: string): Promise<void> {
  const engine = await openEngine('lmdb', path);
  for (let position = engine.position + 1n; ; position++) {
    const writes = new Map<string, Uint8Array | undefined>(markers.map((key) => [key, Buffer.from(String(position))]));
    writes.set(rowKey(position), rowValue(position));
    writes.set(rowKey(position - BigInt(rowsKept)), undefined);
    await engine.commit(writes, position);
    process.stdout.write(`${position}\n`);
    if (position % 25n === 0n) await engine.compact();
    if (position % 40n === 0n) await engine.restore([...engine.range({})], position);
  }
}

async function fillUntilItFails(path: string): Promise<void> {
  const unhandled = unhandledRejections();
  const engine = await openEngine('lmdb', path);
  let acknowledged = 0n;
  const codes: string[] = [];
  const note = (error: unknown): number => codes.push(codeOf(error));
  try {
    for (;;) {
      const position = acknowledged + 1n;
      const rows = Array.from(
        { length: 8 },
        (_, i) => [`${position}/${i}`, new Uint8Array(16 * 1024).fill(i)] as const,
      );
      await engine.commit(new Map(rows), position);
      acknowledged = position;
    }
  } catch (error) {
    note(error);
  }
  for (const again of [
    () => engine.commit(new Map(), acknowledged + 2n),
    () => engine.put('a', new Uint8Array(1)),
    () => engine.sync(),
    () => engine.compact(),
    async () => engine.get('a'),
    async () => engine.snapshot(),
  ]) {
    await again().catch(note);
  }
  await engine.close();
  for (let i = 0; i < 10; i++) await turn();
  process.stdout.write(JSON.stringify({ acknowledged: String(acknowledged), codes, unhandled: unhandled.map(String) }));
}

/** Restores more than the process may write, though the disk has room. */
async function restoreUntilItFails(path: string): Promise<void> {
  const unhandled = unhandledRejections();
  const engine = await openEngine('lmdb', path);
  await engine.commit(new Map([['a', new Uint8Array(1)]]), 1n);
  const many = Array.from({ length: 32_000 }, (_, i) => ({ key: `row-${100_000 + i}`, value: new Uint8Array(1024) }));
  const codes: string[] = [];
  await engine.restore(many, 2n).catch((error: unknown) => codes.push(codeOf(error)));
  await engine.commit(new Map(), 3n).catch((error: unknown) => codes.push(codeOf(error)));
  await engine.close();
  for (let i = 0; i < 10; i++) await turn();
  process.stdout.write(JSON.stringify({ codes, unhandled: unhandled.map(String) }));
}

/** On a disk with room for little more than what is there. */
async function replaceWithoutRoom(path: string): Promise<void> {
  const engine = await openEngine('lmdb', path);
  const rows = Array.from({ length: 64 }, (_, i) => [`row-${i}`, new Uint8Array(64 * 1024).fill(i)] as const);
  await engine.commit(new Map(rows), 1n);
  const outcome = (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'it was done',
      (error: unknown) => codeOf(error),
    );
  const compacted = await outcome(engine.compact());
  const many = Array.from({ length: 200 }, (_, i) => ({ key: `row-${1000 + i}`, value: new Uint8Array(32 * 1024) }));
  const restored = await outcome(engine.restore(many, 2n));
  await engine.commit(new Map([['a', new Uint8Array(1)]]), 2n);
  const { length } = engine.statistics();
  await engine.close();
  process.stdout.write(JSON.stringify({ compacted, restored, length }));
}

function unhandledRejections(): readonly unknown[] {
  const unhandled: unknown[] = [];
  process.on('unhandledRejection', (reason) => unhandled.push(reason));
  return unhandled;
}

function codeOf(error: unknown): string {
  return error instanceof StateStoreError ? error.code : String(error);
}
