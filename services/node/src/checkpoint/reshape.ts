// States of other partitions: the slots of a new one out of engines that hold those of the old ones. The same sources
// give the same state, byte for byte. It is of no log, so it is given a name of its own, that its log can say to carry on.
import type { SlotRange, SlotsSource, StateRecord } from '@statestore/checkpoint';
import { countSlots, ownRecordsOf, slotRecords } from '@statestore/checkpoint';
import type { StateReader } from '@statestore/core';
import { bytesFromBinary, incarnationKey, limits, loadState } from '@statestore/core';
import type { Engine } from '../engine/engine.ts';
import { childIncarnation } from '../reshape/child-incarnation.ts';
import { proveEngine } from './replay.ts';

export interface ReshapeSource {
  readonly partition: number;
  readonly slots: readonly SlotRange[];
  /** Does not change meanwhile. */
  readonly engine: Engine;
}

export interface ReshapeOptions {
  readonly sources: readonly ReshapeSource[];
  /** Half-open, ascending. */
  readonly slots: readonly SlotRange[];
  /** At least; the greatest of the sources' counts where it is greater. */
  readonly position: bigint;
  readonly partition: number;
  /** Empty; it holds the new state then. */
  readonly target: Engine;
  readonly signal: AbortSignal;
}

/** Rejects with `data_corrupt` where what came of it does not follow from its own records. */
export async function reshape(options: ReshapeOptions): Promise<void> {
  const { slots, position, target, signal, partition } = options;
  const meet = (a: SlotRange, b: SlotRange): boolean => a.start < b.end && b.start < a.end;
  const sources = options.sources.filter((source) => source.slots.some((own) => slots.some((each) => meet(own, each))));
  const counted = await countSlots(sources.map(sourceOf), slots, position);
  const incarnation = childIncarnation(partition, counted.head.chain);
  async function* records(): AsyncGenerator<readonly StateRecord[], void> {
    let isNamed = false;
    for await (const part of slotRecords(counted)) {
      signal.throwIfAborted();
      if (isNamed) yield part;
      // Head and stores come first, and are one part.
      else yield [...part, { key: incarnationKey, value: bytesFromBinary(incarnation) }];
      isNamed = true;
    }
  }
  await target.restore(records(), counted.head.position);
  await proveEngine(target, signal);
}

function sourceOf({ partition, slots, engine }: ReshapeSource): SlotsSource {
  // What it gave away, or was to take, is another one's.
  const own = ownRecordsOf(engine, loadState(engine));
  return { partition, slots, read: ({ start, end }) => parts(own, start, end) };
}

async function* parts(engine: StateReader, start: string, end: string): AsyncGenerator<readonly StateRecord[], void> {
  let from = start;
  for (;;) {
    // Nothing is held between two parts.
    const part = [...engine.range({ start: from, ...(end === '' ? {} : { end }), limit: limits.reshapePartRecords })];
    if (part.length > 0) yield part;
    if (part.length < limits.reshapePartRecords) return;
    from = `${part.at(-1)!.key}\x00`;
  }
}
