// The logs of all partitions of a process in one journal on disk: a write that is synced once serves all
// of them. Measured on 2 cores
// with 64 clients: a PUT took 57 µs of CPU with 4 partitions and a log for each, and 31 to 37 µs with a
// single partition; the difference is what sharing is for (docs/decisions/0003-one-journal.md).
//
// The journal is an embedded log whose records say whose they are (journal-record.ts). A partition's
// positions are its own and consecutive. Before anything is trimmed, a record with the last position of
// every partition is written, so that one without newer records still knows where it stands.
import { JournalSubscription } from './journal-subscription.ts';
import type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from './log.ts';
import { limits, StateStoreError } from '@statestore/core';
import type { EmbeddedLog, EmbeddedLogOptions } from './embedded-log.ts';
import { openEmbeddedLog } from './embedded-log.ts';
import { JournalIndex } from './journal-index.ts';
import {
  decodeJournalRecord,
  encodeJournalRecord,
  encodePositionsRecord,
  journalHeaderBytes,
  recordPosition,
  stampRecord,
} from './journal-record.ts';
import type { Recovered } from './log-recovery.ts';

export interface SharedJournalOptions extends Pick<EmbeddedLogOptions, 'directory' | 'now' | 'segmentBytes' | 'write'> {
  readonly partitions: number;
  /** Of a journal that is not there yet: the position of each partition that its log carries on from. */
  readonly begin?: readonly bigint[];
}

/** What the journal's own header says instead of a partition. */
const journalPartition = 0xffff;

export class SharedJournal {
  readonly #journal: EmbeddedLog;
  readonly #indexes: readonly JournalIndex[];
  #following: Subscription | undefined;
  #trimming: Promise<void> = Promise.resolve();

  private constructor(journal: EmbeddedLog, indexes: readonly JournalIndex[]) {
    this.#journal = journal;
    this.#indexes = indexes;
  }

  /** As openEmbeddedLog; throws `data_corrupt` also where the records of a partition have a gap. */
  static async open(options: SharedJournalOptions): Promise<SharedJournal> {
    const { partitions, begin, ...rest } = options;
    const lasts = Array.from({ length: partitions }, (_, partition) => begin?.[partition] ?? 0n);
    const journal = await openEmbeddedLog({
      ...rest,
      partition: journalPartition,
      inFlightMax: limits.logInFlightMax * (partitions + 1),
      stamp: (payload) => stampRecord(payload, lasts),
    });
    try {
      if (begin !== undefined) await carryOn(journal, partitions);
      const { first, last } = await journal.bounds();
      const indexes = lasts.map((_, partition) => new JournalIndex(partition, first === 1n));
      const shared = new SharedJournal(journal, indexes);
      await shared.#follow(first, last);
      for (const [partition, index] of indexes.entries()) lasts[partition] = index.last;
      return shared;
    } catch (error) {
      await journal.close();
      throw error;
    }
  }

  /** Reads what is there, then goes on: the indexes are told of every group before any partition is. */
  async #follow(first: bigint, last: bigint): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const following = this.#journal.subscribe({
        from: first,
        onRecords: (records) => {
          for (const record of records) this.#note(record);
          if (records.at(-1)!.position >= last) resolve();
        },
      });
      this.#following = following;
      void following.ended.then((end) => reject(reasonOf(end)));
      if (last < first) resolve();
    });
  }

  #note(record: LogRecord): void {
    const { partition, position, lasts } = decodeJournalRecord(record.bytes, this.#indexes.length);
    if (partition >= 0) this.#indexes[partition]!.add(position, record.position, record.bytes.length);
    else for (const [i, index] of this.#indexes.entries()) index.confirm(lasts[i]!, record.position);
  }

  /** UUID of the journal; each partition's log in it has one that follows from it. */
  get incarnation(): string {
    return this.#journal.incarnation;
  }

  get recovered(): Recovered {
    return this.#journal.recovered;
  }

  /** On disk, for all partitions. */
  sizeBytes(): Promise<number> {
    return this.#journal.sizeBytes();
  }

  logOf(partition: number): Log {
    const index = this.#indexes[partition];
    if (index === undefined)
      throw new RangeError(`the journal has partitions 0 to ${this.#indexes.length - 1}, not ${partition}`);
    return new PartitionLog({ journal: this.#journal, partition, index, trim: () => this.#trim() });
  }

  /** Removes the files that no partition needs any more. One after the other. */
  #trim(): Promise<void> {
    const trimmed = this.#trimming.then(() => this.#trimOnce());
    this.#trimming = trimmed.catch(() => undefined);
    return trimmed;
  }

  async #trimOnce(): Promise<void> {
    let below = (await this.#journal.bounds()).last + 1n;
    for (const index of this.#indexes) {
      const needed = index.neededPlace;
      if (needed !== undefined && needed < below) below = needed;
    }
    if (!this.#journal.canTrim(below)) return;
    const outcome = await this.#journal.append(encodePositionsRecord(this.#indexes.length));
    // Refused or failed: the files stay, and the next trim tries again.
    if (outcome.kind !== 'appended') return;
    await this.#journal.trim(below < outcome.position ? below : outcome.position);
    const { first } = await this.#journal.bounds();
    for (const index of this.#indexes) index.trimmed(first);
  }

  /** Finishes what is in flight, then frees everything. Idempotent. */
  async close(): Promise<void> {
    await this.#trimming;
    await this.#journal.close();
    await this.#following?.close();
  }
}

/** Its first record says where each partition begins. */
async function carryOn(journal: EmbeddedLog, partitions: number): Promise<void> {
  if (journal.last > 0n) {
    throw new StateStoreError(
      'invalid_settings',
      `the journal ${journal.incarnation} has ${journal.last} records already`,
    );
  }
  const outcome = await journal.append(encodePositionsRecord(partitions));
  if (outcome.kind === 'appended') return;
  throw new StateStoreError('unavailable', `the journal took no record: ${outcome.kind}`, { cause: outcome.cause });
}

function reasonOf(end: SubscriptionEnd): unknown {
  return end.kind === 'corrupt'
    ? end.cause
    : new StateStoreError('unavailable', `the journal was left while it was read: ${end.kind}`);
}

interface JournalPart {
  readonly journal: EmbeddedLog;
  readonly partition: number;
  readonly index: JournalIndex;
  readonly trim: () => Promise<void>;
}

/** One partition's log in the journal. */
class PartitionLog implements Log {
  readonly exclusive = true;
  readonly incarnation: string;
  readonly recordBytesMax: number;
  readonly #journal: EmbeddedLog;
  readonly #partition: number;
  readonly #index: JournalIndex;
  readonly #trimJournal: () => Promise<void>;
  readonly #subscriptions = new Set<Subscription>();
  #inFlight = 0;
  #closed = false;

  constructor(part: JournalPart) {
    this.#journal = part.journal;
    this.#partition = part.partition;
    this.#index = part.index;
    this.#trimJournal = part.trim;
    this.incarnation = incarnationOf(part.journal.incarnation, part.partition);
    this.recordBytesMax = part.journal.recordBytesMax - journalHeaderBytes;
  }

  get failed(): Promise<unknown> {
    return this.#journal.failed;
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    if (this.#closed) return refused('closed');
    if (bytes.length > this.recordBytesMax) return refused('too_large');
    if (this.#inFlight >= limits.logInFlightMax) return refused('overloaded');
    this.#inFlight++;
    const record = encodeJournalRecord(this.#partition, bytes);
    return this.#journal.append(record).then((outcome) => {
      this.#inFlight--;
      return outcome.kind === 'appended' ? { kind: 'appended', position: recordPosition(record) } : outcome;
    });
  }

  subscribe(options: Parameters<Log['subscribe']>[0]): Subscription {
    const { from, incarnation, onRecords } = options;
    const { first, last } = this.#index;
    if (this.#closed) return endedAs({ kind: 'closed' });
    if ((incarnation !== undefined && incarnation !== this.incarnation) || from > last + 1n) {
      return endedAs({ kind: 'regressed', last, incarnation: this.incarnation });
    }
    if (from < first) return endedAs({ kind: 'trimmed', first });
    const source = {
      partition: this.#partition,
      index: this.#index,
      last: () => this.#journal.last,
      subscribe: this.#journal.subscribe.bind(this.#journal),
    };
    const subscription = new JournalSubscription(source, from, onRecords);
    this.#subscriptions.add(subscription);
    void subscription.ended.then(() => this.#subscriptions.delete(subscription));
    return subscription;
  }

  bounds(): Promise<LogBounds> {
    const { first, last } = this.#index;
    return Promise.resolve({ first, last });
  }

  trim(below: bigint): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#index.release(below);
    return this.#trimJournal();
  }

  /** Of this partition's own records; SharedJournal.sizeBytes tells what the files take. */
  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#index.sizeBytes);
  }

  /** Ends its subscriptions, whether their subscribers are done or not, and leaves the journal open for the others. */
  close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) void subscription.close();
    return Promise.resolve();
  }
}

/** Each partition's log has one of its own, so that a state of another partition is not taken for this one's. */
function incarnationOf(journal: string, partition: number): string {
  const number = Number.parseInt(journal.slice(-4), 16) ^ partition;
  return journal.slice(0, -4) + number.toString(16).padStart(4, '0');
}

function refused(reason: 'closed' | 'too_large' | 'overloaded'): Promise<AppendOutcome> {
  return Promise.resolve({ kind: 'refused', reason });
}

function endedAs(end: SubscriptionEnd): Subscription {
  return { ended: Promise.resolve(end), close: () => Promise.resolve() };
}
