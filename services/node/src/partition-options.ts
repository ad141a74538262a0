// What a partition on a node is made of: all of it is passed in.
import type { BinaryString, PartitionState, StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import type { Engine } from './engine/engine.ts';
import type { Log } from './log/log.ts';
import type { Time } from './time.ts';

export interface PartitionOptions {
  readonly partition: number;
  readonly log: Log;
  /** Of the log; undefined: it has none. */
  readonly generation?: number | undefined;
  readonly engine: Engine;
  readonly time: Time;
  /** 16 random bytes, others at each opening: what an earlier one left under way may still arrive. */
  readonly proposer: BinaryString;
  readonly flushIntervalMs?: number;
  readonly proposeTimeoutMs?: number;
  /** Asked each time whether this replica is the one that proposes sweeps. Default: always. */
  readonly sweeps?: () => boolean;
  readonly sweepIntervalMs?: number;
  /** Whether this replica is the one that has the log tell the time when it starts; others wait a moment. Default: always. */
  readonly asksTime?: () => boolean;
  /** After each batch, before anybody is told of it; the state is the partition's own, to be read at once. */
  readonly onApplied?: (state: Readonly<PartitionState>) => void;
  /** After each flush: everything up to this position is in the engine, on disk where it is durable. */
  readonly onStored?: (position: bigint) => void;
  /** Asked each time whether foreign records are to stay in the engine for now. Undefined: none are ever looked for. */
  readonly keepsForeign?: () => boolean;
  /** Told once, when the partition stops for a reason that needs help. */
  readonly onHalted?: (reason: StateStoreError, cause: HaltCause) => void;
}
