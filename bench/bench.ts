// What every benchmark gets and gives, so that main.ts can run any of them and write its figures.
import { cpus } from 'node:os';

export interface BenchOptions {
  /** Of one measured run. */
  readonly seconds: number;
  /** Runs of each subject; figures are medians of them. */
  readonly repeats: number;
  /** How many a state has, in a benchmark that can be told so; undefined: as it likes. */
  readonly entries?: readonly number[] | undefined;
  /** Scratch folder, removed afterwards. */
  readonly folder: string;
  /** Prints a line for people. */
  readonly print: (text: string) => void;
}

/** One subject's medians. */
export interface Row {
  readonly group: string;
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
}

export type Bench = (options: BenchOptions) => Promise<readonly Row[]>;

export function machine(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    platform: process.platform,
  };
}
