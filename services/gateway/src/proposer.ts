// Commands on their way to a partition: stamped for exactly-once, tried again with the same stamp
// while the partition moves or a node restarts, and honest about what is not known in the end.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  limits,
  StateStoreError,
  type Command,
  type CommandBody,
  type ErrorCode,
  type Idempotency,
} from '@statestore/core';
import type { Proposed } from '@statestore/link';
import type { Routing } from './routing.ts';
import type { Sessions } from './sessions.ts';

/** Failures after which the same command is offered again, under the same stamp. */
const transient: ReadonlySet<ErrorCode> = new Set(['moved', 'unavailable', 'outcome_unknown', 'session_expired']);

export class CommandProposer {
  readonly #routing: Routing;
  readonly #sessions: Sessions;
  readonly #timeoutMs: number;

  constructor(routing: Routing, sessions: Sessions, timeoutMs: number) {
    this.#routing = routing;
    this.#sessions = sessions;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The partition's verdict. Rejects with a StateStoreError: nothing was changed unless its code is
   * `outcome_unknown`.
   */
  async propose(partition: number, body: CommandBody, idempotency?: Idempotency): Promise<Proposed> {
    let session = this.#sessions.of(partition);
    let stamp = session.take();
    // Whether an attempt under this stamp may have taken effect.
    let uncertain = false;
    const deadline = performance.now() + this.#timeoutMs;
    for (let attempt = 0; ; attempt++) {
      const command = idempotency === undefined ? { stamp, body } : { stamp, idempotency, body };
      const sent = this.#attempt(partition, command);
      // The node's own time limit holds for the first attempt. Those after it have what is left, and the time
      // that the link takes to find that it cannot even send: then nothing was changed, which is worth knowing.
      const outcome = await (attempt === 0 ? sent : within(deadline + limits.linkConnectWaitMs, sent));
      let failure: StateStoreError;
      if (outcome instanceof StateStoreError) {
        failure = outcome;
        if (failure.code === 'outcome_unknown') uncertain = true;
      } else if (outcome.code === 'session_expired') {
        session.settle(stamp.counter, false);
        if (uncertain) throw unknownOutcome(partition);
        session = this.#sessions.renew(partition, session);
        stamp = session.take();
        failure = new StateStoreError('session_expired', `partition ${partition} does not know this gateway's session`);
      } else {
        session.settle(stamp.counter, true);
        // What the first attempt came to was forgotten meanwhile; or it may still come, and find room then.
        if (outcome.code === 'already_answered' || (outcome.code === 'overloaded' && uncertain)) {
          throw unknownOutcome(partition);
        }
        return outcome;
      }
      const now = performance.now();
      const pauseMs = Math.min(limits.gatewayRetryMinMs * 2 ** attempt, limits.gatewayRetryMaxMs);
      if (!transient.has(failure.code) || now + pauseMs >= deadline) {
        session.settle(stamp.counter, false);
        throw uncertain ? unknownOutcome(partition, failure) : failure;
      }
      await sleep(pauseMs);
    }
  }

  async #attempt(partition: number, command: Command): Promise<Proposed | StateStoreError> {
    try {
      return await this.#routing.nodeOf(partition).propose(partition, command);
    } catch (error) {
      if (error instanceof StateStoreError) return error;
      // A defect, somewhere past the point where this process can tell what was done.
      return new StateStoreError('internal', 'the node failed', { cause: error });
    }
  }

  /**
   * One command for each partition, at the same time. Where some took effect and others failed, the
   * outcome of the whole is unknown and says so.
   */
  async proposeAll(
    partitions: readonly number[],
    bodyOf: (partition: number) => CommandBody,
  ): Promise<readonly Proposed[]> {
    const settled = await Promise.allSettled(partitions.map((partition) => this.propose(partition, bodyOf(partition))));
    const results: Proposed[] = [];
    let failure: unknown;
    for (const outcome of settled) {
      if (outcome.status === 'fulfilled') results.push(outcome.value);
      else failure ??= outcome.reason;
    }
    if (failure === undefined) return results;
    if (results.length === 0) throw failure;
    throw new StateStoreError(
      'outcome_unknown',
      `${results.length} of ${partitions.length} partitions carried it out`,
      {
        cause: failure,
        hint: 'The call may be repeated: what was done already stays done.',
      },
    );
  }
}

/** What an attempt comes to, or that nobody knows where it has not come to anything by then. */
async function within(
  deadline: number,
  sent: Promise<Proposed | StateStoreError>,
): Promise<Proposed | StateStoreError> {
  const answered = new AbortController();
  const late = sleep(Math.max(0, deadline - performance.now()), undefined, { signal: answered.signal }).then(
    () => new StateStoreError('outcome_unknown', 'no answer came in time'),
  );
  late.catch(() => {});
  try {
    return await Promise.race([sent, late]);
  } finally {
    answered.abort();
  }
}

function unknownOutcome(partition: number, cause?: unknown): StateStoreError {
  if (cause instanceof StateStoreError && cause.code === 'outcome_unknown') return cause;
  return new StateStoreError('outcome_unknown', `partition ${partition} did not say whether the write took effect`, {
    cause,
    hint: 'Read the entry, or repeat the request with the same Idempotency-Key.',
  });
}
