// Gets of 128-byte values: the memory engine beside a bare Map, the LMDB engine beside getBinaryFast.
import { join } from 'node:path';
import { open } from 'lmdb';
import { openEngine } from '../services/node/src/engine/open-engine.ts';
import { WriteBuffer } from '../services/node/src/engine/write-buffer.ts';
import type { BenchOptions, Row } from './bench.ts';
import { benchKey } from './fill.ts';
import type { Subject } from './in-process.ts';
import { compareSubjects, shuffled } from './in-process.ts';

const value = new Uint8Array(128).fill(118);
const block = 10_000;

/** Other strings than the stored ones, as those of requests are. */
function asked(count: number): string[] {
  return shuffled(count).map((n) => Buffer.from(benchKey(n)).toString('latin1'));
}

/** Takes every result into account, so that no get is optimized away. */
function gets(name: string, keys: readonly string[], get: (key: string) => Uint8Array | undefined): Subject {
  let at = 0;
  return {
    name,
    block,
    work(operations) {
      let bytes = 0;
      for (let n = 0; n < operations; n++) {
        bytes += get(keys[at]!)!.length;
        at = at + 1 === keys.length ? 0 : at + 1;
      }
      if (bytes !== operations * value.length) throw new Error(`${name} read ${bytes} bytes`);
    },
  };
}

export async function memoryGets(options: BenchOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of [100, 1000, 10_000, 100_000]) {
    const engine = await openEngine('memory', '');
    const writes = new Map(Array.from({ length: count }, (_, n) => [benchKey(n), value]));
    await engine.commit(writes, 1n);
    const map = new Map(writes);
    const keys = asked(count);
    const named = count.toLocaleString('en-US');
    const some = await compareSubjects({ ...options, repeats: Math.ceil(options.repeats / 2) }, 'memory engine', [
      gets(`Map, ${named} entries`, keys, (key) => map.get(key)),
      gets(`memory engine, ${named} entries`, keys, (key) => engine.get(key)),
    ]);
    rows.push(...some);
    await engine.close();
  }
  return rows;
}

export async function lmdbGets(options: BenchOptions): Promise<Row[]> {
  const count = 100_000;
  const engine = await openEngine('lmdb', join(options.folder, 'engine-gets'));
  const raw = open<Uint8Array, string>({ path: join(options.folder, 'raw-gets'), encoding: 'binary' });
  try {
    const writes = new Map(Array.from({ length: count }, (_, n) => [benchKey(n), value]));
    await engine.commit(writes, 1n);
    await raw.batch(() => {
      for (const [key, bytes] of writes) void raw.put(key, bytes);
    });
    const buffered = new WriteBuffer(engine);
    const keys = asked(count);
    return await compareSubjects(options, 'LMDB, 100,000 entries', [
      gets('raw lmdb-js getBinaryFast', keys, (key) => fast(raw as unknown as Fast, key)),
      gets('raw lmdb-js getBinary (a copy, as the engine gives)', keys, (key) => raw.getBinary(key)),
      gets('LMDB engine', keys, (key) => engine.get(key)),
      gets('LMDB engine behind an empty write buffer', keys, (key) => buffered.get(key)),
    ]);
  } finally {
    await engine.close();
    await raw.close();
  }
}

/** What lmdb-js has and its types do not say. */
interface Fast {
  readonly lastSize: number;
  getBinaryFast(key: string): Uint8Array | undefined;
}

/** getBinaryFast gives lmdb-js's own buffer; how much of it is the value, `lastSize` says. */
function fast(raw: Fast, key: string): Uint8Array | undefined {
  return raw.getBinaryFast(key) !== undefined && raw.lastSize === value.length ? value : undefined;
}
