// How replicated writes scale, and what bounds them: over partitions, over replicas, over the size of the
// value. A cluster of its own for each layout, all in one run.
import { join } from 'node:path';
import type { BenchOptions, Row } from './bench.ts';
import { medians } from './measure.ts';
import type { SystemSample } from './system.ts';
import { driveSystem, requestsOf, storeSystem } from './system.ts';
import { formatTable } from './table.ts';

const keys = 2_000;
const baseline = { partitions: 1, replicas: 3, valueBytes: 128, connections: 64 };
type Layout = typeof baseline;

const layouts: readonly (readonly [string, Layout])[] = [
  ...[1, 2, 4, 8, 16].map((partitions) => ['partitions', { ...baseline, partitions }] as const),
  ...[1, 2, 3].map((replicas) => ['replicas', { ...baseline, replicas }] as const),
  ...[16, 128, 1024, 8 * 1024, 64 * 1024].map(
    (valueBytes) => ['bytes of a value', { ...baseline, valueBytes }] as const,
  ),
  ...[16, 64, 256].map((connections) => ['connections', { ...baseline, connections }] as const),
];

export async function replicatedScale(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const [at, [group, layout]] of layouts.entries()) {
    const samples = await measure(join(options.folder, String(at)), layout, options);
    const name = `${layout.partitions} partitions, ${layout.replicas} replicas, ${layout.valueBytes} bytes, ${layout.connections} connections`;
    const figures = medians(
      samples.map(({ cost, keys: done, ...rest }) => ({
        ...rest,
        megabytesPerSecond: (rest.keysPerSecond * layout.valueBytes) / 1e6,
        logCores: cost.cpuSeconds['log']! / options.seconds,
        nodeCores: cost.cpuSeconds['node']! / options.seconds,
        gatewayCores: cost.cpuSeconds['gateway']! / options.seconds,
        diskBytesPerKey: cost.diskBytes / done,
      })),
    );
    rows.push({ group, name, figures: { ...figures } });
    options.print(`${group}: ${name}: ${Math.round(figures.keysPerSecond).toLocaleString('en-US')} PUT/s`);
  }
  options.print(`\n${table(rows)}`);
  return rows;
}

async function measure(folder: string, layout: Layout, { seconds, repeats }: BenchOptions): Promise<SystemSample[]> {
  const system = await storeSystem({ folder, partitions: layout.partitions, replicas: layout.replicas });
  try {
    const names = Array.from({ length: keys }, (_, n) => `key-${String(n).padStart(8, '0')}`);
    const { puts } = requestsOf('bench', names, Buffer.alloc(layout.valueBytes, 'v'), 100);
    const samples: SystemSample[] = [];
    for (let round = 0; round < repeats; round++) {
      const plan = { connections: layout.connections, warmupMs: 1500, durationMs: seconds * 1000, requests: puts };
      samples.push(await driveSystem(system, plan, 1));
    }
    return samples;
  } finally {
    await system.close();
  }
}

function table(rows: readonly Row[]): string {
  const columns = [
    { title: 'over' },
    { title: 'layout' },
    { title: 'PUT/s' },
    { title: 'to the first', digits: 2 },
    { title: 'MB/s', digits: 1 },
    { title: 'p50 ms', digits: 2 },
    { title: 'p99 ms', digits: 2 },
    { title: 'log cores', digits: 2 },
    { title: 'node cores', digits: 2 },
    { title: 'gateway cores', digits: 2 },
    { title: 'generator cores', digits: 2 },
    { title: 'disk B/key' },
  ];
  const cells = rows.map(({ group, name, figures: f }) => [
    group,
    name,
    f['keysPerSecond'],
    f['keysPerSecond']! / rows.find((row) => row.group === group)!.figures['keysPerSecond']!,
    f['megabytesPerSecond'],
    f['p50Ms'],
    f['p99Ms'],
    f['logCores'],
    f['nodeCores'],
    f['gatewayCores'],
    f['generatorCpuShare'],
    f['diskBytesPerKey'],
  ]);
  return formatTable(columns, cells);
}
