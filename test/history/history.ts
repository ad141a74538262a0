// A history: what clients did and saw, as they saw it, and what was done to the servers meanwhile. The
// checker reads nothing else, so that it can judge one process or a cluster alike. JSON lines, described
// for readers in other languages in docs/history.md.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export type Operation =
  /** Register: put of a value that no other operation of the history writes. */
  | { readonly kind: 'write'; readonly value: string }
  | { readonly kind: 'read' }
  /** Register: put of a unique value where the current one is `expected`. */
  | { readonly kind: 'compareAndSet'; readonly expected: string; readonly value: string }
  /** Register: delete. */
  | { readonly kind: 'delete' }
  /** Registers: lists those whose keys begin with `prefix`; `key` is the prefix too. */
  | { readonly kind: 'scan'; readonly prefix: string }
  /** Counter; `amount` > 0; a new one starts from 0. */
  | { readonly kind: 'increment'; readonly amount: number }
  /** Log of tokens; a token is unique in the history and ends with `;`, which it holds nowhere else. */
  | { readonly kind: 'append'; readonly token: string }
  /** Accounts: moves an amount from `key` to `to`, atomically. */
  | { readonly kind: 'transfer'; readonly to: string; readonly amount: number }
  /** Accounts: reads all of a group at one point in time. */
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

/** As the API has it. */
export type Consistency = 'strong' | 'session' | 'eventual';

/** One entry of a listing: key, value, revision. */
export type Listed = readonly [key: string, value: string, revision: string];

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
   * Transfer: balances of the two afterwards, where they were told. Scan: the entries in the order of the answer.
   */
  readonly result?: string | number | Readonly<Record<string, number>> | readonly Listed[] | null;
  /** Revision of the entry read or left by the write; the highest of them where there are several. */
  readonly revision?: string;
  /** Transfer and audit: revision by key. */
  readonly revisions?: Readonly<Record<string, string>>;
  /** Attempts that it took. */
  readonly attempts?: number;
  /** Where the key lies: its partition; its slot where partitions become more or fewer. Undefined: not known, or several. */
  readonly partition?: number;
  /** Of a read, scan or audit; undefined: strong. */
  readonly consistency?: Consistency;
  /** Eventual: the state read was the newest at most this long before. */
  readonly maxLagMs?: number;
  /** Operations with the same one carried each other's session token, one after the other. */
  readonly session?: string;
  /** Which gateway answered, or was asked last. */
  readonly gateway?: string;
}

/** The first line. */
export interface RunLine {
  readonly type: 'run';
  readonly version: 1;
  readonly seed: number;
  readonly store: string;
  readonly faults: readonly string[];
  /** Set before the first operation. */
  readonly initial: { readonly accounts: Readonly<Record<string, number>> };
}

/** Something done to the servers. Explains; nothing is judged by it. */
export interface FaultLine {
  readonly type: 'fault';
  readonly what: string;
  readonly targets: readonly string[];
  readonly phase: 'begin' | 'end';
  readonly atMs: number;
}

/** An attempt of an operation that was not answered with its result. */
export interface AttemptLine {
  readonly type: 'attempt';
  readonly client: number;
  readonly gateway: string;
  readonly invokedMs: number;
  readonly returnedMs: number;
  /** Of HTTP; 0: no answer. */
  readonly status: number;
  /** Of the problem document, or of the failed connection. */
  readonly code: string;
  readonly detail?: string;
  /** As in `Outcome`. */
  readonly outcome: 'refused' | 'unknown';
}

/** Of a partition, at the end: the nodes that are to hold its replicas. */
export interface PlacementLine {
  readonly type: 'placement';
  readonly atMs: number;
  readonly partition: number;
  readonly replicas: readonly string[];
}

/** What a node said of its replica of a partition. */
export interface ReplicaLine {
  readonly type: 'replica';
  readonly atMs: number;
  readonly node: string;
  readonly partition: number;
  /** Incarnation of its log: a partition's number may be given to another one. */
  readonly log?: string;
  readonly state: string;
  readonly position: string;
  readonly chain: string;
  readonly stateHash: string;
  /** True: seen at the end, when everything was healed and nothing was written any more. */
  readonly last: boolean;
}

/** The last line: whoever made the history got to its end. */
export interface EndLine {
  readonly type: 'end';
  readonly atMs: number;
}

export type OtherLine = RunLine | FaultLine | AttemptLine | PlacementLine | ReplicaLine | EndLine;

export interface History {
  readonly events: readonly HistoryEvent[];
  readonly others: readonly OtherLine[];
}

/** The key that audits are recorded under, inside the group of accounts. */
export const auditKey = 'audit';

/** Reads that may show an older state: they bind nobody but their session. */
export function isRelaxed({ consistency }: HistoryEvent): boolean {
  return consistency === 'session' || consistency === 'eventual';
}

const bufferCharsMax = 64 * 1024;

/** Keeps the events and appends them to a file, so that a history survives the test that made it. */
export class HistoryFile implements History {
  readonly #file: number;
  readonly events: HistoryEvent[] = [];
  readonly others: OtherLine[] = [];
  #buffered = '';

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  add(event: HistoryEvent): void {
    this.events.push(event);
    this.#write({ type: 'operation', ...event });
  }

  note(line: OtherLine): void {
    this.others.push(line);
    this.#write(line);
  }

  #write(line: object): void {
    this.#buffered += `${JSON.stringify(line)}\n`;
    if (this.#buffered.length > bufferCharsMax) this.flush();
  }

  flush(): void {
    writeSync(this.#file, this.#buffered);
    this.#buffered = '';
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
  }
}

/** Throws where a line is not JSON of a known type. */
export function readHistory(path: string): History {
  const events: HistoryEvent[] = [];
  const others: OtherLine[] = [];
  for (const [at, text] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (text === '') continue;
    const { type, ...line } = JSON.parse(text) as { readonly type?: string };
    if (type === 'operation') events.push(line as HistoryEvent);
    else if (known.has(type ?? '')) others.push({ type, ...line } as OtherLine);
    else throw new TypeError(`line ${at + 1} of ${path} is of type ${JSON.stringify(type)}`);
  }
  return { events, others };
}

const known: ReadonlySet<string> = new Set<OtherLine['type']>([
  'run',
  'fault',
  'attempt',
  'placement',
  'replica',
  'end',
]);
