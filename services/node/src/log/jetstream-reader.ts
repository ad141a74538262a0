// Reads a log in JetStream from a position on, a piece at a time, from whichever copy of the stream is near
// (direct get). That copy may lag, and steps over holes in silence: what it says of the end is a hint, and
// every record's position is compared. Where it does not help, the stream's leader is asked for one record.
import type { Msg, NatsConnection, StreamApi } from '@statestore/cluster';
import { createInbox, headerStatus, headerText, headerValue } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Time, Timer } from '../time.ts';
import type { FoundRecord } from './jetstream-record.ts';
import { foundRecord, nanosOf } from './jetstream-record.ts';

export interface ReaderOptions {
  readonly connection: NatsConnection;
  readonly api: StreamApi;
  readonly time: Time;
  readonly stream: string;
  readonly subject: string;
}

export type ReadEnd =
  /** A piece was read, and this copy has more. */
  | 'more'
  /** Some were read, and all that this copy has. */
  | 'read'
  /** This copy has none from there on. */
  | 'empty'
  /** It has later ones, and not this one; or it has another log's. */
  | 'hole'
  /** Nobody answered, or not to the end. */
  | 'failed';

type OnRecord = (found: FoundRecord) => void;

interface Reading {
  next: bigint;
  count: number;
  heardMs: number;
  readonly onRecord: OnRecord;
  readonly resolve: (end: ReadEnd) => void;
  timer: Timer | undefined;
}

const endOfBatch = 204;
const notFound = 404;

export class JetStreamReader {
  readonly #options: ReaderOptions;
  readonly #inbox = createInbox();
  readonly #readings = new Map<string, Reading>();
  #reads = 0;
  #closed = false;
  readonly #unsubscribe: () => void;

  constructor(options: ReaderOptions) {
    this.#options = options;
    const answers = options.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#onMessage(message);
      },
    });
    this.#unsubscribe = () => answers.unsubscribe();
  }

  /** `onRecord`: called for each record in order, from `from` on without a gap, before this resolves. */
  read(from: bigint, onRecord: OnRecord): Promise<ReadEnd> {
    const { connection, stream, time } = this.#options;
    if (this.#closed) return Promise.resolve('failed');
    const token = String(this.#reads++);
    return new Promise((resolve) => {
      const heardMs = time.elapsedMs();
      const reading: Reading = { next: from, count: 0, heardMs, onRecord, resolve, timer: undefined };
      this.#readings.set(token, reading);
      this.#watch(token, reading);
      const request = `{"seq":${from},"batch":${limits.logReadRecordsMax},"max_bytes":${limits.logReadBytes}}`;
      try {
        connection.publish(`$JS.API.DIRECT.GET.${stream}`, request, { reply: `${this.#inbox}.${token}` });
      } catch {
        this.#end(token, 'failed');
      }
    });
  }

  /** Gives up when nothing was heard for a while. */
  #watch(token: string, reading: Reading): void {
    const { time } = this.#options;
    const leftMs = reading.heardMs + limits.logReadSilenceMs - time.elapsedMs();
    if (leftMs <= 0) return this.#end(token, 'failed');
    reading.timer = time.after(leftMs, () => this.#watch(token, reading));
  }

  #onMessage(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const reading = this.#readings.get(token);
    if (reading === undefined) return;
    const head = headerText(message);
    const status = headerStatus(head);
    if (status !== 0) return this.#end(token, endOf(status, head, reading.count));
    reading.heardMs = this.#options.time.elapsedMs();
    const found = foundRecord(message, head, this.#options.subject);
    if (found === undefined || found.record.position > reading.next) return this.#end(token, 'hole');
    if (found.record.position < reading.next) return;
    reading.next++;
    reading.count++;
    reading.onRecord(found);
  }

  #end(token: string, end: ReadEnd): void {
    const reading = this.#readings.get(token);
    if (reading === undefined) return;
    this.#readings.delete(token);
    reading.timer?.cancel();
    reading.resolve(end);
  }

  /** One record, read by the stream's leader. */
  async readOne(position: bigint, onRecord: OnRecord): Promise<ReadEnd> {
    const answer = await this.#options.api.message(position);
    if (this.#closed) return 'failed';
    if (answer.kind === 'absent') return 'empty';
    if (answer.kind !== 'answered') return 'failed';
    const stored = answer.value;
    if (stored === null) return 'empty';
    if (stored.subject !== this.#options.subject) return 'hole';
    const timestampNanos = nanosOf(stored.timestamp);
    if (timestampNanos === undefined) return 'failed';
    onRecord({ record: { position, timestampNanos, bytes: stored.data }, id: stored.header.get('Nats-Msg-Id') });
    return 'read';
  }

  /** What is under way has failed: its answers went with a connection. */
  interrupt(): void {
    for (const token of this.#readings.keys()) this.#end(token, 'failed');
  }

  close(): void {
    this.#closed = true;
    this.interrupt();
    this.#unsubscribe();
  }
}

function endOf(status: number, head: string, count: number): ReadEnd {
  if (status === notFound) return 'empty';
  if (status !== endOfBatch) return 'failed';
  if (count === 0) return 'empty';
  return headerValue(head, 'Nats-Num-Pending') === '0' ? 'read' : 'more';
}
