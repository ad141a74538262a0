// How far does a server grow while it makes a checkpoint, and does that depend on how much it holds? One process that was
// just started on what another one loaded, with nothing else to do: so that nothing of its growth is a load's. Beside it,
// how far it grows by itself in as much time.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchOptions, Row } from './bench.ts';
import { fullCheckpoint } from './checkpoint-run.ts';
import type { BenchRepository } from './checkpoint-subject.ts';
import { fillSubject, folderRepository, oneServer, s3Repository } from './checkpoint-subject.ts';
import { cpuSeconds, median, memoryOf, MemoryWatch } from './measure.ts';
import { formatTable } from './table.ts';

const defaultEntries: readonly number[] = [1_000_000, 5_000_000];
const aimMb = 128;
/** A process that was just started is still busy with itself. */
const settleMs = 5000;
const sampleMs = 20;

interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly megabytes: number;
  /** The most while it was made. */
  readonly anonymousMb: number;
}

/** A process of its own for each repository: what one left behind is no beginning for the next one. */
async function measure(folder: string, repository: BenchRepository, { repeats }: BenchOptions): Promise<Row[]> {
  const group = `to ${repository.kind}`;
  const subject = await oneServer(folder, repository);
  const [pid] = subject.pids as [number];
  const watch = new MemoryWatch([pid], sampleMs);
  try {
    await sleep(settleMs);
    const before = memoryOf(pid).anonymousMb;
    watch.take();
    const samples: Sample[] = [];
    for (let round = 0; round < repeats; round++) {
      const cpu = cpuSeconds(pid);
      watch.take();
      const { seconds, megabytes } = await fullCheckpoint(subject);
      const [anonymousMb] = watch.take() as [number];
      samples.push({ seconds, megabytes, anonymousMb, cpuSeconds: cpuSeconds(pid) - cpu });
    }
    const after = memoryOf(pid);
    const of = (figure: keyof Sample): number => median(samples.map((sample) => sample[figure]));
    return [
      {
        group,
        name: 'checkpoints',
        figures: {
          beforeMb: before,
          firstGrewMb: samples[0]!.anonymousMb - before,
          grewMb: of('anonymousMb') - before,
          mostGrewMb: Math.max(...samples.map(({ anonymousMb }) => anonymousMb)) - before,
          afterMb: after.anonymousMb,
          fileMb: after.fileMb,
          seconds: of('seconds'),
          cpuSeconds: of('cpuSeconds'),
          megabytes: of('megabytes'),
        },
      },
    ];
  } finally {
    watch.stop();
    await subject.close();
  }
}

/** As long as a checkpoint takes, and nothing is made. */
async function nothing(folder: string, repository: BenchRepository, seconds: number): Promise<Row> {
  const subject = await oneServer(folder, repository);
  const [pid] = subject.pids as [number];
  try {
    await sleep(settleMs);
    const before = memoryOf(pid).anonymousMb;
    const watch = new MemoryWatch([pid], sampleMs);
    await sleep(seconds * 1000);
    const [most] = watch.take() as [number];
    watch.stop();
    const { anonymousMb: afterMb, fileMb } = memoryOf(pid);
    const figures = { beforeMb: before, grewMb: most - before, mostGrewMb: most - before, afterMb, fileMb, seconds };
    return { group: 'nothing', name: 'nothing', figures };
  } finally {
    await subject.close();
  }
}

export async function checkpointMemory(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  options.print(
    `one server, entries of 128 bytes loaded over HTTP, 4 partitions; RssAnon sampled every ${sampleMs} ms; full checkpoints\n`,
  );
  for (const entries of options.entries ?? defaultEntries) {
    const folder = join(options.folder, String(entries));
    await mkdir(folder, { recursive: true });
    const toFolder = await folderRepository(folder);
    const loader = await oneServer(folder, toFolder);
    try {
      await fillSubject(loader, entries);
    } finally {
      await loader.close();
    }
    const toS3 = await s3Repository(join(folder, 's3'));
    try {
      const made = [...(await measure(folder, toFolder, options)), ...(await measure(folder, toS3, options))];
      const seconds = Math.max(...made.map(({ figures }) => figures['seconds']!));
      const added = [await nothing(folder, toFolder, seconds), ...made];
      rows.push(...added.map((row) => ({ ...row, figures: { entries, ...row.figures } })));
    } finally {
      await toS3.close();
      await rm(folder, { recursive: true, force: true });
    }
  }
  options.print(table(rows));
  options.print(`\n${statements(rows)}`);
  return rows;
}

function statements(rows: readonly Row[]): string {
  return rows
    .filter(({ name }) => name === 'checkpoints')
    .map(({ group, figures: f }) => {
      const [grew, entries] = [f['mostGrewMb']!, f['entries']!.toLocaleString('en-US')];
      return `${grew < aimMb ? 'met    ' : 'not met'}  ${entries} entries ${group}: it grew by ${grew.toFixed(0)} MB at most, less than ${aimMb}`;
    })
    .join('\n');
}

function table(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['entries', 'entries', 0],
    ['RssAnon before, MB', 'beforeMb', 0],
    ['first grew', 'firstGrewMb', 0],
    ['median', 'grewMb', 0],
    ['most', 'mostGrewMb', 0],
    ['after, MB', 'afterMb', 0],
    ['RssFile MB', 'fileMb', 0],
    ['seconds', 'seconds', 2],
    ['CPU s', 'cpuSeconds', 2],
    ['stored MB', 'megabytes', 1],
  ];
  return formatTable(
    [{ title: 'what' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ group, figures }) => [group, ...columns.map(([, figure]) => figures[figure])]),
  );
}
