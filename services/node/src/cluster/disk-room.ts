// Whether the disk has room for a replica that is to be built on it. All replicas of a node share its disk: one that is
// built must not bring it to where nothing is applied any more, and so hold up those that run. What is refused is tried
// again, and takes nothing until it fits.
import { limits, StateStoreError } from '@statestore/core';
import type { DiskBounds, DiskReader } from './disk-watch.ts';

export interface DiskRoomOptions {
  readonly path: string;
  readonly read: DiskReader;
  readonly bounds: DiskBounds;
}

export interface TakenRoom {
  /** So much of it, 0 to 1, has been written. */
  used(part: number): void;
  /** Throws `disk_full` where others have taken what was free: then it is given up. */
  check(): Promise<void>;
  release(): void;
}

interface Taken {
  leftBytes: number;
}

export class DiskRoom {
  readonly #options: DiskRoomOptions;
  readonly #taken = new Set<Taken>();

  constructor(options: DiskRoomOptions) {
    this.#options = options;
  }

  /** `contentBytes`: of keys and values; what they come to on the disk is estimated. Throws `disk_full`. */
  async take(contentBytes: number): Promise<TakenRoom> {
    const wanted = Math.ceil((contentBytes * limits.buildDiskPercent) / 100);
    const one: Taken = { leftBytes: wanted };
    // First, so that two that ask at once see each other.
    this.#taken.add(one);
    try {
      await this.#check(one, wanted);
    } catch (error) {
      this.#taken.delete(one);
      throw error;
    }
    return {
      used: (part) => (one.leftBytes = wanted * (1 - part)),
      check: () => this.#check(one, 0),
      release: () => void this.#taken.delete(one),
    };
  }

  async #check(one: Taken, wanted: number): Promise<void> {
    const { path, read, bounds } = this.#options;
    const space = await read(path).catch(() => undefined);
    // Who is told nothing of the disk goes on: the engine looks as well.
    if (space === undefined || space.totalBytes <= 0) return;
    const { freeBytes, totalBytes } = space;
    const others = [...this.#taken].reduce((sum, each) => sum + (each === one ? 0 : each.leftBytes), 0);
    const kept = totalBytes * bounds.criticalShare;
    if (freeBytes - others - wanted >= kept) return;
    const takes = wanted === 0 ? '' : `; it takes about ${wanted}`;
    const beside = wanted === 0 || others === 0 ? '' : `, others that are built as well ${Math.ceil(others)}`;
    const message = `the disk has ${freeBytes} of ${totalBytes} bytes free${takes}${beside}, and ${Math.ceil(kept)} are kept free`;
    throw new StateStoreError('disk_full', message, {
      hint: 'make room on the disk of the node, or give it a larger one',
    });
  }
}
