// How much of a partition's log may go, after each flush: with a durable engine everything that is
// stored; else a snapshot is written first, once the journal that all partitions share has grown enough.
// One that is idle must do its part too, or its old records would keep the journal for ever. Nothing of it
// may fail a partition: a log that was not trimmed only takes space, so failures are told and tried again. Where the
// log is archived, it waits for the archive, up to a bound (checkpoint/journal-hold.ts).
import { limits } from '@statestore/core';
import type { Engine } from './engine/engine.ts';
import { saveSnapshot } from './engine-switch.ts';
import type { Log } from './log/log.ts';

export interface Trimming {
  /** Looks at what the engine has stored, on disk where it is durable. To be called at the start and after flushes. */
  stored(): void;
  /** Starts nothing any more; resolves when nothing is under way: only then may the folder go to another owner. */
  close(): Promise<void>;
}

/** Told of what an operator of the service may want to know. */
type OnNotice = (notice: string, details: Readonly<Record<string, unknown>>) => void;

export interface TrimmingOptions {
  /** The partition's folder. */
  readonly path: string;
  readonly log: Log;
  readonly engine: Engine;
  /** What the logs of all partitions take on disk. */
  readonly journalBytes: () => Promise<number>;
  /** A snapshot is written when that has grown by this. */
  readonly snapshotLogBytes: number;
  /** Where it is archived: everything up to `archived` is, and the logs may take so much for the rest. */
  readonly hold?: { readonly archived: () => bigint; readonly journalBytesMax: number } | undefined;
  readonly onNotice?: OnNotice | undefined;
}

export function trimmingOf(options: TrimmingOptions): Trimming {
  const { path, log, engine, journalBytes, onNotice, snapshotLogBytes, hold } = options;
  let sizeAtLast = 0;
  // Of one that is not durable, what there is at the start came from the snapshot.
  let snapshotAt = engine.durable || engine.position === 0n ? -1n : engine.position;
  let retryAtMs = 0;
  let isOver = false;
  const mayGo = async (stored: bigint): Promise<bigint> => {
    const archived = hold?.archived() ?? stored;
    if (hold === undefined || archived >= stored) {
      isOver = false;
      return stored;
    }
    if ((await journalBytes()) <= hold.journalBytesMax) return archived;
    if (!isOver) {
      const details = { path, archived: archived.toString(), bytesMax: hold.journalBytesMax };
      onNotice?.('the log takes too much of the disk and is trimmed, although it is not archived', details);
    }
    isOver = true;
    return stored;
  };
  const trim = async (stored: bigint): Promise<void> => {
    try {
      await log.trim((await mayGo(stored)) + 1n);
    } catch (error) {
      onNotice?.('the log of a partition could not be trimmed', { path, error: textOf(error) });
    }
  };
  const snapshot = async (): Promise<void> => {
    if (engine.position === 0n) return;
    const sizeBytes = await journalBytes();
    // Less than then: the others have done their part since.
    sizeAtLast = Math.min(sizeAtLast, sizeBytes);
    if (sizeBytes - sizeAtLast < snapshotLogBytes || performance.now() < retryAtMs) return;
    try {
      if (engine.position !== snapshotAt) snapshotAt = await saveSnapshot(path, engine);
      await trim(snapshotAt);
      sizeAtLast = await journalBytes();
    } catch (error) {
      // The log still holds everything.
      retryAtMs = performance.now() + limits.snapshotRetryMs;
      onNotice?.('the snapshot of a partition failed', { path, error: textOf(error) });
    }
  };
  /** What was saved some time ago may have been archived since. */
  const again = async (): Promise<void> => {
    await snapshot();
    if (hold !== undefined && snapshotAt > 0n) await trim(snapshotAt);
  };
  let underWay: Promise<void> | undefined;
  let closed = false;
  return {
    stored() {
      if (closed || underWay !== undefined) return;
      underWay = (engine.durable ? trim(engine.position) : again()).finally(() => (underWay = undefined));
    },
    async close() {
      closed = true;
      await underWay;
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
