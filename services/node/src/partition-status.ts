// What a partition tells of itself.
import type { PartitionState } from '@statestore/core';
import { hashToHex } from '@statestore/core';
import type { PartitionStatus } from '@statestore/link';
import type { Engine } from './engine/engine.ts';
import type { Halt } from './halt.ts';
import type { Log } from './log/log.ts';

export interface Described {
  readonly partition: number;
  readonly phase: PartitionStatus['state'];
  readonly halt: Halt | undefined;
  readonly state: Readonly<PartitionState>;
  readonly engine: Engine;
  readonly log: Log;
  readonly storedPosition: bigint;
  readonly queuedCommands: number;
  readonly writeBufferBytes: number;
}

export async function describePartition(of: Described): Promise<PartitionStatus> {
  const { engine, log, state, halt } = of;
  // Those that failed or are closed have no sizes to tell; the rest is wanted then more than ever.
  const sizes = [(async () => engine.statistics().sizeBytes)(), log.sizeBytes()];
  const [engineBytes = 0, logBytes = 0] = await Promise.all(sizes.map((size) => size.catch(() => 0)));
  return {
    partition: of.partition,
    state: of.phase,
    ...(halt === undefined ? {} : { haltCause: halt.cause }),
    reason: halt?.reason.message ?? '',
    engine: engine.kind,
    incarnation: log.incarnation,
    appliedPosition: state.position,
    storedPosition: of.storedPosition,
    revision: state.revision,
    clockMs: Number(state.clockNanos / 1_000_000n),
    chain: hashToHex(state.chain),
    stateHash: hashToHex(state.stateHash),
    entries: state.entries,
    bytes: state.bytes,
    expired: state.expired,
    stores: state.stores.size,
    engineBytes,
    logBytes,
    queuedCommands: of.queuedCommands,
    writeBufferBytes: of.writeBufferBytes,
  };
}
