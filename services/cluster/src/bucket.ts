// A key-value bucket of the cluster: made by whoever needs it first, opened when it is first used and made
// again where it was lost, so that a process can start before NATS is there. Also what an error of NATS
// says about a request: that it changed nothing, or that nobody knows.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KV } from '@nats-io/kv';
import { Kvm } from '@nats-io/kv';
import { JetStreamApiCodes, JetStreamApiError, jetstream } from '@nats-io/jetstream';
import { JetStreamStatusError } from '@nats-io/jetstream/internal';
import type { NatsConnection } from '@nats-io/nats-core';
import { ClosedConnectionError, DrainingConnectionError, RequestError } from '@nats-io/nats-core';
import { StateStoreError, limits } from '@statestore/core';

export interface BucketOptions {
  readonly bucket: string;
  /** Copies inside NATS, where it is made. One that is there already keeps what it has. */
  readonly replicas: number;
  readonly history: number;
  /** Whether any of its servers answers reads, of perhaps an older state, and not its leader alone. */
  readonly directReads: boolean;
  /** What is stored under `from` is published on `to` as soon as it is stored. */
  readonly told: { readonly from: string; readonly to: string };
}

/** Status of a direct read. */
const noResponders = 503;
/** nats-server, errors.json: another process made it with other settings a moment ago. */
const streamNameInUse = 10058;
/** nats-server, errors.json: there is no leader to ask. */
const clusterNotAvailable = 10008;
/** nats-server, errors.json: fewer servers than copies, or one of them has not been heard of for a moment. */
const noSuitablePeers = 10005;
/** nats-server, errors.json: copies were asked for of a server that is alone. */
const replicasNotSupported = 10074;

export class Bucket {
  readonly #nc: NatsConnection;
  readonly #options: BucketOptions;
  #opening: Promise<KV> | undefined;

  constructor(nc: NatsConnection, options: BucketOptions) {
    this.#nc = nc;
    this.#options = options;
  }

  /** As `once`, for what may be done again while it is not answered. */
  repeatable<T>(run: (kv: KV) => Promise<T>): Promise<T> {
    return this.once((kv) => askUntilAnswered(() => run(kv)));
  }

  /**
   * Makes the bucket where there is none. What nobody heard did nothing and is said again: a bucket that is
   * new, or has no leader for a moment. Rejects with what NATS said.
   */
  async once<T>(run: (kv: KV) => Promise<T>): Promise<T> {
    const deadlineMs = performance.now() + limits.bucketRequestTimeoutMs;
    for (;;) {
      const opening = (this.#opening ??= this.#open());
      try {
        return await run(await opening);
      } catch (error) {
        if (!isMissing(error) && !nobodyHeard(error)) throw error;
        // Where the stream is gone, nobody hears its subjects either.
        if (this.#opening === opening) this.#opening = undefined;
        if (performance.now() > deadlineMs) throw error;
      }
      await sleep(limits.bucketSayAgainMs);
    }
  }

  async #open(): Promise<KV> {
    const { bucket, replicas, history, directReads, told } = this.#options;
    const manager = new Kvm(jetstream(this.#nc, { timeout: limits.bucketRequestTimeoutMs }));
    try {
      const republish = { src: told.from, dest: told.to };
      const options = { replicas, history, allow_direct: directReads, republish };
      return await untilPlaced(() => askUntilAnswered(() => manager.create(bucket, options)));
    } catch (error) {
      // What is there is good: opening asks for nothing.
      if (isApiError(error, streamNameInUse)) return manager.open(bucket, { allow_direct: directReads });
      this.#opening = undefined;
      throw unavailable(`the bucket ${bucket} cannot be opened`, error);
    }
  }
}

/** A busy server counts as away for a moment: what could not be placed then can be a little later. */
async function untilPlaced<T>(place: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + limits.bucketRequestTimeoutMs;
  for (;;) {
    try {
      return await place();
    } catch (error) {
      if (!isApiError(error, noSuitablePeers) || performance.now() > deadlineMs) throw error;
    }
    await sleep(limits.bucketSayAgainMs);
  }
}

/**
 * Asks again every `bucketAskAgainMs`, until one of the requests is answered or until the first of them has
 * waited for `bucketRequestTimeoutMs`: who has no leader yet answers nothing, ever.
 */
function askUntilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const once = (): void =>
      void ask()
        .then(resolve, reject)
        .finally(() => clearInterval(again));
    const again = setInterval(once, limits.bucketAskAgainMs);
    once();
  });
}

export function isApiError(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}

/** There is no such bucket. */
function isMissing(error: unknown): boolean {
  return isApiError(error, JetStreamApiCodes.StreamNotFound);
}

/** Another revision is there than the one that was to be replaced. */
export function isWrongRevision(error: unknown): boolean {
  return isApiError(error, JetStreamApiCodes.StreamWrongLastSequence, JetStreamApiCodes.StreamWrongLastSequenceUnknown);
}

function nobodyHeard(error: unknown): boolean {
  if (error instanceof JetStreamStatusError) return error.code === noResponders;
  if (error instanceof RequestError) return error.isNoResponders();
  return error instanceof Error && error.cause instanceof RequestError && error.cause.isNoResponders();
}

/** Of a read, or of a write that may be repeated: it could not be done. */
export function unavailable(what: string, error: unknown): StateStoreError {
  if (error instanceof StateStoreError) return error;
  if (isApiError(error, replicasNotSupported)) {
    return new StateStoreError('invalid_settings', `${what}: copies were asked for of a NATS server that is alone`, {
      cause: error,
      hint: 'ask for 1, or run NATS as a cluster',
    });
  }
  return new StateStoreError('unavailable', `${what}: ${wordsOf(error)}`, {
    cause: error,
    retryAfterMs: limits.bucketRetryMs,
  });
}

/** Of a write: `unavailable` where it certainly changed nothing, `outcome_unknown` otherwise. */
export function writeFailed(what: string, error: unknown): StateStoreError {
  const nothing =
    error instanceof StateStoreError ||
    error instanceof ClosedConnectionError ||
    error instanceof DrainingConnectionError ||
    isApiError(error, clusterNotAvailable) ||
    nobodyHeard(error);
  if (nothing) return unavailable(what, error);
  return new StateStoreError('outcome_unknown', `${what}: ${wordsOf(error)}`, {
    cause: error,
    retryAfterMs: limits.bucketRetryMs,
    hint: 'read it again: it may have happened, or happen yet',
  });
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
