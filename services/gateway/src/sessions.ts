// Exactly-once stamps of a gateway's commands (RIFL, Lee et al., SOSP 2015). A session numbers the
// commands of one gateway to one partition and says with each which is the first without an answer,
// so that apply remembers results only as long as they may be asked for again.
import { randomBytes } from 'node:crypto';
import { binaryFromBytes, limits, StateStoreError, type BinaryString, type SessionStamp } from '@statestore/core';

const counterMax = 2 ** 31;

export class PartitionSession {
  readonly id: BinaryString;
  #next = 1;
  /** The first counter without an answer; everything below it has one. */
  #first = 1;
  /** Ring of flags for counters first ≤ c < next: 1 where c is settled. */
  readonly #settled = new Uint8Array(limits.sessionInFlightMax);
  #opens = true;

  constructor(id: BinaryString) {
    this.id = id;
  }

  get spent(): boolean {
    return this.#next > counterMax;
  }

  /** The stamp of a new command. Throws `overloaded` where too many are in flight. */
  take(): SessionStamp {
    if (this.#next - this.#first >= limits.sessionInFlightMax) {
      throw new StateStoreError(
        'overloaded',
        `${limits.sessionInFlightMax} writes to this partition await their answer`,
        {
          retryAfterMs: 1000,
        },
      );
    }
    const counter = this.#next++;
    this.#settled[counter % limits.sessionInFlightMax] = 0;
    return { session: this.id, counter, firstUnanswered: this.#first, opens: this.#opens };
  }

  /** The command's result will not be asked for again. `answered`: the partition knows the session. */
  settle(counter: number, answered: boolean): void {
    if (answered) this.#opens = false;
    this.#settled[counter % limits.sessionInFlightMax] = 1;
    while (this.#first < this.#next && this.#settled[this.#first % limits.sessionInFlightMax] === 1) this.#first++;
  }
}

export class Sessions {
  readonly #processId = newSessionId();
  readonly #current = new Map<number, PartitionSession>();

  of(partition: number): PartitionSession {
    const session = this.#current.get(partition);
    if (session !== undefined && !session.spent) return session;
    const fresh = new PartitionSession(session === undefined ? this.#processId : newSessionId());
    this.#current.set(partition, fresh);
    return fresh;
  }

  /** After the partition forgot `expired`: another session, one for all that notice it. */
  renew(partition: number, expired: PartitionSession): PartitionSession {
    if (this.#current.get(partition) === expired) {
      this.#current.set(partition, new PartitionSession(newSessionId()));
    }
    return this.of(partition);
  }
}

function newSessionId(): BinaryString {
  return binaryFromBytes(randomBytes(16));
}
