// What a coordinator does for partitions that were merged away: it counts their time, on its own clock and from when it
// first saw them, and removes the logs of those whose time is over. Told by the topology alone, so that any goes on.
import type { RetiredPartition, Topology } from '@statestore/core';
import { limits } from '@statestore/core';
import type { Clock } from './clock.ts';
import type { LogStreams } from './log-streams.ts';

export class RetiredSeen {
  readonly #clock: Clock;
  readonly #logStreams: LogStreams;
  /** By partition and epoch of its end. */
  #sinceMs = new Map<string, number>();

  constructor(clock: Clock, logStreams: LogStreams) {
    this.#clock = clock;
    this.#logStreams = logStreams;
  }

  pastGrace({ retired = [] }: Topology): ReadonlySet<number> {
    const nowMs = this.#clock.elapsedMs();
    const before = this.#sinceMs;
    this.#sinceMs = new Map(retired.map((each) => [nameOf(each), before.get(nameOf(each)) ?? nowMs]));
    const past = retired.filter((each) => nowMs - this.#sinceMs.get(nameOf(each))! >= limits.retiredKeptMs);
    return new Set(past.map(({ placement }) => placement.partition));
  }

  /** Of those that are ended. Resolves with the partitions whose logs are gone; rejects where NATS could not be asked. */
  async removeLogs({ retired = [] }: Topology): Promise<ReadonlySet<number>> {
    const removed = new Set<number>();
    for (const { ended, placement } of retired) {
      if (ended !== true) continue;
      const { partition, log } = placement;
      if (log !== undefined) await this.#remove(partition, log.generation, log.incarnation);
      removed.add(partition);
    }
    return removed;
  }

  /** With those before it, which it carried on. */
  /* oxlint-disable-next-line max-params -- what names a log */
  async #remove(partition: number, generation: number, incarnation: string): Promise<void> {
    for (let earlier = generation - 1; earlier > 0; earlier--) {
      if ((await this.#logStreams.describe(partition, earlier)) === undefined) break;
      await this.#logStreams.remove(partition, earlier);
    }
    await this.#logStreams.remove(partition, generation, incarnation);
  }
}

function nameOf({ placement, slotsEpoch }: RetiredPartition): string {
  return `${placement.partition} ${slotsEpoch}`;
}
