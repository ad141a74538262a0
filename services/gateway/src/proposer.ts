// Commands on their way to a partition: stamped for exactly-once, tried again with the same stamp
// while the partition moves or a node restarts, and honest about what is not known in the end.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  limits,
  StateStoreError,
  type Command,
  type CommandBody,
  type ErrorCode,
  commandResult,
  type Idempotency,
  type SessionStamp,
} from '@statestore/core';
import type { Proposed } from '@statestore/link';
import { isMoved } from './moves.ts';
import type { Layout, Routing } from './routing.ts';
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
   * `outcome_unknown`. Whatever becomes of its slots meanwhile, an attempt whose outcome is in doubt is asked after where
   * it was sent, also after the partition was merged away: a verdict of `moved` says that it did not take effect there,
   * and never will. Rejects with `moved` where nobody has the partition any more.
   */
  async propose(
    partition: number,
    body: CommandBody,
    idempotency?: Idempotency,
    slotsEpoch?: bigint,
  ): Promise<Proposed> {
    let session = this.#sessions.of(partition);
    let stamp = session.take();
    // Whether an attempt under this stamp may have taken effect.
    let uncertain = false;
    const deadline = performance.now() + this.#timeoutMs;
    for (let attempt = 0; ; attempt++) {
      const sent = this.#attempt(partition, commandOf(stamp, body, idempotency, slotsEpoch));
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
      if (failure.code === 'moved') this.#routing.refresh();
      const now = performance.now();
      const pauseMs = Math.min(limits.gatewayRetryMinMs * 2 ** attempt, limits.gatewayRetryMaxMs);
      const gone = failure.code === 'moved' && !this.#routing.knows(partition);
      if (gone || !transient.has(failure.code) || now + pauseMs >= deadline) {
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

  /** A partition that is gone altogether is one whose slots have moved. */
  async #proposeOne(partition: number, body: CommandBody, layout: Layout): Promise<Proposed> {
    try {
      return await this.propose(partition, body, undefined, layout.slotsEpochOf(partition));
    } catch (error) {
      if (!isMoved(error)) throw error;
      return { ...commandResult('moved'), position: 0n };
    }
  }

  /**
   * One command for each of these partitions of a layout, at the same time; those that have other slots by now answer
   * `moved`. Where some took effect and others failed, the outcome of the whole is unknown and says so.
   */
  async proposeAll(
    layout: Layout,
    partitions: readonly number[],
    bodyOf: (partition: number) => CommandBody,
  ): Promise<readonly Proposed[]> {
    const settled = await Promise.allSettled(
      partitions.map((partition) => this.#proposeOne(partition, bodyOf(partition), layout)),
    );
    const results: Proposed[] = [];
    let failure: unknown;
    for (const outcome of settled) {
      if (outcome.status === 'fulfilled') results.push(outcome.value);
      else failure ??= outcome.reason;
    }
    if (failure === undefined) return results;
    if (results.every(({ code }) => code === 'moved')) throw failure;
    throw new StateStoreError(
      'outcome_unknown',
      `${results.filter(({ code }) => code !== 'moved').length} of ${partitions.length} partitions carried it out`,
      {
        cause: failure,
        hint: 'The call may be repeated: what was done already stays done.',
      },
    );
  }
}

function commandOf(
  stamp: SessionStamp,
  body: CommandBody,
  idempotency: Idempotency | undefined,
  slotsEpoch: bigint | undefined,
): Command {
  const command = idempotency === undefined ? { stamp, body } : { stamp, idempotency, body };
  return slotsEpoch === undefined ? command : { ...command, slotsEpoch };
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
