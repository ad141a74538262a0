// A history: what clients did and saw, as they saw it. The checker reads nothing else, so that it can judge
// one process or a cluster alike. JSON lines, one event each.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export type Operation =
  /** Register: put of a value that no other operation of the history writes. */
  | { readonly kind: 'write'; readonly value: string }
  | { readonly kind: 'read' }
  /** Register: put of a unique value where the current one is `expected`. */
  | { readonly kind: 'compareAndSet'; readonly expected: string; readonly value: string }
  /** Register: delete. */
  | { readonly kind: 'delete' }
  /** Counter; `amount` > 0; a new one starts from 0. */
  | { readonly kind: 'increment'; readonly amount: number }
  /** Log of tokens; a token is unique in the history and ends with `;`, which it holds nowhere else. */
  | { readonly kind: 'append'; readonly token: string }
  /** Accounts: moves an amount from `key` to `to`, atomically. */
  | { readonly kind: 'transfer'; readonly to: string; readonly amount: number }
  /** Accounts: reads all of them at one point in time. */
  | { readonly kind: 'audit' }
  /** An entry that is written once, with a time to live. */
  | { readonly kind: 'writeExpiring'; readonly value: string; readonly ttlMs: number };

/** What a key is used for; a key has one use. */
export type KeyUse = 'register' | 'counter' | 'log' | 'account' | 'expiring';

export type Outcome =
  /** It took effect, as `result` says. */
  | 'ok'
  /** The condition was judged and did not hold: no effect. */
  | 'conflict'
  /** It certainly had no effect, for a reason that says nothing of the state (overload, a bad gateway). */
  | 'refused'
  /** The client does not know, and asked no more. */
  | 'unknown';

export interface HistoryEvent {
  readonly client: number;
  readonly use: KeyUse;
  readonly key: string;
  readonly operation: Operation;
  /** One monotonic clock of all clients, milliseconds. */
  readonly invokedMs: number;
  /** Of an unknown outcome: when the client gave up; the effect may come later. */
  readonly returnedMs: number;
  readonly outcome: Outcome;
  /**
   * Read: the value, or null where there was no entry. Increment: the new value. Audit: balance by key.
   */
  readonly result?: string | number | Readonly<Record<string, number>> | null;
  /** Revision of the entry read or left by the write. */
  readonly revision?: string;
  /** Attempts that it took. */
  readonly attempts?: number;
}

/** The key that audits are recorded under, and the group of accounts that are linearizable together. */
export const auditKey = 'audit';

/** Appends events to a file as they come, so that a history survives the test that made it. */
export class HistoryFile {
  readonly #file: number;
  readonly events: HistoryEvent[] = [];

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  add(event: HistoryEvent): void {
    this.events.push(event);
    writeSync(this.#file, `${JSON.stringify(event)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

export function readHistory(path: string): HistoryEvent[] {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as HistoryEvent);
}
