// JetStream's own requests about one stream, with answers as values: what was said, that there is no such
// stream, that nothing was done, or that nobody knows. How often to ask and what to make of it is left to
// those who ask. What streams say of themselves is not linearizable; `isCurrent` is how far one can tell.
import { setTimeout as sleep } from 'node:timers/promises';
import type { JetStreamManager, StoredMsg, StreamConfig, StreamInfo } from '@nats-io/jetstream';
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { jserrors } from '@nats-io/jetstream/internal';
import type { NatsConnection } from '@nats-io/transport-node';
import { limits } from '@statestore/core';

export type StreamAnswer<T> =
  | { readonly kind: 'answered'; readonly value: T }
  /** There is no such stream, or no such message in it. */
  | { readonly kind: 'absent' }
  /** Nothing was done. `code`: err_code of nats-server's errors.json; 0: nobody heard the request. */
  | { readonly kind: 'refused'; readonly code: number; readonly cause: unknown }
  /** Perhaps it was done. */
  | { readonly kind: 'unanswered'; readonly cause: unknown };

export interface StreamView {
  readonly subjects: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Oldest message; last + 1 where there is none. */
  readonly first: bigint;
  readonly last: bigint;
  readonly sizeBytes: number;
  /** Read-only, for ever. */
  readonly sealed: boolean;
  /** Said by a leader that heard of a majority of copies within the time in which no other can have been elected. */
  readonly isCurrent: boolean;
  /** When it was made, by the clock of the servers; RFC 3339 in UTC. */
  readonly created?: string;
}

/** err_code of nats-server's errors.json. */
export const streamErrors = {
  notFound: 10059,
  noMessageFound: 10037,
  nameInUse: 10058,
  subjectsOverlap: 10065,
  noSuitablePeers: 10005,
  notAvailable: 10008,
  insufficientResources: 10023,
  memoryExceeded: 10028,
  storageExceeded: 10047,
  accountExceeded: 10002,
} as const;

const nanosPerMs = 1_000_000;

export class StreamApi {
  readonly #connection: NatsConnection;
  readonly #stream: string;
  #manager: Promise<JetStreamManager> | undefined;

  constructor(connection: NatsConnection, stream: string) {
    this.#connection = connection;
    this.#stream = stream;
  }

  info(): Promise<StreamAnswer<StreamView>> {
    return this.#ask(async ({ streams }) => viewOf(await streams.info(this.#stream)));
  }

  /** As `info`, said by a leader that is one; waits for it as `askUntilClear` does. */
  currentInfo(): Promise<StreamAnswer<StreamView>> {
    return askUntilClear(async () => {
      const answer = await this.info();
      const isStale = answer.kind === 'answered' && !answer.value.isCurrent;
      return isStale ? { kind: 'refused', code: streamErrors.notAvailable, cause: 'it has no leader' } : answer;
    });
  }

  /** Also answered where there is one of exactly this configuration. */
  add(config: Partial<StreamConfig>): Promise<StreamAnswer<unknown>> {
    return this.#ask(({ streams }) => streams.add({ ...config, name: this.#stream }));
  }

  /** Makes it read-only. Answered also where it is. */
  seal(): Promise<StreamAnswer<unknown>> {
    // What the server does to a sealed one, said: its config must not differ from what was asked for.
    const change = { sealed: true, deny_delete: true, deny_purge: true };
    return this.#ask(({ streams }) => streams.update(this.#stream, change));
  }

  remove(): Promise<StreamAnswer<unknown>> {
    return this.#ask(({ streams }) => streams.delete(this.#stream));
  }

  /** Drops what is below this sequence. */
  purge(below: bigint): Promise<StreamAnswer<unknown>> {
    return this.#ask(({ streams }) => streams.purge(this.#stream, { seq: Number(below) }));
  }

  /** Read by the leader. */
  message(sequence: bigint): Promise<StreamAnswer<StoredMsg | null>> {
    return this.#ask(({ streams }) => streams.getMessage(this.#stream, { seq: Number(sequence) }));
  }

  async #ask<T>(request: (manager: JetStreamManager) => Promise<T>): Promise<StreamAnswer<T>> {
    try {
      this.#manager ??= jetstreamManager(this.#connection, { checkAPI: false, timeout: limits.natsRequestMs });
      return { kind: 'answered', value: await request(await this.#manager) };
    } catch (cause) {
      if (cause instanceof JetStreamApiError) {
        const { code } = cause;
        const isAbsent = code === streamErrors.notFound || code === streamErrors.noMessageFound;
        return isAbsent ? { kind: 'absent' } : { kind: 'refused', code, cause };
      }
      // nats.js calls it "not enabled" when nobody heard the request.
      if (cause instanceof jserrors.JetStreamNotEnabled) return { kind: 'refused', code: 0, cause };
      return { kind: 'unanswered', cause };
    }
  }
}

function viewOf({ config, state, cluster, created }: StreamInfo): StreamView {
  const last = BigInt(state.last_seq);
  return {
    subjects: config.subjects ?? [],
    metadata: config.metadata ?? {},
    first: state.messages === 0 ? last + 1n : BigInt(state.first_seq),
    last,
    sizeBytes: state.bytes,
    sealed: config.sealed,
    isCurrent: cluster === undefined || isCurrent(cluster, config.num_replicas),
    created,
  };
}

function isCurrent({ leader, replicas = [] }: NonNullable<StreamInfo['cluster']>, copies: number): boolean {
  // Leaderless: any member answers, with what it happens to have.
  if (leader === undefined || leader === '') return false;
  const heard = replicas.filter(({ offline, active }) => {
    return !offline && active < limits.logLeaderSilenceMs * nanosPerMs;
  });
  return (1 + heard.length) * 2 > copies;
}

const passing: ReadonlySet<number> = new Set([0, streamErrors.notAvailable, streamErrors.noSuitablePeers]);

/** Whether such a refusal passes: there is no leader, or a server is away. */
export function isPassing(code: number): boolean {
  return passing.has(code);
}

/**
 * Asks again, up to `limits.natsAnswerWaitMs`, while nobody answers or can. Only for what may be done twice.
 * A refusal that comes after an attempt which nobody answered says nothing of that attempt: unanswered, but for
 * one that says that the thing is there.
 */
export async function askUntilClear<T>(ask: () => Promise<StreamAnswer<T>>): Promise<StreamAnswer<T>> {
  const deadlineMs = performance.now() + limits.natsAnswerWaitMs;
  let unanswered: StreamAnswer<T> | undefined;
  for (;;) {
    const answer = await ask();
    if (answer.kind === 'answered' || answer.kind === 'absent') return answer;
    if (answer.kind === 'unanswered') unanswered = answer;
    else if (answer.code === streamErrors.nameInUse) return answer;
    else if (!isPassing(answer.code)) return unanswered ?? answer;
    if (performance.now() >= deadlineMs) return unanswered ?? answer;
    await sleep(limits.natsAskAgainMs);
  }
}
