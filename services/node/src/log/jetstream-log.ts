// The log of one partition over JetStream: many processes may append and read, and the stream's Raft group
// orders what they append. It mends itself for as long as the process lives: connections, leaders and
// servers come and go. Who makes the stream, and what to do when it lost something, is left to others.
//
// What each crash loses: nothing that was acknowledged, while a majority of the stream's servers keeps its
// disk (`sync_interval: always`). A process that is killed leaves appends whose outcome nobody knows.
import {
  headerText,
  isConnected,
  logDeliverySubject,
  logStream,
  logSubject,
  onConnectionChange,
  StreamApi,
} from '@statestore/cluster';
import type { Msg, NatsConnection, StreamAnswer, StreamView } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Time } from '../time.ts';
import { systemTime } from '../time.ts';
import { JetStreamPublisher } from './jetstream-publisher.ts';
import { JetStreamReader } from './jetstream-reader.ts';
import type { FoundRecord } from './jetstream-record.ts';
import { foundRecord, nanosOf } from './jetstream-record.ts';
import { JetStreamSubscription } from './jetstream-subscription.ts';
import type { SubscriptionOptions } from './jetstream-subscription.ts';
import type { AppendOutcome, Log, LogBounds, Subscription } from './log.ts';

export interface JetStreamLogOptions {
  /** Of `connectNats`; stays its caller's. */
  readonly connection: NatsConnection;
  readonly cluster: string;
  readonly partition: number;
  readonly log: PartitionLog;
  readonly time?: Time;
}

/**
 * Rejects with `unavailable` where there is no connection for a while, and with nothing else: whether the
 * stream is there, and is this log, its subscriptions find out.
 */
export async function openJetStreamLog(options: JetStreamLogOptions): Promise<Log> {
  const { connection, cluster, partition, log } = options;
  const payloadBytesMax = await payloadBytesMaxOf(connection);
  const stream = logStream(cluster, partition, log.generation);
  return new JetStreamLog(connection, options.time ?? systemTime, {
    stream,
    subject: logSubject(cluster, partition, log),
    deliverySubject: logDeliverySubject(cluster, partition, log),
    incarnation: log.incarnation,
    recordBytesMax: Math.min(limits.logMessageBytesMax, payloadBytesMax - limits.logHeaderBytes),
  });
}

async function payloadBytesMaxOf(connection: NatsConnection): Promise<number> {
  if (!isConnected(connection)) await connected(connection);
  const { info } = connection;
  if (info === undefined) throw new StateStoreError('unavailable', 'there is no connection to NATS');
  return info.max_payload;
}

function connected(connection: NatsConnection): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      stop();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, limits.natsAnswerWaitMs);
    const stop = onConnectionChange(connection, () => {
      if (isConnected(connection) || connection.isClosed()) end();
    });
  });
}

interface Place {
  readonly stream: string;
  readonly subject: string;
  readonly deliverySubject: string;
  readonly incarnation: string;
  readonly recordBytesMax: number;
}

class JetStreamLog implements Log {
  readonly incarnation: string;
  readonly exclusive = false;
  readonly recordBytesMax: number;
  readonly #place: Place;
  readonly #time: Time;
  readonly #api: StreamApi;
  readonly #publisher: JetStreamPublisher;
  readonly #reader: JetStreamReader;
  readonly #subscriptions = new Set<JetStreamSubscription>();
  readonly #unlisten: (() => void)[];
  #sizeBytes = 0;
  #closed: Promise<void> | undefined;

  constructor(connection: NatsConnection, time: Time, place: Place) {
    const { stream, subject, incarnation, recordBytesMax } = place;
    this.#place = place;
    this.#time = time;
    this.incarnation = incarnation;
    this.recordBytesMax = recordBytesMax;
    this.#api = new StreamApi(connection, stream);
    this.#publisher = new JetStreamPublisher({
      connection,
      time,
      stream,
      subject,
      recordBytesMax,
      onAcknowledged: (position) => this.#onAcknowledged(position),
      onRefused: () => {
        for (const subscription of this.#subscriptions) subscription.doubt();
      },
    });
    this.#reader = new JetStreamReader({ connection, api: this.#api, time, stream, subject });
    const listen = (to: string, run: (message: Msg) => void): (() => void) => {
      const listening = connection.subscribe(to, {
        callback: (error, message) => (error === null ? run(message) : undefined),
      });
      return () => listening.unsubscribe();
    };
    this.#unlisten = [
      listen(place.deliverySubject, (message) => this.#onTold(message)),
      // LEADER_ELECTED, DELETED, CREATED, UPDATED, QUORUM_LOST.
      listen(`$JS.EVENT.ADVISORY.STREAM.*.${stream}`, () => this.#lookAgain()),
      onConnectionChange(connection, () => {
        if (isConnected(connection)) this.#lookAgain();
        else this.#reader.interrupt();
      }),
    ];
  }

  append(bytes: Uint8Array): Promise<AppendOutcome> {
    return this.#publisher.append(bytes);
  }

  subscribe({ incarnation, ...options }: Parameters<Log['subscribe']>[0]): Subscription {
    if (this.#closed !== undefined) return ended(Promise.resolve({ kind: 'closed' }));
    if (incarnation !== undefined && incarnation !== this.incarnation) return ended(this.#otherIncarnation());
    return this.#subscribe(options);
  }

  #subscribe(options: SubscriptionOptions): Subscription {
    const source = {
      incarnation: this.incarnation,
      api: this.#api,
      reader: this.#reader,
      time: this.#time,
      onFound: (found: FoundRecord) => this.#onFound(found),
      onEnded: (subscription: JetStreamSubscription) => void this.#subscriptions.delete(subscription),
    };
    const subscription = new JetStreamSubscription(source, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async #otherIncarnation(): Promise<Awaited<Subscription['ended']>> {
    const answer = await this.#api.info();
    if (this.#closed !== undefined) return { kind: 'closed' };
    const last = answer.kind === 'answered' ? answer.value.last : 0n;
    return { kind: 'regressed', last, incarnation: this.incarnation };
  }

  /** The leader tells a record as it stores it. */
  #onTold(message: Msg): void {
    const found = foundRecord(message, headerText(message), this.#place.subject);
    if (found === undefined) return;
    this.#onFound(found);
    for (const subscription of this.#subscriptions) subscription.offer(found.record);
  }

  #onFound({ id, record: { position } }: FoundRecord): void {
    this.#publisher.seen(id, position);
  }

  /** Of an append whose record no subscriber was given: one that has that position was given another one. */
  #onAcknowledged(position: bigint): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.took(position)) subscription.contradicted(position);
      else subscription.hint(position);
    }
  }

  #lookAgain(): void {
    this.#publisher.resend();
    for (const subscription of this.#subscriptions) subscription.lookAgain();
  }

  /** Rejects with `unavailable` where nobody who knows answers. */
  async bounds(): Promise<LogBounds> {
    const { first, last } = this.#viewOf(await this.#api.currentInfo());
    return { first, last };
  }

  async beganNanos(): Promise<bigint | undefined> {
    const { created } = this.#viewOf(await this.#api.currentInfo());
    return created === undefined ? undefined : nanosOf(created);
  }

  async timestampOf(position: bigint): Promise<bigint | undefined> {
    const untilMs = this.#time.elapsedMs() + limits.natsAnswerWaitMs;
    let timestampNanos: bigint | undefined;
    for (;;) {
      const end = await this.#reader.readOne(position, ({ record }) => (timestampNanos = record.timestampNanos));
      if (end === 'read') return timestampNanos;
      // A record of another log is none of this one.
      if (end === 'empty' || end === 'hole') return undefined;
      if (this.#closed !== undefined || this.#time.elapsedMs() >= untilMs) break;
      await new Promise<void>((resolve) => this.#time.after(limits.natsAskAgainMs, resolve));
    }
    throw new StateStoreError('unavailable', `the stream ${this.#place.stream} cannot be read`, { retryAfterMs: 1000 });
  }

  #viewOf(answer: StreamAnswer<StreamView>): StreamView {
    if (answer.kind === 'answered') return answer.value;
    const { stream } = this.#place;
    if (answer.kind === 'absent') throw new StateStoreError('unavailable', `there is no stream ${stream}`);
    const { cause } = answer;
    throw new StateStoreError('unavailable', `the stream ${stream} cannot be asked`, { retryAfterMs: 1000, cause });
  }

  async trim(below: bigint): Promise<void> {
    if (this.#closed !== undefined) return;
    const { first, last } = this.#viewOf(await this.#api.currentInfo());
    // A purge beyond the end would move the end.
    const keepFrom = below > last + 1n ? last + 1n : below;
    if (keepFrom <= first) return;
    const answer = await this.#api.purge(keepFrom);
    if (answer.kind === 'answered') return;
    throw new StateStoreError('unavailable', `the stream ${this.#place.stream} was not trimmed`, {
      retryAfterMs: 1000,
      ...(answer.kind === 'absent' ? {} : { cause: answer.cause }),
    });
  }

  /** Of one copy, as it was last told. */
  async sizeBytes(): Promise<number> {
    const answer = await this.#api.info();
    if (answer.kind === 'answered') this.#sizeBytes = answer.value.sizeBytes;
    return this.#sizeBytes;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // Their records still settle appends.
    await this.#publisher.close();
    for (const stop of this.#unlisten) stop();
    for (const subscription of this.#subscriptions) subscription.abandon();
    this.#reader.close();
  }
}

function ended(end: Subscription['ended']): Subscription {
  return { ended: end, close: async () => void (await end) };
}
