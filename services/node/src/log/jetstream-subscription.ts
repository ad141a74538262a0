// One subscriber of a log in JetStream. It is given what the stream's leader tells as it stores it, as long
// as that goes on without a gap; what it missed, when it began, was away, or was slow, it reads back from a
// copy. Either way each record's position is one more than the last one's, or it is not taken.
//
// In memory wait at most limits.logSubscriberBufferBytesMax, and what one read brings beyond it.
import { limits } from '@statestore/core';
import type { StreamApi } from '@statestore/cluster';
import type { Time, Timer } from '../time.ts';
import { JetStreamCheck } from './jetstream-check.ts';
import type { FoundRecord } from './jetstream-record.ts';
import type { JetStreamReader, ReadEnd } from './jetstream-reader.ts';
import type { LogRecord, Subscription, SubscriptionEnd } from './log.ts';
import { TakenTimes } from './taken-times.ts';

export interface SubscriptionSource {
  readonly incarnation: string;
  readonly api: StreamApi;
  readonly reader: JetStreamReader;
  readonly time: Time;
  /** Told of each record that is read back. */
  readonly onFound: (found: FoundRecord) => void;
  readonly onEnded: (subscription: JetStreamSubscription) => void;
}

export interface SubscriptionOptions {
  readonly from: bigint;
  readonly onRecords: (records: readonly LogRecord[]) => void | Promise<void>;
}

/** After so many reads of a copy that did not bring what is known to be there, the leader is asked, */
const copyReadsMax = 3;
/** for so many records before the copy is tried again. */
const leaderReadsMax = 64;
/** A record that is so often not there, in a log that has earlier ones, is a hole: nothing can be compared. */
const missingMax = 3;

export class JetStreamSubscription implements Subscription {
  readonly ended: Promise<SubscriptionEnd>;
  readonly #source: SubscriptionSource;
  readonly #options: SubscriptionOptions;
  readonly #check: JetStreamCheck;
  #resolveEnded: (end: SubscriptionEnd) => void = () => undefined;
  #over = false;
  /** The log was found to have what is wanted: before that nothing is delivered. */
  #isGood = false;
  /** The next one to take. */
  #next: bigint;
  readonly #taken: TakenTimes;
  /** What was taken last is still what the log has there, as far as anybody knows: else nothing more is taken. */
  #isProved = true;
  /** Counts attempts to find that out. */
  #proofs = 0;
  /** The last one is under way. */
  #proving = false;
  /** Times in a row that the leader did not have it. */
  #missing = 0;
  /** The log is known to go this far. */
  #known: bigint;
  /** To be delivered, up to #next. */
  #ready: LogRecord[] = [];
  #readyBytes = 0;
  /** Told ahead of #next, without a gap among themselves. */
  #ahead: LogRecord[] = [];
  #aheadBytes = 0;
  #scheduled = false;
  /** Under way, where the subscriber takes its time. */
  #delivery: Promise<void> | undefined;
  #reading = false;
  /** The copy that was read last has more. */
  #more = false;
  /** Reads of copies in succession that brought nothing although there is more. */
  #vainReads = 0;
  #leaderReads = 0;
  /** A hole was seen, and nothing has filled it, since. */
  #holeSinceMs: number | undefined;
  #timer: Timer | undefined;
  #timerDueMs = Infinity;
  #quietMs: number = limits.logQuietPollMsMin;
  /** #next when the timer was set. */
  #nextAtTimer: bigint;

  constructor(source: SubscriptionSource, options: SubscriptionOptions) {
    this.#source = source;
    this.#options = options;
    this.#next = options.from;
    this.#taken = new TakenTimes(options.from);
    this.#nextAtTimer = options.from;
    this.#known = options.from - 1n;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#check = new JetStreamCheck({
      api: source.api,
      time: source.time,
      incarnation: source.incarnation,
      next: () => this.#next,
      known: () => this.#known,
      onGood: (first) => this.#good(first),
      onEnd: (end) => this.#end(end),
    });
  }

  /** Whether it took the record of this position. */
  took(position: bigint): boolean {
    return position >= this.#options.from && position < this.#next;
  }

  /** A record that the stream's leader tells. */
  offer(record: LogRecord): void {
    if (this.#over) return;
    const { position } = record;
    if (position > this.#known) this.#known = position;
    if (!this.#isGood) return;
    if (position < this.#next) {
      if (this.#taken.contradicts(record)) this.contradicted(position);
      // Read back before it was told, or the log begins to say something else.
      else if (this.#ahead.length === 0 && !this.#reading) this.#check.soon();
    } else if (position > this.#next || !this.#isProved) {
      this.#putAhead(record);
      this.#read();
    } else if (this.#hasRoom(record)) {
      this.#take(record);
      this.#takeAhead();
    }
  }

  /** The log goes this far, as somebody knows: its record may be on its way. */
  hint(position: bigint): void {
    if (position <= this.#known) return;
    this.#known = position;
    if (this.#isGood && position >= this.#next) this.#arm(limits.logHintWaitMs);
  }

  /** Whatever was told meanwhile was missed, perhaps. */
  lookAgain(): void {
    this.#check.soon();
    this.#quietMs = limits.logQuietPollMsMin;
    this.#vainReads = 0;
    if (!this.#isGood || this.#over) return;
    this.#missing = 0;
    void this.#prove();
  }

  /** Something looks odd. */
  doubt(): void {
    this.#check.soon();
  }

  /** The log gave a position, that was taken here, to another record. */
  contradicted(last: bigint): void {
    this.#end({ kind: 'regressed', last, incarnation: this.#source.incarnation });
  }

  #good(first: bigint): void {
    if (this.#over) return;
    if (!this.#isGood) {
      this.#isGood = true;
      this.#read(true);
      this.#arm(this.#quietMs);
    } else if (this.#missing > 0 && !this.#isProved) {
      // It was trimmed.
      if (first >= this.#next || this.#missing >= missingMax) this.#proved();
      else void this.#prove();
    }
  }

  // Whether it is still the same log: one that lost its end may have grown again beyond what was taken.

  async #prove(): Promise<void> {
    const position = this.#next - 1n;
    const taken = this.#taken.at(position);
    if (taken === undefined) return this.#proved();
    this.#isProved = false;
    this.#proving = true;
    const proof = ++this.#proofs;
    let found: LogRecord | undefined;
    const end = await this.#source.reader.readOne(position, ({ record }) => (found = record));
    if (this.#over) return;
    if (found !== undefined && found.timestampNanos !== taken) return this.contradicted(position);
    // The answer may be of the leader before the last one.
    if (proof !== this.#proofs) return;
    this.#proving = false;
    if (found !== undefined) return this.#proved();
    if (end === 'empty') {
      // Trimmed, or the log is shorter: it is asked which.
      this.#missing++;
      this.#check.soon();
    } else {
      this.#arm(limits.logReadAgainMs);
    }
  }

  #proved(): void {
    this.#isProved = true;
    this.#missing = 0;
    this.#takeAhead();
    this.#read(true);
    // The copy that is near may be a moment behind a new leader.
    this.#arm(limits.logReadAgainMs * 2);
  }

  // Taking in.

  #hasRoom({ bytes }: LogRecord): boolean {
    return this.#ready.length === 0 || this.#readyBytes + bytes.length <= limits.logSubscriberBufferBytesMax;
  }

  #take(record: LogRecord): void {
    this.#ready.push(record);
    this.#taken.took(record);
    this.#readyBytes += record.bytes.length;
    this.#next = record.position + 1n;
    this.#holeSinceMs = undefined;
    this.#schedule();
  }

  #putAhead(record: LogRecord): void {
    const last = this.#ahead.at(-1)?.position ?? record.position - 1n;
    // Told twice: by a leader that was frozen, perhaps.
    if (record.position <= last) return;
    if (record.position > last + 1n) this.#forgetAhead();
    const bytes = this.#readyBytes + this.#aheadBytes + record.bytes.length;
    // Where there is no room it is read back later.
    if (bytes > limits.logSubscriberBufferBytesMax) return this.#forgetAhead();
    this.#ahead.push(record);
    this.#aheadBytes += record.bytes.length;
  }

  #takeAhead(): void {
    const first = this.#ahead[0];
    if (!this.#isProved || first === undefined || first.position > this.#next) return;
    const ahead = this.#ahead;
    this.#forgetAhead();
    for (const record of ahead) {
      if (record.position === this.#next && this.#hasRoom(record)) this.#take(record);
    }
  }

  #forgetAhead(): void {
    this.#ahead = [];
    this.#aheadBytes = 0;
  }

  // Reading back.

  /** `probe`: also where nothing is known to be there. */
  #read(probe = false): void {
    if (this.#over || this.#reading || !this.#isProved) return;
    if (this.#known < this.#next && !this.#more && !probe) return;
    // One read brings up to half of what may wait.
    if (this.#readyBytes > limits.logSubscriberBufferBytesMax / 2) return;
    this.#reading = true;
    const { reader, onFound } = this.#source;
    const onRecord = (found: FoundRecord): void => {
      onFound(found);
      if (!this.#over && this.#isProved && found.record.position === this.#next) this.#take(found.record);
    };
    const byLeader = this.#vainReads >= copyReadsMax;
    const reading = byLeader ? reader.readOne(this.#next, onRecord) : reader.read(this.#next, onRecord);
    void reading.then((end) => this.#onRead(end, byLeader));
  }

  #onRead(end: ReadEnd, byLeader: boolean): void {
    this.#reading = false;
    if (this.#over) return;
    const readUpTo = this.#next;
    this.#takeAhead();
    // What it has beyond that was told meanwhile.
    const isThrough = end === 'empty' && this.#known < this.#next && this.#holeSinceMs === undefined;
    const brought = end === 'read' || end === 'more';
    // The leader is asked for one, and does not say whether it has another.
    this.#more = (end === 'more' || (brought && byLeader)) && this.#next === readUpTo;
    if (isThrough || (brought && (!byLeader || ++this.#leaderReads % leaderReadsMax === 0))) this.#vainReads = 0;
    if (isThrough) return;
    if (brought) return this.#read();
    if (end === 'hole') {
      this.#check.soon();
      this.#holeSinceMs ??= this.#source.time.elapsedMs();
    }
    if (end === 'empty' && byLeader) return this.#absent();
    this.#vainReads++;
    this.#arm(limits.logReadAgainMs);
  }

  /** The leader says that it is not there, and others say that there is more. */
  #absent(): void {
    this.#check.soon();
    const { time } = this.#source;
    this.#vainReads = 0;
    // Said by a leader that may have been replaced: only one that others were heard by is believed.
    if (!this.#check.isGood) this.#holeSinceMs = time.elapsedMs();
    this.#holeSinceMs ??= time.elapsedMs();
    if (time.elapsedMs() - this.#holeSinceMs < limits.logHoleConfirmMs) return this.#arm(limits.logReadAgainMs);
    // The check would have found that it was trimmed, or that the log is shorter.
    this.#end({ kind: 'corrupt', cause: new Error(`the log has no record ${this.#next}, and has later ones`) });
  }

  /** In this time, or earlier where that was said before. */
  #arm(ms: number): void {
    const { time } = this.#source;
    const dueMs = time.elapsedMs() + ms;
    if (this.#over || dueMs >= this.#timerDueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#nextAtTimer = this.#next;
    this.#timer = time.after(ms, () => this.#onTimer());
  }

  /** Nothing came for a while: what a leader stored as it became one it may not have told. */
  #onTimer(): void {
    this.#timerDueMs = Infinity;
    if (!this.#isProved && !this.#proving && this.#missing === 0) void this.#prove();
    if (this.#next !== this.#nextAtTimer) this.#quietMs = limits.logQuietPollMsMin;
    else {
      this.#quietMs = Math.min(this.#quietMs * 2, limits.logQuietPollMsMax);
      this.#read(true);
    }
    this.#arm(this.#quietMs);
  }

  // Delivering.

  /** In a microtask: what arrives together is delivered together. */
  #schedule(): void {
    if (this.#scheduled || this.#delivery !== undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#over || this.#delivery !== undefined || this.#ready.length === 0) return;
    const records = this.#ready;
    this.#ready = [];
    this.#readyBytes = 0;
    try {
      const delivery = this.#options.onRecords(records);
      if (delivery !== undefined) this.#delivery = this.#settle(delivery);
    } catch (cause) {
      this.#end({ kind: 'corrupt', cause });
    }
  }

  async #settle(delivery: Promise<void>): Promise<void> {
    try {
      await delivery;
    } catch (cause) {
      this.#end({ kind: 'corrupt', cause });
    }
    this.#delivery = undefined;
    if (this.#over) return;
    this.#deliver();
    this.#takeAhead();
    this.#read();
  }

  // Ending.

  #end(end: SubscriptionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#check.close();
    this.#timer?.cancel();
    this.#ready = [];
    this.#forgetAhead();
    this.#resolveEnded(end);
    this.#source.onEnded(this);
  }

  async close(): Promise<void> {
    this.#end({ kind: 'closed' });
    await this.#delivery;
  }

  /** As `close`, without waiting for the subscriber. */
  abandon(): void {
    this.#end({ kind: 'closed' });
  }
}
