// What a running replica is made of, and what it tells: of its log, of those beside it, and of its end.
import type { ProofExchange } from '@statestore/cluster';
import type { BinaryString, PartitionLog, PartitionState, StateStoreError } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import type { AppendOutcome, Log } from '../log/log.ts';
import type { Time } from '../time.ts';
import type { GuardedLogOptions } from './guarded-log.ts';
import type { FoundLog } from './judge-log.ts';

/** Why a replica does not go on. */
export interface ReplicaHalt {
  readonly cause: HaltCause;
  readonly why: string;
  /** Diverged: false where nobody could say who is right. */
  readonly decided: boolean;
  /** Diverged: its data may be all that is left of something, and are never removed without a person. */
  readonly kept: boolean;
}

export interface RunningReplicaOptions {
  readonly partition: number;
  readonly node: string;
  readonly log: PartitionLog;
  readonly time: Time;
  /** 16 random bytes, others at each opening: what an earlier one left under way may still arrive. */
  readonly proposer: BinaryString;
  readonly exchange: ProofExchange;
  readonly openLog: () => Promise<Log>;
  /** What the log's stream says of itself now; rejects where nobody can be asked. */
  readonly findLog: () => Promise<FoundLog | undefined>;
  /** Nodes of the topology's replicas, as it is now. */
  readonly replicas: () => readonly string[];
  /** Those of them, but this one, that are expected to answer. */
  readonly expected: () => readonly string[];
  readonly heard: () => bigint;
  readonly onHeard: (position: bigint) => void;
  readonly sweeps: () => boolean;
  readonly asksTime: () => boolean;
  readonly flushIntervalMs?: number;
  readonly proofInterval?: bigint;
  /** Records that wait for what must be there before them. */
  readonly gate?: GuardedLogOptions['gate'];
  /** After each batch. */
  readonly onApplied?: (state: Readonly<PartitionState>) => void;
  /** Whether entries of slots that it does not own are to stay in its engine now. */
  readonly keepsForeign?: () => boolean;
  readonly onAppended: (outcome: AppendOutcome, bytes: number, durationMs: number) => void;
  readonly onMismatch: (details: Readonly<Record<string, unknown>>) => void;
  readonly onHalted: (halt: ReplicaHalt, reason: StateStoreError) => void;
}
