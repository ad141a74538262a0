// How full the disk is, looked at now and then, as one of three levels. It takes more free space to leave a
// level than to enter it, so that a disk at the edge does not flap.
import { statfs } from 'node:fs/promises';
import { limits } from '@statestore/core';
import type { Time, Timer } from '../time.ts';

/** `low`: what would take more space is refused. `critical`: nothing is applied any more. */
export type DiskLevel = 'ample' | 'low' | 'critical';

export interface DiskSpace {
  /** What this process may still use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Of the disk that a path lies on. */
export type DiskReader = (path: string) => Promise<DiskSpace>;

export const readDisk: DiskReader = async (path) => {
  const { bavail, blocks, bsize } = await statfs(path);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
};

/** Shares of the disk, 0 to 1, that are free where a level begins. The first is the greater one; 0: never. */
export interface DiskBounds {
  readonly lowShare: number;
  readonly criticalShare: number;
}

export const defaultDiskBounds: DiskBounds = {
  lowShare: limits.diskLowShare,
  criticalShare: limits.diskCriticalShare,
};

/* oxlint-disable-next-line max-params -- what is, what was, and what counts */
export function diskLevel(space: DiskSpace, before: DiskLevel, bounds: DiskBounds): DiskLevel {
  const { freeBytes, totalBytes } = space;
  if (totalBytes <= 0) return 'ample';
  const share = freeBytes / totalBytes;
  const until = (bound: number, within: boolean): boolean =>
    share < bound + (within ? Math.min(limits.diskRecoverShare, bound / 2) : 0);
  if (until(bounds.criticalShare, before === 'critical')) return 'critical';
  return until(bounds.lowShare, before !== 'ample') ? 'low' : 'ample';
}

export interface DiskWatchOptions {
  readonly path: string;
  readonly read: DiskReader;
  readonly bounds: DiskBounds;
  readonly time: Time;
  readonly onLevel: (level: DiskLevel, space: DiskSpace) => void;
  /** It could not be read: the level stays. Told once in a row. */
  readonly onFailed: (error: unknown) => void;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #level: DiskLevel = 'ample';
  #space: DiskSpace = { freeBytes: 0, totalBytes: 0 };
  #failing = false;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Once. Looks at once, and from then on again and again. */
  start(): void {
    void this.#look();
  }

  get level(): DiskLevel {
    return this.#level;
  }

  get space(): DiskSpace {
    return this.#space;
  }

  async #look(): Promise<void> {
    const { path, read, bounds, time, onLevel, onFailed } = this.#options;
    try {
      this.#space = await read(path);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#closed) onFailed(error);
      this.#failing = true;
    }
    if (this.#closed) return;
    const level = this.#failing ? this.#level : diskLevel(this.#space, this.#level, bounds);
    if (level !== this.#level) {
      this.#level = level;
      onLevel(level, this.#space);
    }
    this.#timer = time.after(limits.diskCheckMs, () => void this.#look());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }
}
