// The engines without anything in front of them, against what they are made of: `Map` and raw lmdb-js. Then
// what a command costs on its way: codec, hash, apply, each on its own line.
import type { BenchOptions, Row } from './bench.ts';
import { commandCosts } from './command-costs.ts';
import { lmdbGets, memoryGets } from './engine-gets.ts';
import { lmdbPuts } from './engine-puts.ts';
import { formatTable } from './table.ts';

export async function engine(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const part of [memoryGets, lmdbGets, lmdbPuts, commandCosts]) {
    const some = await part(options);
    options.print(`${table(some)}\n`);
    rows.push(...some);
  }
  return rows;
}

function table(rows: readonly Row[]): string {
  const columns = [
    { title: rows[0]!.group },
    { title: 'ns each' },
    { title: 'per second' },
    { title: 'of the baseline', digits: 2 },
    { title: 'p99 ns' },
    { title: 'CPU ns' },
    { title: 'RSS MB' },
  ];
  const cells = rows.map(({ name, figures: f }) => [
    name,
    f['nanos'],
    1e9 / f['nanos']!,
    f['ratio'],
    f['p99Nanos'],
    f['cpuNanos'],
    f['rssMb'],
  ]);
  return formatTable(columns, cells);
}
