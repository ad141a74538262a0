// Listing 100,000 entries with values over 4 partitions, in pages and as a stream of lines. `server
// side` is entries by the CPU that the server spent on them; the baseline is a range over LMDB with nothing
// in front of it.
import { join } from 'node:path';
import { open } from 'lmdb';
import { Pool } from 'undici';
import { DevServer } from '../test/process/dev-server.ts';
import type { BenchOptions, Row } from './bench.ts';
import { benchKey, fill } from './fill.ts';
import { cpuSeconds, interleaved, medians, memoryOf } from './measure.ts';
import { formatTable } from './table.ts';

const entries = 100_000;
const valueBytes = 128;
const pageEntries = 10_000;
const store = 'scan';

interface ScanSample {
  readonly seconds: number;
  readonly entriesPerSecond: number;
  readonly cpuSeconds: number;
  /** If the server did nothing else with a core. */
  readonly entriesPerCpuSecond: number;
  readonly megabytes: number;
  readonly rssMb: number;
}

export async function scan({ folder, repeats, print }: BenchOptions): Promise<readonly Row[]> {
  const server = await DevServer.start({ folder: join(folder, 'data'), partitions: 4 });
  const lmdb = open<Uint8Array, string>({ path: join(folder, 'raw'), encoding: 'binary' });
  const pool = new Pool(server.url, { connections: 1, pipelining: 1 });
  try {
    await fill({ url: server.url, store, entries, valueBytes });
    await lmdb.transaction(() => {
      for (let n = 0; n < entries; n++) void lmdb.put(benchKey(n), Buffer.alloc(valueBytes, '.'));
    });
    const timed = async (run: () => Promise<number> | number, pid: number): Promise<ScanSample> => {
      const before = cpuSeconds(pid);
      const began = performance.now();
      const bytes = await run();
      const seconds = (performance.now() - began) / 1000;
      // The clock of /proc ticks 100 times a second: never below one tick.
      const used = Math.max(0.01, cpuSeconds(pid) - before);
      return {
        seconds,
        entriesPerSecond: entries / seconds,
        cpuSeconds: used,
        entriesPerCpuSecond: entries / used,
        megabytes: bytes / 1e6,
        rssMb: memoryOf(pid).rssMb,
      };
    };
    const samples = await interleaved(repeats + 1, {
      'raw lmdb-js getRange': () => timed(() => rawRange(lmdb), process.pid),
      'pages of 10,000, with values': () => timed(() => pages(pool, true), server.pid!),
      'one stream of lines, with values': () => timed(() => lines(pool), server.pid!),
      'pages of 10,000, keys only': () => timed(() => pages(pool, false), server.pid!),
    });
    const rows = Object.entries(samples).map(
      // The first round warms up.
      ([name, ofName]): Row => ({ group: 'scan', name, figures: { ...medians(ofName.slice(1)) } }),
    );
    const raw = rows[0]!.figures['entriesPerSecond']!;
    const columns = [
      { title: `${entries.toLocaleString('en-US')} entries, 4 partitions` },
      { title: 'entries/s at the client' },
      { title: 'ratio to raw', digits: 3 },
      { title: 'entries/CPU s of the server' },
      { title: 'CPU s', digits: 2 },
      { title: 'MB', digits: 1 },
      { title: 'RSS MB' },
    ];
    const cells = rows.map(({ name, figures: f }) => [
      name,
      f['entriesPerSecond'],
      f['entriesPerSecond']! / raw,
      f['entriesPerCpuSecond'],
      f['cpuSeconds'],
      f['megabytes'],
      f['rssMb'],
    ]);
    print(formatTable(columns, cells));
    return rows;
  } finally {
    await pool.close();
    await lmdb.close();
    await server.stop();
  }
}

function rawRange(lmdb: ReturnType<typeof open<Uint8Array, string>>): number {
  let bytes = 0;
  let count = 0;
  for (const { value } of lmdb.getRange()) {
    bytes += value.length;
    count++;
  }
  if (count !== entries) throw new Error(`${count} entries, not ${entries}`);
  return bytes;
}

async function pages(pool: Pool, values: boolean): Promise<number> {
  let bytes = 0;
  let count = 0;
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(pageEntries), values: String(values) });
    if (cursor !== null) query.set('cursor', cursor);
    const { statusCode, body } = await pool.request({
      method: 'GET',
      path: `/v1/stores/${store}/keys?${query.toString()}`,
    });
    const page = Buffer.from(await body.arrayBuffer());
    if (statusCode !== 200) throw new Error(`a page was answered ${statusCode} ${page.toString()}`);
    bytes += page.length;
    // The cursor and no more: parsing a page would be the client's cost.
    const tail = page.toString('latin1', page.lastIndexOf('"cursor":'));
    cursor = (JSON.parse(`{${tail}`) as { cursor: string | null }).cursor;
    for (let at = page.indexOf('"key":'); at !== -1; at = page.indexOf('"key":', at + 6)) count++;
  } while (cursor !== null);
  if (count !== entries) throw new Error(`${count} entries were listed, not ${entries}`);
  return bytes;
}

async function lines(pool: Pool): Promise<number> {
  const { statusCode, body } = await pool.request({
    method: 'GET',
    path: `/v1/stores/${store}/keys?values=true`,
    headers: { accept: 'application/x-ndjson' },
  });
  if (statusCode !== 200) throw new Error(`the stream was answered ${statusCode}`);
  let bytes = 0;
  let count = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) count++;
  }
  if (count !== entries) throw new Error(`${count} lines were streamed, not ${entries}`);
  return bytes;
}
