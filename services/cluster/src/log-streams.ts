// The streams that are the logs of partitions: made, described and removed here, with the one set of
// settings that a log may have. What is in them is services/node's.
import type { PartitionLog } from '@statestore/core';

export interface NewLog {
  readonly partition: number;
  readonly generation: number;
  /** Copies inside NATS: 1, 3 or 5. */
  readonly replicas: number;
  /** Position of its first record. Default: 1n. */
  readonly first?: bigint;
  readonly continues?: PartitionLog['continues'];
  /** UUID that was drawn for it before. Default: a new one. */
  readonly incarnation?: string;
}

export interface StartedLog {
  readonly partition: number;
  readonly generation: number;
  readonly incarnation: string;
}

export interface LogDescription {
  readonly log: PartitionLog;
  readonly first: bigint;
  readonly last: bigint;
  readonly sizeBytes: number;
  /** It takes nothing any more, for ever. */
  readonly sealed?: true;
  /** When it was made; RFC 3339 in UTC. */
  readonly created?: string;
}

export interface LogStreams {
  /**
   * Makes the stream, with a new incarnation. Rejects with `data_format` where there is one of that name
   * already, but for one of the incarnation that is given, with `unavailable` or `outcome_unknown` where NATS could not
   * be asked.
   */
  create(log: NewLog): Promise<PartitionLog>;
  /**
   * The next record of this log is to be at `first`: it was made before that was known, and nothing that counts was
   * appended yet. What is below goes. Where it begins there already, nothing happens. Rejects with `data_format` where it is beyond that
   * already, or is not of this incarnation, with `unavailable` or `outcome_unknown` where NATS could not be asked.
   */
  startAt(log: StartedLog, first: bigint): Promise<void>;
  /** Undefined where there is no such stream. */
  describe(partition: number, generation: number): Promise<LogDescription | undefined>;
  /**
   * Nothing can be appended to it any more, for ever, and nothing leaves it; what is in it stays to be read.
   * Resolves when its leader says so; where there is no stream of this incarnation, at once. Rejects with
   * `unavailable` or `outcome_unknown` where NATS could not be asked.
   */
  seal(partition: number, generation: number, incarnation: string): Promise<void>;
  /** Removes the stream; nothing where there is none, or, where an incarnation is given, one of another. */
  remove(partition: number, generation: number, incarnation?: string): Promise<void>;
}
