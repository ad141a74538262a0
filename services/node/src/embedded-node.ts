// A whole node in one process on one data folder: every partition with its embedded log. What
// `statestore dev` runs, and the same core, partition loop and node as in a cluster.
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Topology } from '@statestore/core';
import { binaryFromBytes, evenTopology, StateStoreError } from '@statestore/core';
import type { DataDescription, DataDirectory } from './data-directory.ts';
import { openDataDirectory } from './data-directory.ts';
import type { Engine, EngineKind } from './engine/engine.ts';
import { openPartitionEngine, saveSnapshot, switchEngine } from './engine-switch.ts';
import { LocalNode } from './local-node.ts';
import type { EmbeddedLog } from './log/embedded-log.ts';
import { openEmbeddedLog } from './log/embedded-log.ts';
import type { Log } from './log/log.ts';
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
  /** Memory engine: a snapshot is written, and the log trimmed, when the log has grown by this. Default 64 MiB. */
  readonly snapshotLogBytes?: number;
  readonly onHalted: (reason: StateStoreError) => void;
  /** Told of what an operator of the service may want to know. */
  readonly onNotice?: (notice: string, details: Readonly<Record<string, unknown>>) => void;
}

export interface EmbeddedNode {
  readonly node: LocalNode;
  readonly topology: Topology;
  readonly description: DataDescription;
  /** Answers what waits, stores everything, frees everything. */
  close(): Promise<void>;
}

const defaultPartitions = 4;
/** The log holds everything since, so the engine need not be written as often as beside a remote one. */
const embeddedFlushIntervalMs = 200;
const defaultSnapshotLogBytes = 64 * 1024 * 1024;
export const embeddedNodeName = 'embedded';

export async function openEmbeddedNode(options: EmbeddedNodeOptions): Promise<EmbeddedNode> {
  const wanted = { partitions: options.partitions ?? defaultPartitions, engine: options.engine ?? 'lmdb' };
  const topology = evenTopology(wanted.partitions, [embeddedNodeName]);
  const directory = await openDataDirectory(options.dataPath, wanted);
  const opened: Partition[] = [];
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
    const proposer = binaryFromBytes(randomBytes(16));
    for (let number = 0; number < description.partitions; number++) {
      opened.push(await openPartition(number, directory, engine, proposer, options));
    }
    return {
      node: new LocalNode(opened, options.version),
      topology:
        description.partitions === wanted.partitions
          ? topology
          : evenTopology(description.partitions, [embeddedNodeName]),
      description: { ...description, engine },
      close: () => closeAll(opened, directory),
    };
  } catch (error) {
    await closeAll(opened, directory);
    throw error;
  }
}

async function closeAll(partitions: readonly Partition[], directory: DataDirectory): Promise<void> {
  await Promise.all(partitions.map((partition) => partition.close()));
  directory.close();
}

/* oxlint-disable-next-line max-params -- what one partition is made of */
async function openPartition(
  number: number,
  directory: DataDirectory,
  engineKind: EngineKind,
  proposer: string,
  options: EmbeddedNodeOptions,
): Promise<Partition> {
  const path = directory.partitionPath(number);
  await mkdir(path, { recursive: true });
  const engine = await openPartitionEngine(path, engineKind);
  let log: EmbeddedLog | undefined;
  try {
    log = await openEmbeddedLog({
      directory: join(path, 'log'),
      partition: number,
      now: () => BigInt(Date.now()) * 1_000_000n,
    });
    if (log.recovered.cutBytes > 0)
      options.onNotice?.('a torn tail of the log was cut', { partition: number, ...log.recovered });
    return await Partition.open({
      partition: number,
      log,
      engine,
      time: systemTime,
      proposer,
      flushIntervalMs: options.flushIntervalMs ?? embeddedFlushIntervalMs,
      onStored: engine.durable ? trimmer(log) : snapshotter(path, engine, log, options),
      onHalted: options.onHalted,
    });
  } catch (error) {
    await log?.close();
    await engine.close();
    throw error;
  }
}

/** The engine is durable: the log is needed only for what is not stored yet. */
function trimmer(log: Log): (stored: bigint) => void {
  return (stored) => void log.trim(stored + 1n);
}

/** The engine is not durable: the log is needed since the last snapshot. */
function snapshotter(path: string, engine: Engine, log: Log, options: EmbeddedNodeOptions): (stored: bigint) => void {
  const { onNotice, snapshotLogBytes = defaultSnapshotLogBytes } = options;
  let sizeAtLast = 0;
  let busy = false;
  return () => {
    if (busy) return;
    busy = true;
    void (async () => {
      try {
        if ((await log.sizeBytes()) - sizeAtLast < snapshotLogBytes) return;
        await log.trim((await saveSnapshot(path, engine)) + 1n);
        sizeAtLast = await log.sizeBytes();
      } catch (error) {
        // The log still holds everything: the next flush tries again.
        onNotice?.('the snapshot of a partition failed', {
          path,
          error: error instanceof Error ? error.message : String(error),
        });
      } finally {
        busy = false;
      }
    })();
  };
}
