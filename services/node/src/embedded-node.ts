// A whole node in one process on one data folder: all partitions over one journal. What
// `statestore dev` runs, and the same core, partition loop and node as in a cluster.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ChainPoint } from '@statestore/checkpoint';
import type { PartitionLog, PartitionState, Topology } from '@statestore/core';
import { binaryFromBytes, evenTopology, hashToHex, loadState, StateStoreError } from '@statestore/core';
import type { ArchiveSource } from './checkpoint/archivers.ts';
import type { JournalHold } from './checkpoint/journal-hold.ts';
import type { DataDescription, DataDirectory } from './data-directory.ts';
import { openDataDirectory } from './data-directory.ts';
import { makeDurably } from './durable-files.ts';
import type { EngineKind } from './engine/engine.ts';
import { openPartitionEngine, switchEngine } from './engine-switch.ts';
import { LocalNode } from './local-node.ts';
import { nanosOf } from './log/jetstream-record.ts';
import { SharedJournal } from './log/shared-journal.ts';
import type { Trimming } from './log-trimming.ts';
import { trimmingOf } from './log-trimming.ts';
import { Partition } from './partition.ts';
import { systemTime } from './time.ts';

export interface EmbeddedNodeOptions {
  readonly dataPath: string;
  /** Undefined: what the folder has; 4 in a new one. */
  readonly partitions?: number;
  /** Undefined: what the folder has; lmdb in a new one. Another one than the folder's: the data moves over. */
  readonly engine?: EngineKind;
  readonly version: string;
  readonly flushIntervalMs?: number;
  /** Memory engine: snapshots are written, and the journal trimmed, when it has grown by this. Default 128 MiB. */
  readonly snapshotLogBytes?: number;
  /** Where the logs are archived: the journal waits for it. Undefined: it goes as soon as the engines have it. */
  readonly archive?: JournalHold | undefined;
  /** Size of the journal's files. Default: limits.logSegmentBytes. */
  readonly journalSegmentBytes?: number;
  readonly onHalted: (reason: StateStoreError) => void;
  /** Told of what an operator of the service may want to know. */
  readonly onNotice?: (notice: string, details: Readonly<Record<string, unknown>>) => void;
}

export interface EmbeddedNode {
  readonly node: LocalNode;
  readonly topology: Topology;
  readonly description: DataDescription;
  /** The logs of all partitions, for an archive. */
  readonly archiveSources: readonly ArchiveSource[];
  /** Looks what of the journal may go now that more of it is archived. */
  trim(): void;
  /** Answers what waits, stores everything, frees everything. Idempotent: every call resolves when that is done. */
  close(): Promise<void>;
}

const defaultPartitions = 4;
const defaultSnapshotLogBytes = 128 * 1024 * 1024;
export const embeddedNodeName = 'embedded';

export async function openEmbeddedNode(options: EmbeddedNodeOptions): Promise<EmbeddedNode> {
  const wanted = { partitions: options.partitions ?? defaultPartitions, engine: options.engine ?? 'lmdb' };
  const directory = await openDataDirectory(options.dataPath, wanted);
  const opened: Opened[] = [];
  let journal: SharedJournal | undefined;
  try {
    const { description } = directory;
    if (options.partitions !== undefined && options.partitions !== description.partitions) {
      throw new StateStoreError(
        'invalid_settings',
        `partitions is ${options.partitions}, but the data folder ${directory.path} has ${description.partitions}`,
        {
          hint: `leave the setting out, set it to ${description.partitions}, or choose another data folder`,
        },
      );
    }
    const engine = options.engine ?? description.engine;
    await switchEngine(directory, engine);
    journal = await openJournal(directory, options);
    const present = await sameJournal(directory, { ...description, engine }, journal.incarnation);
    const shared: Shared = {
      ...options,
      directory,
      journal,
      kind: engine,
      proposer: binaryFromBytes(randomBytes(16)),
      opened,
    };
    for (let number = 0; number < description.partitions; number++) opened.push(await openPartition(number, shared));
    for (const { trimming } of opened) trimming.stored();
    let closed: Promise<void> | undefined;
    const node = new LocalNode(options.version, { generation: description.generation });
    for (const { partition } of opened) node.add(partition);
    return {
      node,
      topology: topologyOf(description, opened),
      description: present,
      archiveSources: opened.map(({ source }) => source),
      trim: () => {
        for (const { trimming } of opened) trimming.stored();
      },
      close: () => (closed ??= closeAll(opened, journal, directory)),
    };
  } catch (error) {
    await closeAll(opened, journal, directory);
    throw error;
  }
}

/** Logs are named where they are not the first ones: positions of earlier ones are known by that. */
function topologyOf({ partitions, generation }: DataDescription, opened: readonly Opened[]): Topology {
  const even = evenTopology(partitions, [embeddedNodeName]);
  if (generation === undefined) return even;
  const logOf = (partition: number): PartitionLog => opened[partition]!.source.log;
  return { ...even, partitions: even.partitions.map((each) => ({ ...each, log: logOf(each.partition) })) };
}

/** The journal that the folder was made with: with another one, whatever was only there would be silently gone. */
async function sameJournal(
  directory: DataDirectory,
  description: DataDescription,
  journal: string,
): Promise<DataDescription> {
  if (description.journal === journal) return description;
  if (description.journal !== undefined) {
    throw new StateStoreError(
      'data_corrupt',
      `the journal in ${join(directory.path, 'log')} is ${journal}, but the data folder was made with ${description.journal}`,
      { hint: 'put the right log/ back, or restore the whole folder from a copy' },
    );
  }
  const present = { ...description, journal };
  await directory.describe(present);
  return present;
}

interface Opened {
  readonly partition: Partition;
  readonly trimming: Trimming;
  readonly source: ArchiveSource;
}

/** The lock is given back last, and whatever fails: until then nobody else may write to the folder. */
async function closeAll(
  opened: readonly Opened[],
  journal: SharedJournal | undefined,
  directory: DataDirectory,
): Promise<void> {
  const ends = await Promise.allSettled(
    opened.map(async ({ partition, trimming }) => {
      try {
        await partition.close();
      } finally {
        await trimming.close();
      }
    }),
  );
  ends.push(...(await Promise.allSettled([journal?.close()])));
  directory.close();
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** What the partitions of a node have in common. */
interface Shared extends EmbeddedNodeOptions {
  readonly directory: DataDirectory;
  readonly journal: SharedJournal;
  readonly kind: EngineKind;
  readonly proposer: string;
  /** Those that are open so far. */
  readonly opened: readonly Opened[];
}

async function openJournal(
  { path, description }: DataDirectory,
  { onNotice, journalSegmentBytes: segmentBytes }: EmbeddedNodeOptions,
): Promise<SharedJournal> {
  const journal = await SharedJournal.open({
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    directory: join(path, 'log'),
    partitions: description.partitions,
    now: () => BigInt(Date.now()) * 1_000_000n,
  });
  if (journal.recovered.cutBytes > 0) onNotice?.('a torn tail of the log was cut', { ...journal.recovered });
  return journal;
}

async function openPartition(number: number, shared: Shared): Promise<Opened> {
  const { directory, journal, kind, proposer, opened, archive, onNotice, onHalted } = shared;
  const path = directory.partitionPath(number);
  await makeDurably(path);
  const engine = await openPartitionEngine(path, kind);
  try {
    const log = journal.logOf(number);
    const trimming = trimmingOf({
      path,
      log,
      engine,
      journalBytes: () => journal.sizeBytes(),
      snapshotLogBytes: shared.snapshotLogBytes ?? defaultSnapshotLogBytes,
      hold: archive && { archived: () => archive.archived(number), journalBytesMax: archive.journalBytesMax },
      onNotice,
    });
    let state: Readonly<PartitionState> = loadState(engine);
    const partition = await Partition.open({
      partition: number,
      log,
      generation: directory.description.generation,
      engine,
      time: systemTime,
      proposer,
      ...(shared.flushIntervalMs === undefined ? {} : { flushIntervalMs: shared.flushIntervalMs }),
      onApplied: (applied) => (state = applied),
      onStored: () => {
        if (engine.durable) trimming.stored();
        else for (const each of opened) each.trimming.stored();
      },
      onHalted,
    });
    const point = (): ChainPoint => ({ position: state.position, chain: hashToHex(state.chain) });
    const continues = directory.description.continues?.[number] ?? undefined;
    const source: ArchiveSource = {
      partition: number,
      log: {
        generation: directory.description.generation ?? 1,
        incarnation: log.incarnation,
        ...(continues === undefined ? {} : { continues: { ...continues, position: BigInt(continues.position) } }),
      },
      // Closed by nobody: what the archive reads ends with the archiver, or with the journal.
      source: journal.logOf(number),
      point,
      chainAt: (position) => (position === state.position ? point().chain : undefined),
      // Its log was made with the folder.
      began: () => Promise.resolve(nanosOf(directory.description.createdAt)),
    };
    return { partition, trimming, source };
  } catch (error) {
    await engine.close();
    throw error;
  }
}
