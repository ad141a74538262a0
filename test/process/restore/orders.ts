// What processes with die-at.ts preloaded are told: when to kill themselves, or to read no blocks for a while.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Stage } from './stages.ts';
import { held } from './stages.ts';

const patient = { timeout: 60_000, interval: 20 };

export class Orders {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(): Promise<Orders> {
    return new Orders(await mkdtemp(join(tmpdir(), 'statestore-orders-')));
  }

  close(): Promise<void> {
    return rm(this.#path, { recursive: true, force: true });
  }

  /** Of node itself, for those that take orders. */
  get flags(): readonly string[] {
    const preload = new URL('die-at.ts', import.meta.url);
    return [`--import=${preload.href}?orders=${encodeURIComponent(this.#path)}`];
  }

  /** `who`: a node's name, or a command. */
  die(who: string, stage: Stage): Promise<void> {
    return writeFile(join(this.#path, who), stage);
  }

  /** Resolves when it has killed itself. */
  async died(who: string): Promise<void> {
    await vi.waitUntil(() => !existsSync(join(this.#path, who)), patient);
  }

  hold(who: string): Promise<void> {
    return writeFile(join(this.#path, who), held);
  }

  /** Resolves when it is in the middle of a restore. */
  async isHeld(who: string): Promise<void> {
    await vi.waitUntil(() => existsSync(join(this.#path, `${who}.held`)), patient);
  }

  async release(who: string): Promise<void> {
    for (const name of [who, `${who}.held`]) await rm(join(this.#path, name), { force: true });
  }
}
