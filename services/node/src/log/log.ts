// The log port: the ordered, durable sequence of batches of one partition; the truth that every
// replica is a function of. One contract suite (test/contract/log-contract.ts) says what every log
// must do; the embedded log and JetStream pass the same one.

/** A batch as the log holds it. */
export interface LogRecord {
  /** 1 for the first one of an incarnation that began there; consecutive. */
  readonly position: bigint;
  /** Server time of the append, ns since 1970. Equal on all replicas, may run backwards. */
  readonly timestampNanos: bigint;
  readonly bytes: Uint8Array;
}

export type AppendOutcome =
  /** Durable, at this position. */
  | { readonly kind: 'appended'; readonly position: bigint }
  /** Certainly not in the log, now or ever. */
  | {
      readonly kind: 'refused';
      readonly reason: 'overloaded' | 'unavailable' | 'disk_full' | 'too_large' | 'closed';
      readonly cause?: unknown;
    }
  /** Perhaps in the log, perhaps later: only reading on will tell. */
  | { readonly kind: 'unknown'; readonly cause: unknown };

export interface LogBounds {
  /** Oldest record that can be read; last + 1 where the log holds none. */
  readonly first: bigint;
  /** Newest durable record; first - 1 where the log holds none. */
  readonly last: bigint;
}

export type SubscriptionEnd =
  /** `close` was called, or the log was closed. */
  | { readonly kind: 'closed' }
  /** The wanted position was trimmed away: restore a checkpoint. */
  | { readonly kind: 'trimmed'; readonly first: bigint }
  /**
   * The log ends before the wanted position, has other records than it had, or has another incarnation: it lost
   * something. `sealed`: it takes nothing any more, and everything in it was delivered.
   */
  | { readonly kind: 'regressed'; readonly last: bigint; readonly incarnation: string; readonly sealed?: true }
  /** A record that was durable cannot be read. */
  | { readonly kind: 'corrupt'; readonly cause: unknown };

export interface Subscription {
  /** Ends delivery. Resolves when no delivery is under way any more. */
  close(): Promise<void>;
  /** Why delivery ended. Never rejects. */
  readonly ended: Promise<SubscriptionEnd>;
}

export interface Log {
  /** UUID of this log; one that was lost and made anew has another. */
  readonly incarnation: string;
  /** True where this process is the only one that can append: its acknowledged position is the end. */
  readonly exclusive: boolean;
  /** Resolves with the reason when it takes no appends any more until it is opened again. Undefined: it mends itself. */
  readonly failed?: Promise<unknown>;
  /** Largest record in bytes. */
  readonly recordBytesMax: number;
  /**
   * Appends one batch. Several may be in flight (`limits.logInFlightMax`, more is refused as
   * overloaded); they get their positions in the order of the calls. Never rejects. The bytes must not be changed
   * until it resolves.
   */
  append(bytes: Uint8Array): Promise<AppendOutcome>;
  /**
   * Delivers every durable record from position `from` on, in order, none twice, for ever. While `onRecords`
   * returns a promise nothing further is delivered: that is the back-pressure. An exception or rejection
   * from it ends the subscription as `corrupt` with that cause. `incarnation`: what the caller last saw;
   * where given and not this log's, the subscription ends as `regressed` at once.
   */
  subscribe(options: {
    readonly from: bigint;
    readonly incarnation?: string;
    readonly onRecords: (records: readonly LogRecord[]) => void | Promise<void>;
  }): Subscription;
  bounds(): Promise<LogBounds>;
  /** When it was made, ns since 1970, by the clock that stamps its records. Rejects where nobody who knows answers. */
  beganNanos?(): Promise<bigint | undefined>;
  /**
   * Its record's `timestampNanos`; undefined where it has no such record. Rejects where nobody who knows answers.
   * Only of logs that may lose their end and grow again without anybody here seeing it.
   */
  timestampOf?(position: bigint): Promise<bigint | undefined>;
  /** Drops records below this position, as far as that is cheap: `bounds().first` may stay lower. */
  trim(below: bigint): Promise<void>;
  sizeBytes(): Promise<number>;
  /** Finishes what is in flight, then frees everything. Idempotent. */
  close(): Promise<void>;
}
