// The real engines behind the real write buffer: any commands, any flushes, any restarts of the durable
// one, and both hold the very records that the plain map holds.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchRecord } from '@statestore/core';
import { applyBatch, loadState, verifyState } from '@statestore/core';
import type { Engine } from '@statestore/node';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LmdbEngine } from '../../services/node/src/engine/lmdb-engine.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { WriteBuffer } from '../../services/node/src/engine/write-buffer.ts';
import { command, steps } from './arbitrary-commands.ts';
import { logOf, Replica } from './replica.ts';
import { dump } from './sorted-map.ts';

/** After which batches the buffer is flushed, and after which the process starts again from its engine. */
const cuts = fc.record({ flushEvery: fc.integer({ min: 1, max: 6 }), restartEvery: fc.integer({ min: 2, max: 12 }) });

/** Runs the whole log over an engine; `reopen` gives the engine as it is after a crash. */
async function runOver(
  log: readonly BatchRecord[],
  open: () => Promise<Engine>,
  reopen: (engine: Engine) => Promise<Engine>,
  { flushEvery, restartEvery }: { readonly flushEvery: number; readonly restartEvery: number },
): Promise<{ readonly engine: Engine; readonly whileBuffered: string[] }> {
  let engine = await open();
  let buffer = new WriteBuffer(engine);
  let state = loadState(buffer);
  for (let next = 0, applied = 1; next < log.length; next++, applied++) {
    const record = log[next]!;
    const { writes } = applyBatch(state, buffer, record);
    buffer.put(writes, record.position);
    if (applied % flushEvery === 0) await buffer.flush();
    if (applied % restartEvery !== 0) continue;
    // What was not flushed is lost, and replayed.
    engine = await reopen(engine);
    buffer = new WriteBuffer(engine);
    state = loadState(buffer);
    next = Number(state.position) - 1;
  }
  expect(verifyState(state, buffer)).toEqual([]);
  const whileBuffered = dump(buffer);
  await buffer.flush();
  expect(verifyState(loadState(engine), engine)).toEqual([]);
  return { engine, whileBuffered };
}

describe('engines', () => {
  let dir = '';
  let number = 0;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'statestore-engines-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('memory and LMDB hold what the plain map holds, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(steps(command()), cuts, async (some, when) => {
        const log = logOf(some);
        const plain = new Replica();
        for (const record of log) plain.apply(record);
        const expected = dump(plain.records);

        const inMemory = await runOver(
          log,
          async () => new MemoryEngine(),
          async (engine) => engine,
          when,
        );
        expect(inMemory.whileBuffered).toEqual(expected);
        expect(dump(inMemory.engine)).toEqual(expected);

        const folder = join(dir, String(number++));
        const open = (): Promise<Engine> => LmdbEngine.open(folder);
        const reopen = async (engine: Engine): Promise<Engine> => {
          await engine.close();
          return open();
        };
        // As seldom as its restarts are slow.
        const onDisk = await runOver(log, open, reopen, { ...when, restartEvery: when.restartEvery + 8 });
        expect(onDisk.whileBuffered).toEqual(expected);
        expect(dump(onDisk.engine)).toEqual(expected);
        await onDisk.engine.close();
        await rm(folder, { recursive: true });
      }),
      { numRuns: 100 },
    );
  });
});
