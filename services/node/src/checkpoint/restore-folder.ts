// A data folder for a node on its own out of a checkpoint, or of any archived moment. It is built inside of the folder
// that it is for, and put in place at the end, its description last: whoever is killed leaves a folder that no node
// starts on, and that this may be run on again. Logs go on where the states are, and say what they carry on.
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import type { SlotRange } from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  evenTopology,
  hashToHex,
  incarnationKey,
  limits,
  loadState,
  StateStoreError,
} from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import {
  describedName,
  type DescribedPoint,
  emptyOrRestoring,
  newDataDescription,
  restoringName,
} from '../data-directory.ts';
import { makeDurably, replaceFile } from '../durable-files.ts';
import type { Engine } from '../engine/engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import { lockFolder } from '../folder-lock.ts';
import { syncDirectory } from '../log/segment-files.ts';
import { SharedJournal } from '../log/shared-journal.ts';
import { systemTime, type Time } from '../time.ts';
import type { MaterialiseProgress } from './materialise.ts';
import { reshape } from './reshape.ts';
import { type PartitionPlan, planRestore, type RestoreMoment, type RestorePlan } from './restore-plan.ts';
import type { PartitionReach } from './restore-reach.ts';
import { sourceClusterOf } from './restore-source.ts';
import { KeepAll, RestoreWorld, type ScratchEngine } from './restore-world.ts';
import { restoredGeneration } from './restored-generation.ts';

export interface RestoreFolderOptions {
  /** Absent, or with nothing in it but what an interrupted restore left, or a folder of checkpoints. */
  readonly dataPath: string;
  readonly source: Repository;
  /** Whose checkpoints; undefined: of the only cluster whose are in the source. */
  readonly sourceCluster?: string | undefined;
  readonly moment: RestoreMoment;
  /** Undefined: those that the checkpoint has. */
  readonly partitions?: number | undefined;
  readonly signal: AbortSignal;
  readonly time?: Time;
  readonly onPlanned?: (plan: {
    readonly manifest: CheckpointManifest;
    readonly passedOver: readonly string[];
  }) => void;
  readonly onProgress?: (progress: MaterialiseProgress) => void;
}

export interface RestoredFolder {
  /** By partition. */
  readonly positions: readonly bigint[];
  readonly entries: number;
  /** Time of the newest batch in it, ns since 1970; 0n where it has none. */
  readonly clockNanos: bigint;
  /** By partition of the source, how far each was brought, and whether that is the moment that was wanted. */
  readonly reached: readonly PartitionReach[];
}

/**
 * Rejects with `invalid_settings` where the folder holds something, with `data_locked` where a process uses it, and as
 * planRestore and RestoreWorld do: no node starts on the folder then.
 */
export async function restoreFolder(options: RestoreFolderOptions): Promise<RestoredFolder> {
  const { dataPath, source, moment, signal } = options;
  await makeDurably(dataPath);
  const lock = lockFolder(dataPath);
  try {
    await emptyOrRestoring(dataPath);
    const cluster = options.sourceCluster ?? (await sourceClusterOf({ source, moment, signal }));
    const plan = await planRestore({ repository: source, cluster, moment, signal });
    const { manifest } = plan.checkpoint;
    options.onPlanned?.({ manifest, passedOver: plan.passedOver });
    const count = options.partitions ?? plan.partitions.length;
    if (count > limits.embeddedPartitionsMax) throw tooMany(count);
    const building = await beginBuilding(dataPath);
    const built = await new FolderBuilding(options, plan, building).build(count);
    await putInPlace(dataPath, built, await restoredGeneration([source], signal));
    return built;
  } finally {
    lock.close();
  }
}

function tooMany(count: number): StateStoreError {
  const max = limits.embeddedPartitionsMax;
  const message = `it would have ${count} partitions; a node on its own may have ${max}`;
  return new StateStoreError('invalid_settings', message, { hint: `restore it into fewer (--partitions)` });
}

/** Empty, and from now on no node starts on the folder. */
async function beginBuilding(dataPath: string): Promise<string> {
  const building = join(dataPath, restoringName);
  await makeDurably(building);
  for (const name of ['partitions', 'log']) await rm(join(dataPath, name), { recursive: true, force: true });
  for (const name of await readdir(building)) await rm(join(building, name), { recursive: true, force: true });
  return building;
}

interface BuiltFolder extends RestoredFolder {
  /** UUID. */
  readonly journal: string;
  readonly continues: readonly (DescribedPoint | null)[];
}

async function putInPlace(dataPath: string, built: BuiltFolder, generation: number): Promise<void> {
  const { journal, continues, positions } = built;
  const building = join(dataPath, restoringName);
  for (const name of ['partitions', 'log']) {
    await syncDirectory(join(building, name));
    await rename(join(building, name), join(dataPath, name));
  }
  await syncDirectory(dataPath);
  const wanted = { partitions: positions.length, engine: 'lmdb' } as const;
  const description = { ...newDataDescription(wanted), journal, continues, generation };
  await replaceFile(join(dataPath, describedName), `${JSON.stringify(description, undefined, 2)}\n`);
  await rm(building, { recursive: true, force: true });
}

/** What a state is of, and where. */
interface BuiltPartition {
  readonly position: bigint;
  readonly clockNanos: bigint;
  readonly entries: number;
  readonly continues: DescribedPoint | null;
}

class FolderBuilding {
  readonly #options: RestoreFolderOptions;
  readonly #plan: RestorePlan;
  readonly #path: string;
  readonly #reached: PartitionReach[] = [];

  constructor(options: RestoreFolderOptions, plan: RestorePlan, path: string) {
    this.#options = options;
    this.#plan = plan;
    this.#path = path;
  }

  async build(count: number): Promise<BuiltFolder> {
    const even = evenTopology(count, []).partitions;
    const { partitions } = this.#plan;
    const fits = even.length === partitions.length && partitions.every(hasSlotsOf(even));
    const built = (fits ? await this.#asTheyAre() : undefined) ?? (await this.#spread(even));
    const positions = built.map(({ position }) => position);
    const journal = await this.#begin(positions);
    const entries = built.reduce((sum, each) => sum + each.entries, 0);
    const clockNanos = built.reduce((most, each) => (each.clockNanos > most ? each.clockNanos : most), 0n);
    const continues = built.map((each) => each.continues);
    const reached = this.#reached.toSorted((one, other) => one.partition - other.partition);
    return { positions, entries, clockNanos, reached, journal, continues };
  }

  /** Undefined: slots changed hands on the way, which those of a node on its own never do. */
  async #asTheyAre(): Promise<BuiltPartition[] | undefined> {
    const built = new Map<number, BuiltPartition>();
    const world = this.#world((partition) => this.#open('partitions', partition));
    try {
      await world.bring(async ({ partition, engine, reach }) => {
        if (loadState(engine).slots !== undefined) throw new KeepAll('slots changed hands');
        await engine.sync();
        built.set(partition, builtOf(engine));
        this.#reached.push(reach);
      });
      return [...built].toSorted(([one], [other]) => one - other).map(([, each]) => each);
    } catch (error) {
      if (!(error instanceof KeepAll)) throw error;
      this.#reached.length = 0;
      return undefined;
    } finally {
      await world.close();
    }
  }

  #world(open: (partition: number) => Promise<Engine>): RestoreWorld {
    const { source: repository, signal, time, onProgress } = this.#options;
    const openScratch = async (partition: number): Promise<ScratchEngine> => {
      const engine = await open(partition);
      return { engine, dispose: () => engine.close() };
    };
    return new RestoreWorld({ repository, plan: this.#plan, openScratch, signal, time, onProgress });
  }

  /** Whatever slots there were at the moment, into those that a node on its own has. */
  async #spread(
    even: readonly { readonly partition: number; readonly slots: readonly SlotRange[] }[],
  ): Promise<BuiltPartition[]> {
    const { signal, onProgress } = this.#options;
    await rm(join(this.#path, 'partitions'), { recursive: true, force: true });
    let opened = 0;
    const world = this.#world(() => this.#open('sources', opened++));
    try {
      const sources = await world.bringAll();
      this.#reached.push(...sources.map(({ reach }) => reach));
      const position = sources.reduce((most, { engine }) => (engine.position > most ? engine.position : most), 1n);
      const built: BuiltPartition[] = [];
      for (const { partition, slots } of even) {
        onProgress?.({ partition, step: 'reshape', part: undefined });
        const spread = async (target: Engine): Promise<BuiltPartition> => {
          await reshape({ sources, slots, position, partition, target, signal });
          return builtOf(target);
        };
        built.push(await this.#with(partition, spread));
      }
      return built;
    } finally {
      await world.close();
      await rm(join(this.#path, 'sources'), { recursive: true, force: true });
    }
  }

  async #open(folder: 'partitions' | 'sources', at: number): Promise<Engine> {
    const path = join(this.#path, folder, String(at));
    await mkdir(path, { recursive: true });
    return openEngine('lmdb', path);
  }

  async #with<T>(at: number, work: (engine: Engine) => Promise<T>): Promise<T> {
    const engine = await this.#open('partitions', at);
    try {
      const result = await work(engine);
      await engine.sync();
      return result;
    } finally {
      await engine.close();
    }
  }

  /** The journal that goes on from there. Each state says that it is of its log in it. */
  async #begin(positions: readonly bigint[]): Promise<string> {
    const { time = systemTime } = this.#options;
    const journal = await SharedJournal.open({
      directory: join(this.#path, 'log'),
      partitions: positions.length,
      begin: positions,
      now: () => BigInt(time.nowMs()) * 1_000_000n,
    });
    try {
      for (const [at, position] of positions.entries()) {
        if (position === 0n) continue;
        const { incarnation } = journal.logOf(at);
        await this.#with(at, async (engine) => engine.put(incarnationKey, bytesFromBinary(incarnation)));
      }
      return journal.incarnation;
    } finally {
      await journal.close();
    }
  }
}

function hasSlotsOf(even: readonly { readonly slots: readonly SlotRange[] }[]) {
  return ({ manifest: { summary } }: PartitionPlan, at: number): boolean => {
    const wanted = even[at]!.slots;
    return (
      summary.partition === at &&
      summary.slots.length === wanted.length &&
      summary.slots.every(({ start, end }, i) => start === wanted[i]!.start && end === wanted[i]!.end)
    );
  };
}

function builtOf(engine: Engine): BuiltPartition {
  const { position, clockNanos, chain, entries } = loadState(engine);
  const kept = engine.get(incarnationKey);
  if (position === 0n || kept === undefined) return { position, clockNanos, entries, continues: null };
  const incarnation = binaryFromBytes(kept);
  const continues = { incarnation, position: position.toString(), chain: hashToHex(chain) };
  return { position, clockNanos, entries, continues };
}
