// What clients of the simulated world saw: the only thing that the checks of a history may go by,
// beside the log itself.
import type { BinaryString, Command, CommandResult } from '@statestore/core';
import type { Consistency, Entry } from '@statestore/link';

interface Interval {
  readonly client: string;
  /** Steps of the world: the order in which things happened. */
  readonly invoked: number;
  responded: number;
}

export interface WriteRecord extends Interval {
  readonly kind: 'write';
  readonly command: Command['body'];
  /** The identities under which it was sent: session and counter. */
  readonly identities: Set<string>;
  /**
   * `answered`: the client has a result. `refused`: every attempt was refused, nothing may have
   * changed. `unknown`: it may have happened once, or may still.
   */
  outcome: 'pending' | 'answered' | 'refused' | 'unknown';
  result: CommandResult | undefined;
  /** Unique text that the command adds or puts; empty: none. */
  readonly token: string;
}

export interface ReadRecord extends Interval {
  readonly kind: 'read';
  readonly consistency: Consistency;
  readonly store: string;
  readonly keys: readonly BinaryString[];
  /** The reader's wall clock when it read cannot be before or after these. */
  readonly invokedMs: number;
  /** Undefined: it failed. */
  entries: readonly (Entry | undefined)[] | undefined;
  /** Session reads: steps before which this client was answered its own last write. */
  readonly session: boolean;
}

export type HistoryRecord = WriteRecord | ReadRecord;

export function identityOf(session: BinaryString, counter: number): string {
  return `${session}/${counter}`;
}
