import type { BenchOptions, Row } from './bench.ts';
export async function engine(_options: BenchOptions): Promise<readonly Row[]> { return []; }
