// What does it take to checkpoint a partition into a folder and to restore it, against only compressing and
// writing the same bytes; and what does a second checkpoint upload after a few changes?
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { Repository, WrittenPartition } from '@statestore/checkpoint';
import { readPartitionParts, restorePartition, writePartition } from '@statestore/checkpoint';
import { FolderRepository } from '../services/checkpoint/src/folder-repository.ts';
import { limits } from '@statestore/core';
import { CheckpointTurns } from '../services/node/src/checkpoint/checkpoint-turns.ts';
import { Turns } from '../services/node/src/copy/turns.ts';
import { LmdbEngine } from '../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../services/node/src/engine/memory-engine.ts';
import { systemTime } from '../services/node/src/time.ts';
import type { BenchOptions, Row } from './bench.ts';
import { BenchState } from './checkpoint-state.ts';
import { cpuSeconds, median, memoryOf } from './measure.ts';
import { formatTable } from './table.ts';

const sizes = [1000, 100_000, 1_000_000];
const changedShare = 0.01;
const { signal } = new AbortController();

interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly grewMb: number;
}

async function measured(run: () => Promise<unknown>): Promise<Measured> {
  const before = { anonymousMb: memoryOf(process.pid).anonymousMb, cpu: cpuSeconds(process.pid) };
  let peakMb = 0;
  const sample = (): void => void (peakMb = Math.max(peakMb, memoryOf(process.pid).anonymousMb));
  const timer = setInterval(sample, 50);
  const began = performance.now();
  try {
    await run();
    const seconds = (performance.now() - began) / 1000;
    sample();
    return { seconds, cpuSeconds: cpuSeconds(process.pid) - before.cpu, grewMb: peakMb - before.anonymousMb };
  } finally {
    clearInterval(timer);
  }
}

/** As a node does it: others are served between two turns. */
function nodeTurn(): () => Promise<void> | undefined {
  const turns = new Turns(systemTime);
  return () => (turns.over ? turns.next() : undefined);
}

async function checkpoint(
  state: BenchState,
  repository: Repository,
  previous?: PartitionManifest,
): Promise<WrittenPartition> {
  const reader = state.engine.snapshot();
  try {
    const slots = [{ start: 0, end: limits.slotCount }];
    const place = { cluster: 'bench', partition: 0, slots, generation: 1 };
    const checkpointId = randomUUID();
    const turn = new CheckpointTurns(systemTime).part();
    return await writePartition({ ...place, reader, repository, checkpointId, previous, signal, turn });
  } finally {
    reader.close();
  }
}

/** The pieces that checkpoint and baseline have in common: their content, and nothing else. */
async function contentsOf(repository: Repository, manifest: PartitionManifest): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const part of readPartitionParts({ repository, manifest, signal })) {
    const parts = part.flatMap(({ key, value }) => [Buffer.from(key, 'latin1'), value]);
    pieces.push(Buffer.concat(parts));
  }
  return pieces;
}

/** Compressed two at a time, each written and synced. */
async function bareWrite(folder: string, pieces: readonly Uint8Array[]): Promise<void> {
  const compress = promisify(zstdCompress);
  const params = { [constants.ZSTD_c_compressionLevel]: limits.checkpointLevelDefault };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < pieces.length) {
      const at = next++;
      const piece = pieces[at]!;
      const stored = await compress(piece, { params, chunkSize: piece.length + (piece.length >> 7) + 1024 });
      const file = await open(join(folder, `${at}`), 'w');
      await file.writeFile(stored);
      await file.sync();
      await file.close();
    }
  };
  await Promise.all([worker(), worker()]);
}

async function bareRead(folder: string): Promise<void> {
  const decompress = promisify(zstdDecompress);
  const names = await readdir(folder);
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop())
      await decompress(await readFile(join(folder, name)), { chunkSize: 4 * 1024 * 1024 });
  };
  await Promise.all([worker(), worker()]);
}

class Subject {
  readonly #options: BenchOptions;
  readonly #entries: number;
  readonly #folder: string;
  readonly rows: Row[] = [];

  constructor(options: BenchOptions, entries: number) {
    this.#options = options;
    this.#entries = entries;
    this.#folder = join(options.folder, String(entries));
  }

  #row(name: string, samples: readonly Measured[], more: Readonly<Record<string, number>> = {}): void {
    const of = (figure: keyof Measured): number => median(samples.map((sample) => sample[figure]));
    const figures = { seconds: of('seconds'), cpuSeconds: of('cpuSeconds'), grewMb: of('grewMb'), ...more };
    this.rows.push({ group: String(this.#entries), name, figures });
  }

  async run(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const state = await BenchState.fill(join(this.#folder, 'state'), this.#entries);
    try {
      await this.#measure(state);
    } finally {
      await state.engine.close();
      await rm(this.#folder, { recursive: true, force: true });
    }
  }

  async #measure(state: BenchState): Promise<void> {
    const { repeats } = this.#options;
    const samples: Record<'bare' | 'write' | 'bareRead' | 'lmdb' | 'memory', Measured[]> = {
      bare: [],
      write: [],
      bareRead: [],
      lmdb: [],
      memory: [],
    };
    let last: { written: WrittenPartition; repository: FolderRepository } | undefined;
    for (let round = 0; round < repeats; round++) {
      await last?.repository.close();
      const path = join(this.#folder, `repository-${round}`);
      const repository = await FolderRepository.open({ type: 'folder', path, concurrency: 8 });
      let written: WrittenPartition;
      samples.write.push(await measured(async () => (written = await checkpoint(state, repository))));
      last = { written: written!, repository };
      const { manifest } = last.written;
      const bare = join(this.#folder, `bare-${round}`);
      await mkdir(bare);
      const pieces = await contentsOf(repository, manifest);
      samples.bare.push(await measured(() => bareWrite(bare, pieces)));
      pieces.length = 0;
      samples.bareRead.push(await measured(() => bareRead(bare)));
      for (const kind of ['lmdb', 'memory'] as const) {
        const restored = join(this.#folder, `restored-${round}`);
        const target = kind === 'lmdb' ? await LmdbEngine.open(restored) : new MemoryEngine();
        samples[kind].push(
          await measured(() => restorePartition({ repository, manifest, target, signal, turn: nodeTurn() })),
        );
        await target.close();
        await rm(restored, { recursive: true, force: true });
      }
      await rm(bare, { recursive: true });
    }
    const { repository, written } = last!;
    const megabytes = Number(written.summary.storedBytes) / 1e6;
    this.#row('bare: compress, write, sync', samples.bare);
    this.#row('checkpoint', samples.write, { megabytes, ratio: ratio(samples.write, samples.bare) });
    this.#row('bare: read, decompress', samples.bareRead);
    this.#row('restore into lmdb', samples.lmdb, { ratio: ratio(samples.lmdb, samples.bareRead) });
    this.#row('restore into memory', samples.memory, { ratio: ratio(samples.memory, samples.bareRead) });
    await this.#changed(state, repository, written);
    await repository.close();
  }

  /** Checkpoints after the first one, each upon the one before. */
  async #changed(state: BenchState, repository: FolderRepository, first: WrittenPartition): Promise<void> {
    const entries = this.#entries;
    const count = Math.ceil(entries * changedShare);
    const changes: Readonly<Record<string, readonly number[]>> = {
      'second, nothing changed': [],
      'second, 1 % at random': Array.from({ length: count }, () => Math.floor(Math.random() * entries)),
      'second, 1 % contiguous': Array.from({ length: count }, (_, n) => Math.floor(entries / 2) + n),
    };
    for (const [name, numbers] of Object.entries(changes)) {
      await state.put(numbers);
      let written: WrittenPartition;
      const sample = await measured(async () => (written = await checkpoint(state, repository, first.manifest)));
      const { uploadedBytes, storedBytes } = written!.summary;
      const uploadedShare = Number(uploadedBytes) / Number(first.summary.storedBytes);
      const megabytes = Number(storedBytes) / 1e6;
      this.#row(name, [sample], { megabytes, uploadedMegabytes: Number(uploadedBytes) / 1e6, uploadedShare });
    }
  }
}

function ratio(one: readonly Measured[], other: readonly Measured[]): number {
  return median(one.map(({ seconds }, at) => seconds / other[at]!.seconds));
}

export async function checkpoints(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  options.print(
    'values of 128 bytes: 64 random hexadecimal digits, the rest nearly the same in each; folder repository\n',
  );
  for (const entries of sizes) {
    const subject = new Subject(options, entries);
    await subject.run();
    rows.push(...subject.rows);
  }
  options.print(tableOf(rows));
  return rows;
}

function tableOf(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['seconds', 'seconds', 3],
    ['of bare', 'ratio', 2],
    ['CPU s', 'cpuSeconds', 2],
    ['RssAnon grew MB', 'grewMb', 0],
    ['MB', 'megabytes', 2],
    ['uploaded MB', 'uploadedMegabytes', 2],
    ['of the first', 'uploadedShare', 3],
  ];
  return formatTable(
    [{ title: 'entries' }, { title: 'what' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ group, name, figures }) => [group, name, ...columns.map(([, figure]) => figures[figure])]),
  );
}
