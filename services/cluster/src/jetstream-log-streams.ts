// The streams that are the logs of partitions, in JetStream.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { StreamConfig } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { PartitionLog } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { LogDescription, LogStreams, NewLog, StartedLog } from './log-streams.ts';
import { checkClusterName, logDeliverySubject, logStream, logSubject } from './names.ts';
import type { StreamAnswer } from './stream-api.ts';
import { askUntilClear, isPassing, StreamApi, streamErrors } from './stream-api.ts';

/** Keys of a stream's metadata. */
const metadataKeys = {
  incarnation: 'statestore.incarnation',
  continuesIncarnation: 'statestore.continues.incarnation',
  continuesPosition: 'statestore.continues.position',
  continuesChain: 'statestore.continues.chain',
} as const;

export function jetStreamLogStreams(connection: NatsConnection, cluster: string): LogStreams {
  checkClusterName(cluster);
  return {
    create: (log) => createLog(connection, cluster, log),
    startAt: (log, first) => startLog(connection, logStream(cluster, log.partition, log.generation), log, first),
    describe: (partition, generation) => describeLog(connection, cluster, partition, generation),
    seal: (partition, generation, incarnation) =>
      sealLog(connection, logStream(cluster, partition, generation), incarnation),
    remove: (partition, generation, incarnation) =>
      removeLog(connection, logStream(cluster, partition, generation), incarnation),
  };
}

/** What a stream's metadata says of its log; empty where it is none. */
export function incarnationOf(metadata: Readonly<Record<string, string>>): string {
  return metadata[metadataKeys.incarnation] ?? '';
}

async function createLog(connection: NatsConnection, cluster: string, log: NewLog): Promise<PartitionLog> {
  const { partition, generation, continues, incarnation = randomUUID() } = log;
  const stream = logStream(cluster, partition, generation);
  const created = { generation, incarnation, ...(continues === undefined ? {} : { continues }) };
  const api = new StreamApi(connection, stream);
  const config = logStreamConfig(cluster, log, created.incarnation);
  const answer = await askUntilClear(() => api.add(config));
  if (answer.kind === 'answered') return created;
  if (answer.kind === 'refused' && taken.has(answer.code)) {
    // By an earlier attempt of this call whose answer was lost, perhaps.
    const there = await describeLog(connection, cluster, partition, generation);
    if (there?.log.incarnation === created.incarnation) return created;
    throw new StateStoreError('data_format', `there is a stream ${stream} already, or one of its subject`, {
      cause: answer.cause,
    });
  }
  throw failure(`the stream ${stream} cannot be made`, answer);
}

/** What is purged up to is where it goes on, also where nothing was stored there. */
/* oxlint-disable-next-line max-params -- which stream, and from where on */
async function startLog(
  connection: NatsConnection,
  stream: string,
  { incarnation }: StartedLog,
  first: bigint,
): Promise<void> {
  const api = new StreamApi(connection, stream);
  const what = `the stream ${stream} cannot be begun`;
  const untilMs = performance.now() + limits.natsAnswerWaitMs;
  for (let asked = false; ; asked = true) {
    const found = await api.currentInfo();
    if (found.kind === 'absent') throw unavailable(what, new Error('it is not there'));
    if (found.kind !== 'answered') throw unavailable(what, found.cause);
    const { metadata, last } = found.value;
    const isIt = incarnationOf(metadata) === incarnation;
    if (isIt && found.value.first === first) return;
    if (!isIt || last >= first) {
      const is = `it is of ${incarnationOf(metadata)} and ends at ${last}`;
      throw new StateStoreError('data_format', `${what} at ${first} of ${incarnation}: ${is}`);
    }
    // It was answered by the leader before this one.
    if (performance.now() >= untilMs) throw unavailable(what, new Error('its leader does not know of it'));
    if (asked) await sleep(limits.natsAskAgainMs);
    const answer = await askUntilClear(() => api.purge(first));
    if (answer.kind !== 'answered') throw failure(what, answer);
  }
}

/**
 * - `discard: new` and no limit of age, count or size: nothing leaves a log but by `trim`.
 * - `deny_delete`: no hole can be made in it.
 * - `republish`: its leader tells each batch that it stored on core NATS, and replicas listen. Measured against
 *   a consumer for each of three replicas: delivered 20 to 40% sooner, with 10 to 20% less CPU of the servers,
 *   and nothing to be made anew, by a leader of the metadata, when a server is lost.
 * - `allow_direct`: what a replica missed it reads from whichever copy is near.
 * - `duplicate_window`: longer than an append is tried again. Its ids are kept in memory, and a server reads
 *   all that was stored in this time when it starts.
 */
function logStreamConfig(cluster: string, log: NewLog, incarnation: string): Partial<StreamConfig> {
  const { partition, generation, replicas, first = 1n, continues } = log;
  if (![1, 3, 5].includes(replicas)) {
    throw new StateStoreError('invalid_settings', `a log is to have ${replicas} copies; it may have 1, 3 or 5`);
  }
  const name = { generation, incarnation };
  const subject = logSubject(cluster, partition, name);
  return {
    subjects: [subject],
    storage: StorageType.File,
    num_replicas: replicas,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_age: 0,
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: -1,
    max_msg_size: -1,
    deny_delete: true,
    allow_rollup_hdrs: false,
    allow_direct: true,
    duplicate_window: limits.logDuplicateWindowMs * 1_000_000,
    republish: { src: subject, dest: logDeliverySubject(cluster, partition, name) },
    ...(first === 1n ? {} : { first_seq: Number(first) }),
    metadata: {
      [metadataKeys.incarnation]: incarnation,
      ...(continues === undefined
        ? {}
        : {
            [metadataKeys.continuesIncarnation]: continues.incarnation,
            [metadataKeys.continuesPosition]: String(continues.position),
            [metadataKeys.continuesChain]: continues.chain,
          }),
    },
  };
}

/* oxlint-disable-next-line max-params -- what names a log */
async function describeLog(
  connection: NatsConnection,
  cluster: string,
  partition: number,
  generation: number,
): Promise<LogDescription | undefined> {
  const stream = logStream(cluster, partition, generation);
  const api = new StreamApi(connection, stream);
  const answer = await api.currentInfo();
  if (answer.kind === 'absent') return undefined;
  if (answer.kind !== 'answered') throw unavailable(`the stream ${stream} cannot be asked`, answer.cause);
  const { metadata, first, last, sizeBytes, sealed, created } = answer.value;
  return {
    log: { generation, incarnation: incarnationOf(metadata), ...continuesOf(metadata) },
    first,
    last,
    sizeBytes,
    ...(sealed ? { sealed } : {}),
    ...(created === undefined ? {} : { created }),
  };
}

function continuesOf(metadata: Readonly<Record<string, string>>): Pick<PartitionLog, 'continues'> {
  const incarnation = metadata[metadataKeys.continuesIncarnation];
  const position = metadata[metadataKeys.continuesPosition];
  const chain = metadata[metadataKeys.continuesChain];
  if (incarnation === undefined || position === undefined || chain === undefined) return {};
  return { continues: { incarnation, position: BigInt(position), chain } };
}

/** An update passes through JetStream's metadata: it holds where the stream's leader has taken it up. */
async function sealLog(connection: NatsConnection, stream: string, incarnation: string): Promise<void> {
  const api = new StreamApi(connection, stream);
  const what = `the stream ${stream} cannot be sealed`;
  const untilMs = performance.now() + limits.natsAnswerWaitMs;
  for (let asked = false; ; asked = true) {
    const found = await api.currentInfo();
    if (found.kind === 'absent') return;
    if (found.kind !== 'answered') throw unavailable(what, found.cause);
    const { metadata, sealed } = found.value;
    if (incarnationOf(metadata) !== incarnation || sealed) return;
    // It was answered by the leader before this one.
    if (performance.now() >= untilMs) throw unavailable(what, new Error('its leader does not know of it'));
    if (asked) await sleep(limits.natsAskAgainMs);
    const answer = await askUntilClear(() => api.seal());
    if (answer.kind === 'absent') return;
    if (answer.kind !== 'answered') throw failure(what, answer);
  }
}

async function removeLog(connection: NatsConnection, stream: string, incarnation: string | undefined): Promise<void> {
  const api = new StreamApi(connection, stream);
  if (incarnation !== undefined) {
    // JetStream removes by name alone: what is there is looked at right before.
    const found = await api.currentInfo();
    if (found.kind === 'absent') return;
    if (found.kind !== 'answered') throw unavailable(`the stream ${stream} cannot be asked`, found.cause);
    if (incarnationOf(found.value.metadata) !== incarnation) return;
  }
  const answer = await askUntilClear(() => api.remove());
  if (answer.kind === 'answered' || answer.kind === 'absent') return;
  throw failure(`the stream ${stream} cannot be removed`, answer);
}

const taken: ReadonlySet<number> = new Set([streamErrors.nameInUse, streamErrors.subjectsOverlap]);

const full: ReadonlySet<number> = new Set([
  streamErrors.accountExceeded,
  streamErrors.insufficientResources,
  streamErrors.memoryExceeded,
  streamErrors.storageExceeded,
]);

function failure(what: string, answer: Exclude<StreamAnswer<unknown>, { kind: 'answered' }>): StateStoreError {
  if (answer.kind === 'absent') return new StateStoreError('unavailable', `${what}: it is gone`);
  const { cause } = answer;
  if (answer.kind === 'unanswered') {
    return new StateStoreError('outcome_unknown', `${what}: NATS did not answer`, { retryAfterMs: 1000, cause });
  }
  if (isPassing(answer.code)) return unavailable(what, cause);
  if (full.has(answer.code)) return new StateStoreError('disk_full', `${what}: JetStream has no room`, { cause });
  return new StateStoreError('invalid_settings', `${what}: JetStream says ${answer.code}`, { cause });
}

function unavailable(what: string, cause: unknown): StateStoreError {
  return new StateStoreError('unavailable', `${what}: JetStream is not available`, { retryAfterMs: 1000, cause });
}
