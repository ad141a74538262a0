// Resident memory of the server with the lmdb engine: 1,000,000 entries of 128 bytes are loaded, then served.
// Anonymous memory is what the process itself holds; the rest are mapped files, LMDB's above all, which
// the kernel takes back when it needs them.
import { join } from 'node:path';
import { DevServer } from '../test/process/dev-server.ts';
import type { BenchOptions, Row } from './bench.ts';
import { drive, rawRequest } from './drive.ts';
import { benchKey, fill } from './fill.ts';
import { cpuSeconds, memoryOf } from './measure.ts';
import { formatTable } from './table.ts';

const entries = 1_000_000;
const valueBytes = 128;
const store = 'memory';
const sampleMs = 100;
const targetMb = 400;

interface Peak {
  rssMb: number;
  anonymousMb: number;
  fileMb: number;
  samples: number;
}

/** Samples while `run` runs; each figure is its own highest. */
async function peakOf(pid: number, run: () => Promise<unknown>): Promise<Peak> {
  const peak: Peak = { rssMb: 0, anonymousMb: 0, fileMb: 0, samples: 0 };
  const sample = (): void => {
    const now = memoryOf(pid);
    peak.rssMb = Math.max(peak.rssMb, now.rssMb);
    peak.anonymousMb = Math.max(peak.anonymousMb, now.anonymousMb);
    peak.fileMb = Math.max(peak.fileMb, now.fileMb);
    peak.samples++;
  };
  const timer = setInterval(sample, sampleMs);
  try {
    await run();
    sample();
    return peak;
  } finally {
    clearInterval(timer);
  }
}

export async function memory({ folder, seconds, print }: BenchOptions): Promise<readonly Row[]> {
  const server = await DevServer.start({ folder: join(folder, 'data'), partitions: 4, engine: 'lmdb' });
  const pid = server.pid!;
  const rows: Row[] = [];
  const phase = async (name: string, run: () => Promise<Record<string, number>>): Promise<void> => {
    const cpuBefore = cpuSeconds(pid);
    let more: Record<string, number> = {};
    const peak = await peakOf(pid, async () => {
      more = await run();
    });
    const after = memoryOf(pid);
    const figures = { ...peak, afterRssMb: after.rssMb, cpuSeconds: cpuSeconds(pid) - cpuBefore, ...more };
    rows.push({ group: 'memory', name, figures });
  };
  try {
    await phase('idle after the start', async () => ({}));
    await phase(`loading ${entries.toLocaleString('en-US')} entries`, async () => {
      const began = performance.now();
      await fill({ url: server.url, store, entries, valueBytes });
      return { perSecond: (entries * 1000) / (performance.now() - began) };
    });
    const plan = { connections: 64, warmupMs: 500, durationMs: seconds * 1000 };
    const some = Array.from({ length: 20_000 }, () => benchKey(Math.floor(Math.random() * entries)));
    const path = (key: string): string => `/v1/stores/${store}/keys/${key}`;
    await phase('serving GET', async () => {
      const sample = await drive(
        { port: server.port, pid },
        { ...plan, requests: some.map((key) => rawRequest('GET', path(key))) },
        [200],
      );
      return { perSecond: sample.requestsPerSecond };
    });
    await phase('serving PUT', async () => {
      const requests = some.map((key) => rawRequest('PUT', path(key), Buffer.alloc(valueBytes, 'w')));
      const sample = await drive({ port: server.port, pid }, { ...plan, requests }, [200]);
      return { perSecond: sample.requestsPerSecond };
    });
    await phase('listing everything', async () => {
      const response = await fetch(`${server.url}/v1/stores/${store}/keys?values=true`, {
        headers: { accept: 'application/x-ndjson' },
      });
      let bytes = 0;
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) bytes += chunk.length;
      return { bytes };
    });
    await server.kill();
    server.spawn();
    await server.ready();
    rows.push({
      group: 'memory',
      name: 'after kill -9 and restart',
      figures: { ...memoryOf(server.pid!), afterRssMb: memoryOf(server.pid!).rssMb },
    });
  } finally {
    await server.stop();
  }
  print(
    `highest values, sampled every ${sampleMs} ms; the target is ${targetMb} MB resident while loading and serving\n`,
  );
  const columns = [
    { title: 'phase' },
    { title: 'RSS MB' },
    { title: 'RssAnon MB' },
    { title: 'RssFile MB' },
    { title: 'RSS after, MB' },
    { title: 'CPU s', digits: 1 },
    { title: 'per second' },
  ];
  const cells = rows.map(({ name, figures: f }) => [
    name,
    f['rssMb'],
    f['anonymousMb'],
    f['fileMb'],
    f['afterRssMb'],
    f['cpuSeconds'],
    f['perSecond'],
  ]);
  print(formatTable(columns, cells));
  return rows;
}
