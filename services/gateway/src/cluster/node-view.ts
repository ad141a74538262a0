// A node's status as probes and metrics ask for it: never late and never an error, whatever became of the
// node. One that does not answer holds nothing, and has counted what it had counted when it last answered.
import type { NodeStatus, OperationCounts } from '@statestore/link';
import type { Member } from './member.ts';
import type { RoutingTime } from './time.ts';
import type { RoutingTiming } from './timing.ts';

const noCounts: OperationCounts = { operations: {}, hits: 0, misses: 0 };

export interface NodeViewOptions {
  readonly timing: RoutingTiming;
  readonly time: RoutingTime;
  /** Whether the topology gives this partition to the node. */
  readonly holds: (partition: number) => boolean;
}

export class NodeView {
  readonly #member: () => Member | undefined;
  readonly #options: NodeViewOptions;
  #counts = noCounts;
  #asked: Promise<NodeStatus> | undefined;

  constructor(member: () => Member | undefined, options: NodeViewOptions) {
    this.#member = member;
    this.#options = options;
  }

  /** Those who ask in one go share one question: a scrape asks once for all its gauges. */
  status(): Promise<NodeStatus> {
    if (this.#asked === undefined) {
      this.#asked = this.#ask();
      queueMicrotask(() => (this.#asked = undefined));
    }
    return this.#asked;
  }

  async #ask(): Promise<NodeStatus> {
    const { timing, time, holds } = this.#options;
    const member = this.#member();
    if (member === undefined || !member.connected || member.suspect(timing.suspectMs)) return this.#unknown();
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = time.after(timing.statusMs, () => resolve(undefined));
    try {
      const status = await Promise.race([member.link.status(), late]);
      if (status === undefined) return this.#unknown();
      this.#counts = status.counts;
      return { ...status, partitions: status.partitions.filter(({ partition }) => holds(partition)) };
    } catch {
      return this.#unknown();
    } finally {
      timer.cancel();
    }
  }

  #unknown(): NodeStatus {
    return { version: '', partitions: [], counts: this.#counts };
  }
}
