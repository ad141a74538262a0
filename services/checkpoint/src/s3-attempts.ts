// A request to S3-compatible storage, tried again where that may help: pauses that grow and are random, so that
// many clients of a store that comes back do not all ask at once; one bound in time for each attempt, its bodies with
// it; and the memory of whether an attempt may have taken effect although its answer was lost.
import { setTimeout as sleep } from 'node:timers/promises';
import { limits, StateStoreError } from '@statestore/core';
import { untilAborted } from './open-calls.ts';
import type { S3Failure } from './s3-failure.ts';
import { AttemptTimeout, judgeS3Failure } from './s3-failure.ts';

export interface AttemptSettings {
  readonly attempts: number;
  readonly requestTimeoutMs: number;
  /** For people: `s3://bucket/prefix`. */
  readonly location: string;
  /** 0 ≤ random() < 1 */
  readonly random: () => number;
  /** Takes what is secret out of a text. */
  readonly scrub: (text: string) => string;
}

export interface Attempt {
  /** Ends the attempt: aborted, closed, or too long under way. */
  readonly signal: AbortSignal;
  /** An earlier one may have taken effect. */
  readonly mayBeDone: boolean;
}

/** The attempts are used up, or there is no point in another. */
export class AttemptsFailed extends StateStoreError {
  /** One of them may have taken effect, or may still. */
  readonly mayBeDone: boolean;

  /* oxlint-disable-next-line max-params -- what failed, how often, where, how */
  constructor(doing: string, made: number, mayBeDone: boolean, failure: S3Failure, settings: AttemptSettings) {
    const times = made === 1 ? '' : ` (${made} attempts)`;
    super(failure.code, settings.scrub(`could not ${doing} in ${settings.location}${times}: ${failure.summary}`), {
      ...(failure.hint === undefined ? {} : { hint: failure.hint }),
      ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
    });
    this.mayBeDone = mayBeDone;
  }
}

/**
 * `doing` names it in errors: `read checkpoints/7`. A StateStoreError that `run` throws ends the attempts; so does
 * the signal, with its reason. Throws AttemptsFailed.
 */
/* oxlint-disable-next-line max-params -- what, how, until when, under which bounds */
export async function attempt<T>(
  doing: string,
  run: (attempt: Attempt) => Promise<T>,
  signal: AbortSignal,
  settings: AttemptSettings,
): Promise<T> {
  let mayBeDone = false;
  for (let made = 1; ; made++) {
    const timeout = new AbortController();
    const timer = setTimeout(
      () => timeout.abort(new AttemptTimeout(`no complete answer within ${settings.requestTimeoutMs} ms`)),
      settings.requestTimeoutMs,
    );
    const either = AbortSignal.any([signal, timeout.signal]);
    try {
      return await untilAborted(run({ signal: either, mayBeDone }), either);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StateStoreError) throw error;
      const failure = judgeS3Failure(timeout.signal.aborted ? timeout.signal.reason : error);
      mayBeDone ||= failure.mayBeDone;
      if (!failure.isTransient || made >= settings.attempts) {
        throw new AttemptsFailed(doing, made, mayBeDone, failure, settings);
      }
      await pause(made, failure.retryAfterMs, signal, settings.random);
    } finally {
      clearTimeout(timer);
    }
  }
}

/* oxlint-disable-next-line max-params -- which pause, what was asked for, until when, chance */
async function pause(
  made: number,
  retryAfterMs: number | undefined,
  signal: AbortSignal,
  random: () => number,
): Promise<void> {
  const ceilingMs = Math.min(limits.repositoryBackoffMinMs * 2 ** (made - 1), limits.repositoryBackoffMaxMs);
  try {
    await sleep(Math.max(random() * ceilingMs, retryAfterMs ?? 0), undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
