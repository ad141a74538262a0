// What does it take to copy a replica's state to another node, and what does the traffic on the source feel
// of it? Source, target and load are three processes; the load are gets and puts over the link.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Target } from '../test/process/copy/run-target.ts';
import { putCommand, sourceKey, SourceNode, sourceStore } from '../test/process/copy/source-node.ts';
import type { BenchOptions, Row } from './bench.ts';
import { cpuSeconds, memoryOf } from './measure.ts';
import { formatTable } from './table.ts';

const entries = 1_000_000;
const valueBytes = 128;
const getters = 32;
const putters = 32;

interface Load {
  readonly getsPerSecond: number;
  readonly putsPerSecond: number;
  readonly getP99Ms: number;
  readonly getMaxMs: number;
  readonly putP99Ms: number;
}

/** Gets and puts of random keys until `over` resolves. */
async function loadUntil({ link }: SourceNode, over: Promise<unknown>): Promise<Load> {
  const state = { over: false };
  void over.finally(() => (state.over = true));
  const began = performance.now();
  const value = new Uint8Array(valueBytes).fill(9);
  const times = { get: [] as number[], put: [] as number[] };
  const worker = async (kind: 'get' | 'put'): Promise<void> => {
    while (!state.over) {
      const key = sourceKey(Math.floor(Math.random() * entries));
      const asked = performance.now();
      if (kind === 'get') await link.get(0, sourceStore, key, { consistency: 'session' });
      else await link.propose(0, putCommand([key], value));
      times[kind].push(performance.now() - asked);
    }
  };
  await Promise.all([
    ...Array.from({ length: getters }, () => worker('get')),
    ...Array.from({ length: putters }, () => worker('put')),
  ]);
  const seconds = (performance.now() - began) / 1000;
  const [gets, puts] = [times.get.toSorted((a, b) => a - b), times.put.toSorted((a, b) => a - b)];
  const p99 = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length * 0.99)] ?? NaN;
  return {
    getsPerSecond: gets.length / seconds,
    putsPerSecond: puts.length / seconds,
    getP99Ms: p99(gets),
    getMaxMs: gets.at(-1) ?? NaN,
    putP99Ms: p99(puts),
  };
}

async function copied(source: SourceNode, engine: 'lmdb' | 'memory', folder: string): Promise<Record<string, number>> {
  await mkdir(folder, { recursive: true });
  const before = { source: cpuSeconds(source.pid), anonymousMb: memoryOf(source.pid).anonymousMb };
  const target = new Target({ engine, folder, port: source.port });
  const peak = { sourceMb: 0, targetMb: 0, targetCpu: 0 };
  const timer = setInterval(() => {
    peak.sourceMb = Math.max(peak.sourceMb, memoryOf(source.pid).anonymousMb);
    try {
      peak.targetMb = Math.max(peak.targetMb, memoryOf(target.pid).anonymousMb);
      peak.targetCpu = cpuSeconds(target.pid);
    } catch {
      // It has ended.
    }
  }, 100);
  try {
    const said = await target.ended();
    const done = said.at(-1)?.copied;
    if (done === undefined) throw new Error(`the copy failed: ${JSON.stringify(said.at(-1))}`);
    const seconds = done.ms / 1000;
    return {
      seconds,
      takenSeconds: done.takenMs / 1000,
      records: done.records,
      megabytes: done.bytes / 1e6,
      sourceGrewMb: peak.sourceMb - before.anonymousMb,
      targetMb: peak.targetMb,
      sourceCpu: cpuSeconds(source.pid) - before.source,
      targetCpu: peak.targetCpu,
    };
  } finally {
    clearInterval(timer);
    await target.kill();
  }
}

export async function copy({ folder, seconds, print }: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const source = await SourceNode.start(join(folder, 'source'), 'lmdb');
  try {
    await source.fill(entries, valueBytes);
    for (const engine of ['lmdb', 'memory'] as const)
      rows.push({
        group: 'copy',
        name: `into ${engine}, idle`,
        figures: await copied(source, engine, join(folder, `idle-${engine}`)),
      });
    const rest = new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    rows.push({ group: 'copy', name: 'no copy, load', figures: { ...(await loadUntil(source, rest)) } });
    const copying = copied(source, 'lmdb', join(folder, 'busy'));
    const load = await loadUntil(source, copying);
    rows.push({ group: 'copy', name: 'into lmdb, load', figures: { ...(await copying), ...load } });
  } finally {
    await source.kill();
  }
  print(
    `${entries.toLocaleString('en-US')} entries of ${valueBytes} bytes; load: ${getters} gets and ${putters} puts in flight\n`,
  );
  print(tableOf(rows));
  return rows;
}

function tableOf(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['seconds', 'seconds', 1],
    ['of it taking', 'takenSeconds', 1],
    ['MB', 'megabytes', 0],
    ['source CPU s', 'sourceCpu', 1],
    ['target CPU s', 'targetCpu', 1],
    ['source grew MB', 'sourceGrewMb', 0],
    ['target RssAnon MB', 'targetMb', 0],
    ['gets/s', 'getsPerSecond', 0],
    ['puts/s', 'putsPerSecond', 0],
    ['get p99 ms', 'getP99Ms', 1],
    ['get max ms', 'getMaxMs', 1],
    ['put p99 ms', 'putP99Ms', 1],
  ];
  return formatTable(
    [{ title: 'what' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ name, figures }) => [name, ...columns.map(([, figure]) => figures[figure])]),
  );
}
