// The engine port in the simulated world: the memory engine as a disk that outlives its process, behind
// commits that take time and that a crash may cut off before or after they are there.
import type { BinaryString } from '@statestore/core';
import type {
  Acceptance,
  Engine,
  EngineEntries,
  EngineEntry,
  EngineRange,
  EngineSnapshot,
  EngineWrites,
} from '@statestore/node';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import type { Profile } from './profile.ts';
import type { Life, World } from './world.ts';

export type Disk = MemoryEngine;

export function newDisk(): Disk {
  return new MemoryEngine();
}

export class SimEngine implements Engine {
  readonly kind = 'memory';
  readonly durable = true;
  readonly #world: World;
  readonly #profile: Profile;
  readonly #disk: Disk;
  readonly #life: Life;
  #underWay: (() => Promise<void>) | undefined;
  /** A commit failed: the process has to start again. */
  failed = false;
  /** With a bug: what it says to have stored. */
  #claimed = 0n;

  constructor(world: World, profile: Profile, disk: Disk, life: Life) {
    this.#world = world;
    this.#profile = profile;
    this.#disk = disk;
    this.#life = life;
  }

  get position(): bigint {
    return this.#claimed > this.#disk.position ? this.#claimed : this.#disk.position;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#disk.get(key);
  }

  has(key: BinaryString): boolean {
    return this.#disk.has(key);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    return this.#disk.range(range);
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    return this.#disk.keys(range);
  }

  async commit(writes: EngineWrites, position: bigint): Promise<void> {
    if (this.#underWay !== undefined) throw new Error('two commits at once');
    const { storedPosition, stored } = this.#asStored(writes, position);
    this.#underWay = () => this.#disk.commit(stored, storedPosition);
    await this.#world.sleep(this.#world.between(0, this.#profile.flushDelayMs), this.#life);
    const commit = this.#underWay;
    this.#underWay = undefined;
    if (!this.#world.calm && this.#world.random.chance(this.#profile.flushFails)) {
      this.failed = true;
      throw new Error('the disk failed');
    }
    await commit?.();
    this.#claimed = position;
  }

  /** The process died: a commit under way is on the disk, or it is not. */
  crash(): void {
    if (this.#underWay !== undefined && this.#world.random.chance(0.5)) void this.#underWay();
    this.#underWay = undefined;
  }

  #asStored(writes: EngineWrites, position: bigint): { storedPosition: bigint; stored: EngineWrites } {
    const { bug } = this.#profile;
    if (bug === 'flush-loses-a-write') {
      const lost = [...writes.keys()].find((key) => key.startsWith('\x10'));
      return { storedPosition: position, stored: new Map([...writes].filter(([key]) => key !== lost)) };
    }
    if (bug === 'flush-position-behind') {
      const first = !this.#disk.has('\x01');
      const stored = new Map([...writes].filter(([key]) => first || key !== '\x01'));
      return { storedPosition: first ? position : this.#disk.position, stored };
    }
    return { storedPosition: position, stored: new Map(writes) };
  }

  put(key: BinaryString, value: Uint8Array): Promise<void> {
    return this.#disk.put(key, value);
  }

  delete(key: BinaryString): Promise<boolean> {
    return this.#disk.delete(key);
  }

  snapshot(): EngineSnapshot {
    return this.#disk.snapshot();
  }

  restore(entries: EngineEntries, position: bigint, accept?: Acceptance): Promise<void> {
    return this.#disk.restore(entries, position, accept);
  }

  clear(): Promise<void> {
    return this.#disk.clear();
  }

  statistics(): { sizeBytes: number; length: number } {
    return this.#disk.statistics();
  }

  compact(): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    return this.#disk.compact();
  }

  async sync(): Promise<void> {}

  /** The disk stays. */
  async close(): Promise<void> {}
}
