// Slots that go from one partition to another while both are brought to a moment: what replicas of a cluster do with them, done
// with states that stand still. When that is, is decided by restore-world.ts.
import type { Absorb, HandOver } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Engine } from '../engine/engine.ts';
import { openMergeWork } from '../reshape/merge-work.ts';
import { openSplitWork } from '../reshape/split-work.ts';
import type { Time } from '../time.ts';
import type { Lineage } from './lineage.ts';
import type { ChildPlan } from './restore-splits.ts';

interface SplitOffOptions {
  readonly handOver: HandOver;
  /** Empty. */
  readonly engine: Engine;
  readonly signal: AbortSignal;
  readonly time: Time;
}

/** The child's first state into an engine, of a source that is fenced. Rejects with `data_corrupt` where its log carries on another one. */
export async function splitOff(source: Lineage, child: ChildPlan, options: SplitOffOptions): Promise<void> {
  const { handOver, engine, signal, time } = options;
  const { partition, generation } = source.options;
  const fenced = source.state.fenced!;
  const work = await openSplitWork({
    split: {
      kind: 'split',
      id: uuidOf(handOver.reshape),
      source: partition,
      target: child.partition,
      slots: fenced.slots,
      slotsEpoch: handOver.slotsEpoch,
      log: {
        generation: child.generation,
        incarnation: child.incarnation,
      },
    },
    source: {
      partition,
      generation,
      state: source.state,
      reader: source.buffer,
    },
    engine,
    time,
  });
  try {
    const { chain } = await work.finish(fenced, signal);
    if (chain === child.chain) return;
    const made = `what was split off partition ${partition} after ${fenced.position} has the chain ${chain}`;
    throw new StateStoreError(
      'data_corrupt',
      `${made}; the log of partition ${child.partition} carries on ${child.chain}`,
    );
  } finally {
    await work.close();
  }
}

interface StageOptions {
  readonly absorb: Absorb;
  readonly signal: AbortSignal;
  readonly time: Time;
}

/** What a fenced source has into the one that is about to take it. Rejects with `data_corrupt` where it is not what that one took. */
export async function stageSlots(source: Lineage, target: Lineage, options: StageOptions): Promise<void> {
  const { absorb, signal, time } = options;
  const { buffer, state } = target;
  const { partition, generation } = target.options;
  const fenced = source.state.fenced!;
  const from = source.options.partition;
  const work = openMergeWork({
    merge: { id: uuidOf(absorb.reshape), source: from, target: partition, slots: absorb.slots },
    source: { partition: from, generation: source.options.generation, state: source.state, reader: source.buffer },
    target: {
      partition,
      generation,
      state,
      reader: buffer,
      stage: (writes) => {
        buffer.put(writes, buffer.appliedPosition);
        return buffer.bytes >= limits.replayCommitBytes ? buffer.flush() : undefined;
      },
      sync: () => buffer.flush(),
    },
    time,
  });
  try {
    const staged = new Map((await work.finish(fenced, signal)).stores.map((store) => [store.name, store]));
    for (const { name, entries, bytes, hash, ordinal } of absorb.stores) {
      const found = staged.get(name);
      if (entries === 0 || (found?.entries === entries && found.hash === hash && found.ordinal === ordinal)) continue;
      const told = `${found?.entries ?? 0} entries of store ${name} are to be had of partition ${from} at ${fenced.position}`;
      throw new StateStoreError('data_corrupt', `${told}; partition ${partition} took ${entries}, of ${bytes} bytes`);
    }
  } finally {
    await work.close();
  }
}

function uuidOf(reshape: string): string {
  const hex = Buffer.from(reshape, 'latin1').toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
