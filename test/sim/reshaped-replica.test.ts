// A replica that nobody else has comes back from a checkpoint of before: its partition was split off since, from one that was
// split off itself, or it took another one's slots. What comes of it is what a replica has there, record by record.
import { MemoryRepository } from '@statestore/checkpoint';
import { hashToHex, loadState } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { findCheckpoint, restoreReplica } from '../../services/node/src/checkpoint/restore-replica.ts';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { scratchOf } from './archived-history.ts';
import { entriesOf } from './reshaped-entries.ts';
import { cluster, ReshapedHistory } from './reshaped-history.ts';

const { signal } = new AbortController();

function writes(history: ReshapedHistory, mark: string): void {
  for (let k = 0; k < 24; k++) history.put(`s${k % 3}`, `key ${k}`, `${mark}${k}`, k % 4 === 0 ? 100_000 : undefined);
}

async function comesBack(history: ReshapedHistory, partition: number): Promise<void> {
  const source = new MemoryRepository();
  await history.checkpointed!(source);
  await history.archive(source);
  const one = history.live.get(partition)!;
  const { state } = one.replica;
  const placed = history.all.find(({ log }) => log === one.log)!;
  const { origin } = placed.log;
  const engine = new MemoryEngine();
  const question = {
    repository: source,
    cluster,
    partition,
    log: one.log,
    archive: true,
    signal,
    bounds: {
      first: state.position + 1n,
      last: state.position,
    },
    reshaped: {
      slots: history.slotsOf(partition),
      slotsEpoch: state.slotsEpoch,
      origin,
    },
  };
  expect(await findCheckpoint(question)).toMatchObject({ kind: 'found' });
  const restored = await restoreReplica({ ...question, target: engine, engine, openScratch: scratchOf('memory') });
  expect(restored).toMatchObject({ kind: 'restored', incarnation: one.log.incarnation });
  const back = loadState(engine);
  expect(hashToHex(back.chain)).toBe(hashToHex(state.chain));
  expect(hashToHex(back.stateHash)).toBe(hashToHex(state.stateHash));
  expect(entriesOf(engine)).toEqual(entriesOf(one.replica.records));
}

describe('a replica comes back', () => {
  const begun = (): ReshapedHistory => {
    const history = new ReshapedHistory(2);
    writes(history, 'a');
    history.checkpointHere();
    writes(history, 'b');
    return history;
  };

  test('of a partition that was split off', async () => {
    const history = begun();
    history.split(1, 2);
    writes(history, 'c');
    await comesBack(history, 2);
  });

  test('of one that was split off one that was', async () => {
    const history = begun();
    history.split(1, 2);
    writes(history, 'c');
    history.split(2, 3);
    writes(history, 'd');
    await comesBack(history, 3);
  });

  test('of one that gave slots away', async () => {
    const history = begun();
    history.split(1, 2);
    writes(history, 'c');
    await comesBack(history, 1);
  });

  test('of one that took another one, which was split off and had taken others', async () => {
    const history = begun();
    history.split(1, 2);
    writes(history, 'c');
    history.merge(1, 2);
    writes(history, 'd');
    history.merge(2, 0);
    writes(history, 'e');
    await comesBack(history, 0);
  });
});
