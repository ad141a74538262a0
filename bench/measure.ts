// What is measured beside time: CPU and memory of a process as Linux counts them; and the medians that
// every figure is. Benchmarks report; they never fail because of a figure.
import { readFileSync } from 'node:fs';

/** USER_HZ: the unit of /proc/<pid>/stat on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** User and system time of all threads so far. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold spaces; utime and stime are fields 14 and 15 of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export interface Memory {
  /** Resident: anonymous + file. */
  readonly rssMb: number;
  /** Heap, stacks, buffers: what the process cannot give back. */
  readonly anonymousMb: number;
  /** Mapped files (LMDB, code): the kernel takes it back when it is needed elsewhere. */
  readonly fileMb: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const mb = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? NaN) / 1024;
  return { rssMb: mb('VmRSS'), anonymousMb: mb('RssAnon'), fileMb: mb('RssFile') };
}

/** The most anonymous memory that each of some processes had, by samples. */
export class MemoryWatch {
  readonly #pids: readonly number[];
  readonly #timer: NodeJS.Timeout;
  #peaks: number[] = [];

  constructor(pids: readonly number[], everyMs = 50) {
    this.#pids = pids;
    this.#timer = setInterval(() => this.#sample(), everyMs);
    this.#sample();
  }

  /** Since the last time, MB, in the order of the processes. */
  take(): readonly number[] {
    this.#sample();
    const peaks = this.#peaks;
    this.#peaks = [];
    this.#sample();
    return peaks;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    this.#peaks = this.#pids.map((pid, at) => Math.max(this.#peaks[at] ?? 0, memoryOf(pid).anonymousMb));
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Field by field; every sample has the same numeric fields. */
export function medians<Sample extends { readonly [Field in keyof Sample]: number }>(
  samples: readonly Sample[],
): Sample {
  const fields = Object.keys(samples[0]!) as (keyof Sample)[];
  return Object.fromEntries(fields.map((field) => [field, median(samples.map((sample) => sample[field]))])) as Sample;
}

/** Runs the subjects in turn, A B A B, so that what the machine does meanwhile hits all alike. */
export async function interleaved<Name extends string, Sample>(
  repeats: number,
  subjects: Readonly<Record<Name, () => Sample | Promise<Sample>>>,
): Promise<Record<Name, Sample[]>> {
  const names = Object.keys(subjects) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as Sample[]])) as Record<Name, Sample[]>;
  for (let round = 0; round < repeats; round++) {
    for (const name of names) samples[name].push(await subjects[name]());
  }
  return samples;
}
