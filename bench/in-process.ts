// Timing of short things inside this process: many at once, since a clock's reading costs as much as one.
import type { BenchOptions, Row } from './bench.ts';
import { interleaved, median } from './measure.ts';

interface Sample {
  readonly nanos: number;
  readonly cpuNanos: number;
  /** Of the means of blocks, not of single operations. */
  readonly blocks: readonly number[];
}

/** Runs `operations` of them; a promise where they are waited for. */
export type Work = (operations: number) => unknown;

export interface Subject {
  readonly name: string;
  /** Operations of one block. */
  readonly block: number;
  readonly work: Work;
}

const roundMsMax = 250;

async function sample({ block, work }: Subject, seconds: number): Promise<Sample> {
  const blocks: number[] = [];
  const until = performance.now() + Math.min(roundMsMax, seconds * 1000);
  const cpu = process.cpuUsage();
  const began = performance.now();
  while (performance.now() < until) {
    const blockBegan = performance.now();
    const waiting = work(block);
    if (waiting instanceof Promise) await waiting;
    blocks.push(((performance.now() - blockBegan) * 1e6) / block);
  }
  const total = blocks.length * block;
  const used = process.cpuUsage(cpu);
  return {
    nanos: ((performance.now() - began) * 1e6) / total,
    cpuNanos: ((used.user + used.system) * 1000) / total,
    blocks,
  };
}

/** Rows with medians over rounds in turn; the first subject is the baseline of `ratio`. */
export async function compareSubjects(
  options: BenchOptions,
  group: string,
  subjects: readonly Subject[],
): Promise<Row[]> {
  const bySubject = Object.fromEntries(
    subjects.map((subject) => [subject.name, (): Promise<Sample> => sample(subject, options.seconds)] as const),
  );
  // The first round compiles.
  await interleaved(1, bySubject);
  const rounds = Math.max(3, Math.round((options.repeats * options.seconds * 1000) / roundMsMax / subjects.length));
  const samples = await interleaved(rounds, bySubject);
  const baseline = median(samples[subjects[0]!.name]!.map(({ nanos }) => nanos));
  return subjects.map(({ name }) => {
    const ofName = samples[name]!;
    const nanos = median(ofName.map((one) => one.nanos));
    const blocks = ofName.flatMap((one) => one.blocks).toSorted((a, b) => a - b);
    return {
      group,
      name,
      figures: {
        nanos,
        ratio: nanos / baseline,
        p99Nanos: blocks[Math.floor(blocks.length * 0.99)]!,
        cpuNanos: median(ofName.map((one) => one.cpuNanos)),
        rssMb: process.memoryUsage.rss() / 1024 / 1024,
      },
    };
  });
}

/** Indexes below `count` in an order that no cache guesses. */
export function shuffled(count: number): number[] {
  const order = Array.from({ length: count }, (_, n) => n);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}
