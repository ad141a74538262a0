// One partition's subscription in the shared journal: of the journal's records it hands on its own. It
// stands at a place in the journal, and files between that place and the partition's next record may be
// trimmed while it is held up, since they hold records of others alone: then it goes on behind them.
import type { JournalIndex } from './journal-index.ts';
import { journalHeaderBytes, recordPartition, recordPosition } from './journal-record.ts';
import type { OnRecords } from './log-subscription.ts';
import type { Log, LogRecord, Subscription, SubscriptionEnd } from './log.ts';

export interface JournalSource {
  readonly partition: number;
  readonly index: JournalIndex;
  /** Position in the journal of its newest durable record. */
  readonly last: () => bigint;
  readonly subscribe: Log['subscribe'];
}

export class JournalSubscription implements Subscription {
  readonly ended: Promise<SubscriptionEnd>;
  readonly #source: JournalSource;
  readonly #onRecords: OnRecords;
  /** Of the partition: the next one to hand on. */
  #next: bigint;
  #inner: Subscription;
  #closed = false;

  /** `from`: a position of the partition that is there, or its next one. */
  constructor(source: JournalSource, from: bigint, onRecords: OnRecords) {
    this.#source = source;
    this.#next = from;
    this.#onRecords = onRecords;
    this.#inner = this.#begin();
    this.ended = this.#follow();
  }

  #begin(): Subscription {
    const { index, last, subscribe } = this.#source;
    return subscribe({
      from: index.placeOf(this.#next) ?? last() + 1n,
      onRecords: (records) => this.#handOn(records),
    });
  }

  async #follow(): Promise<SubscriptionEnd> {
    for (;;) {
      const end = await this.#inner.ended;
      if (this.#closed) return { kind: 'closed' };
      if (end.kind !== 'trimmed') return end;
      const { index } = this.#source;
      const place = index.placeOf(this.#next);
      // Its own next record is still there, or has not come yet. Judged by what the journal says it begins with.
      const isThere = place === undefined ? this.#next === index.last + 1n : place >= end.first;
      if (!isThere) return { kind: 'trimmed', first: index.first };
      this.#inner = this.#begin();
    }
  }

  #handOn(records: readonly LogRecord[]): void | Promise<void> {
    const own: LogRecord[] = [];
    for (const { timestampNanos, bytes } of records) {
      if (recordPartition(bytes) !== this.#source.partition) continue;
      const position = recordPosition(bytes);
      if (position < this.#next) continue;
      own.push({ position, timestampNanos, bytes: bytes.subarray(journalHeaderBytes) });
    }
    if (own.length === 0) return undefined;
    this.#next = own.at(-1)!.position + 1n;
    return this.#onRecords(own);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#inner.close();
  }
}
