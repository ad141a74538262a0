// What do clients that write feel of a checkpoint? One load of PUTs goes on; it is measured in turn while no checkpoint
// is made and while one is, and only while the server says that it is. As much as 64 connections give, and half of that.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchOptions, Row } from './bench.ts';
import type { MadeCheckpoint } from './checkpoint-run.ts';
import { fullCheckpoint } from './checkpoint-run.ts';
import type { CheckpointSubject } from './checkpoint-subject.ts';
import { fillSubject, folderRepository, oneServer, putsOf, s3Repository, threeNodes } from './checkpoint-subject.ts';
import { LoadWindows } from './load-windows.ts';
import { cpuSeconds, median, medians, MemoryWatch } from './measure.ts';
import { formatTable } from './table.ts';

const defaultEntries = 1_000_000;
const connections = 64;
/** Different ones; together they lie on nearly every page of a million entries. */
const putsMax = 100_000;
const settleMs = 1000;
const printedCharsMax = 4000;
const rateAim = 0.7;
const p99Aim = 2;

const layouts = {
  'one server': { start: oneServer, repository: folderRepository },
  'one server, to S3': { start: oneServer, repository: s3Repository },
  'three nodes': { start: threeNodes, repository: folderRepository },
} as const;

interface Sample {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly cores: number;
  readonly generatorCores: number;
  /** Of the process that had most. */
  readonly anonymousMb: number;
}

/** A subject under load: what it was like in the time that is measured. */
class Watched {
  readonly #load: LoadWindows;
  readonly #pids: readonly number[];
  readonly #memory: MemoryWatch;
  #cpuBefore = 0;
  #cpuSeconds = 0;

  constructor(load: LoadWindows, { pids }: CheckpointSubject) {
    this.#load = load;
    this.#pids = pids;
    this.#memory = new MemoryWatch(pids);
  }

  readonly began = (): void => {
    this.#load.measure();
    this.#cpuBefore = this.#cpu();
  };

  readonly ended = (): void => {
    this.#load.rest();
    this.#cpuSeconds += this.#cpu() - this.#cpuBefore;
  };

  /** Of all that was measured while `run` ran. */
  async sample(run: () => Promise<unknown>): Promise<Sample> {
    this.#memory.take();
    this.#cpuSeconds = 0;
    await run();
    const anonymousMb = Math.max(...this.#memory.take());
    const { requestsPerSecond, p50Ms, p99Ms, maxMs, seconds, generatorCpuShare } = await this.#load.tell();
    const cores = this.#cpuSeconds / seconds;
    return { requestsPerSecond, p50Ms, p99Ms, maxMs, cores, generatorCores: generatorCpuShare, anonymousMb };
  }

  async stop(): Promise<void> {
    this.#memory.stop();
    await this.#load.stop();
  }

  #cpu(): number {
    return this.#pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  }
}

async function compare(
  { seconds, repeats }: BenchOptions,
  subject: CheckpointSubject,
  requests: readonly string[],
  requestsPerSecond?: number,
): Promise<{ readonly without: readonly Sample[]; readonly during: readonly Sample[]; made: MadeCheckpoint[] }> {
  const pace = requestsPerSecond === undefined ? {} : { requestsPerSecond };
  const plan = { ports: [subject.port], connections, warmupMs: 2000, requests, ...pace };
  const watched = new Watched(await LoadWindows.start(plan, [200, 201]), subject);
  const without: Sample[] = [];
  const during: Sample[] = [];
  const made: MadeCheckpoint[] = [];
  try {
    for (let round = 0; round < repeats; round++) {
      const idle = async (): Promise<void> => {
        watched.began();
        await sleep(seconds * 1000);
        watched.ended();
      };
      const busy = async (): Promise<void> => {
        for (let measured = 0; measured < seconds; measured += made.at(-1)!.seconds)
          made.push(await fullCheckpoint(subject, watched));
      };
      without.push(await watched.sample(idle));
      during.push(await watched.sample(busy));
      await sleep(settleMs);
    }
    return { without, during, made };
  } finally {
    await watched.stop();
  }
}

function rowsOf(group: string, { without, during, made }: Awaited<ReturnType<typeof compare>>): Row[] {
  const against = (of: (one: Sample, other: Sample) => number): number =>
    median(during.map((one, at) => of(one, without[at]!)));
  return [
    { group, name: 'no checkpoint', figures: { ...medians(without) } },
    {
      group,
      name: 'checkpoint under way',
      figures: {
        ...medians(during),
        rateRatio: against((one, other) => one.requestsPerSecond / other.requestsPerSecond),
        p99Ratio: against((one, other) => one.p99Ms / other.p99Ms),
        grewMb: against((one, other) => one.anonymousMb - other.anonymousMb),
        checkpointSeconds: median(made.map(({ seconds }) => seconds)),
        megabytes: median(made.map(({ megabytes }) => megabytes)),
        checkpoints: made.length,
      },
    },
  ];
}

async function measure(options: BenchOptions, layout: keyof typeof layouts, entries: number): Promise<Row[]> {
  const folder = join(options.folder, layout.replaceAll(/\W+/g, '-'));
  await mkdir(folder, { recursive: true });
  const { start, repository: open } = layouts[layout];
  const repository = await open(folder);
  let subject: CheckpointSubject | undefined;
  try {
    subject = await start(folder, repository);
    await fillSubject(subject, entries);
    await sleep(settleMs);
    const alone = await fullCheckpoint(subject);
    const { seconds, megabytes } = alone;
    const rows: Row[] = [
      { group: layout, name: 'checkpoint, no load', figures: { checkpointSeconds: seconds, megabytes } },
    ];
    const requests = putsOf(entries, Math.min(entries, putsMax));
    const full = rowsOf(`${layout}, ${connections} connections`, await compare(options, subject, requests));
    const half = full[0]!.figures['requestsPerSecond']! / 2;
    rows.push(...full);
    rows.push(...rowsOf(`${layout}, half of the rate`, await compare(options, subject, requests, half)));
    options.print(`${table(rows)}\n`);
    return rows;
  } catch (error) {
    const printed = subject?.printed().slice(-printedCharsMax) ?? '';
    throw new Error(`${layout}: ${String(error)}; its processes printed last:\n${printed}`, { cause: error });
  } finally {
    await subject?.close();
    await repository.close();
    await rm(folder, { recursive: true, force: true });
  }
}

export async function checkpointWrites(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const entries of options.entries ?? [defaultEntries])
    for (const layout of Object.keys(layouts) as (keyof typeof layouts)[]) {
      options.print(
        `${layout}, ${entries.toLocaleString('en-US')} entries of 128 bytes, 4 partitions; durable PUTs of random ones of them\n`,
      );
      const added = await measure(options, layout, entries);
      rows.push(...added.map((row) => ({ ...row, figures: { entries, ...row.figures } })));
    }
  options.print(statements(rows));
  return rows;
}

function statements(rows: readonly Row[]): string {
  const compared = rows.filter(({ figures }) => figures['rateRatio'] !== undefined);
  return compared
    .flatMap(({ group, figures: f }) => {
      const [rate, p99] = [f['rateRatio']!, f['p99Ratio']!];
      return [
        `${rate >= rateAim ? 'met    ' : 'not met'}  ${group}: ${rate.toFixed(2)} of the rate, at least ${rateAim}`,
        `${p99 <= p99Aim ? 'met    ' : 'not met'}  ${group}: ${p99.toFixed(2)} times the p99, at most ${p99Aim}`,
      ];
    })
    .join('\n');
}

function table(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['PUT/s', 'requestsPerSecond', 0],
    ['ratio', 'rateRatio', 2],
    ['p50 ms', 'p50Ms', 2],
    ['p99 ms', 'p99Ms', 2],
    ['ratio', 'p99Ratio', 2],
    ['max ms', 'maxMs', 0],
    ['cores', 'cores', 2],
    ['generator cores', 'generatorCores', 2],
    ['RssAnon MB', 'anonymousMb', 0],
    ['more MB', 'grewMb', 0],
    ['checkpoint s', 'checkpointSeconds', 2],
    ['MB', 'megabytes', 1],
    ['of them', 'checkpoints', 0],
  ];
  return formatTable(
    [{ title: 'load' }, { title: 'what' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ group, name, figures }) => [group, name, ...columns.map(([, figure]) => figures[figure])]),
  );
}
