// The folder of an embedded log, for tests that damage it. The layout is docs/formats.md's: a header
// block of 4096 bytes, then frames of 40 + payload bytes, rounded up to 8.
import { cp, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { StateStoreError } from '@statestore/core';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import type { EmbeddedLog } from '../../services/node/src/log/embedded-log.ts';

export const headerBlockBytes = 4096;
export const segmentBytes = 16 * 1024;
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** A folder for each test, removed after it. */
export class LogFolder {
  /** Parent of the log's folder. */
  root = '';
  /** The log's own folder. */
  path = '';

  constructor() {
    beforeEach(async () => {
      this.root = await mkdtemp(join(tmpdir(), 'statestore-log-'));
      this.path = join(this.root, 'log');
    });
    afterEach(async () => {
      await rm(this.root, { recursive: true, force: true });
    });
  }

  open(at = this.path, partition = 0): Promise<EmbeddedLog> {
    return openEmbeddedLog({ directory: at, partition, now, segmentBytes });
  }

  /** Leaves the folder as a crash at this moment would. */
  async crash(log: EmbeddedLog): Promise<void> {
    const copy = join(this.root, 'crashed');
    await cp(this.path, copy, { recursive: true });
    await log.close();
    await rm(this.path, { recursive: true });
    await rename(copy, this.path);
  }

  async segments(): Promise<string[]> {
    const names = await readdir(this.path);
    return names
      .filter((name) => name.endsWith('.segment'))
      .toSorted()
      .map((name) => join(this.path, name));
  }

  async onlySegment(): Promise<string> {
    const [path = '', ...others] = await this.segments();
    expect(others).toEqual([]);
    return path;
  }

  /** How opening is refused; throws where it is not. */
  async refusal(partition = 0): Promise<StateStoreError> {
    let log: EmbeddedLog;
    try {
      log = await this.open(this.path, partition);
    } catch (error) {
      if (error instanceof StateStoreError) return error;
      throw error;
    }
    const bounds = await log.bounds();
    await log.close();
    throw new Error(`it opened, with records ${bounds.first} to ${bounds.last}`);
  }
}
