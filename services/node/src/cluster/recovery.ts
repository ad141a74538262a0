// Automatic recovery of logs: when this node's replica waits for its log to be recovered, and all replicas
// have spoken and agree that it is the best one, the log is fenced, they are heard once more, and where that is so
// still, it is carried on from it. Everything else waits for a person: `statestore recover`.
import type { RecoveryPoint } from '@statestore/cluster';
import type { PartitionPlacement } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Time } from '../time.ts';
import { Backoff } from './pause.ts';
import type { ClusterNodeOptions, OnNotice } from './node-options.ts';
import type { Peers } from './peers.ts';
import type { Replica } from './replica.ts';
import { decideRecovery } from './recovery-decision.ts';

export interface RecoveryOptions {
  readonly node: string;
  readonly replicas: () => readonly Replica[];
  readonly peers: Peers;
  readonly recoverLog: NonNullable<ClusterNodeOptions['recoverLog']>;
  readonly time: Time;
  readonly onNotice: OnNotice;
}

interface Waiting {
  readonly backoff: Backoff;
  /** Not before. */
  atMs: number;
  /** Told last. */
  why: string;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #underWay = new Map<number, Promise<void>>();
  readonly #closing = new AbortController();
  readonly #leave: () => void;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#leave = options.peers.onChange(() => this.#look());
  }

  #look(): void {
    if (this.#closing.signal.aborted) return;
    for (const replica of this.#options.replicas()) {
      if (replica.halt?.cause === 'log_regressed') this.#consider(replica);
      else this.#waiting.delete(replica.partition);
    }
  }

  #consider(replica: Replica): void {
    const { node, peers, time, onNotice } = this.#options;
    const { partition, assignment } = replica;
    // One that was merged into another partition is followed to its end, or not at all.
    if (assignment?.serving !== true || assignment.retired === true || this.#underWay.has(partition)) return;
    const waiting = this.#waitingFor(partition);
    const decision = decideRecovery(assignment.placement, peers.nodes, node, {
      chainAt: (position) => replica.chainAt(position),
      heard: this.#heard(assignment.placement),
    });
    const why =
      'why' in decision ? decision.why : `the replica on ${'to' in decision ? decision.to : node} is the best`;
    if (why !== waiting.why) {
      waiting.why = why;
      onNotice('the log of a partition is to be recovered', { partition, why });
    }
    if (decision.kind !== 'recover' || time.elapsedMs() < waiting.atMs) return;
    const { incarnation, position } = decision;
    const recovering = this.#recover(replica, incarnation, position).finally(() => {
      this.#underWay.delete(partition);
      waiting.atMs = time.elapsedMs() + waiting.backoff.nextMs();
    });
    this.#underWay.set(partition, recovering);
  }

  #heard({ partition, log }: PartitionPlacement): bigint {
    return this.#options.peers.highest(partition, log?.incarnation ?? '');
  }

  #waitingFor(partition: number): Waiting {
    const known = this.#waiting.get(partition);
    if (known !== undefined) return known;
    const backoff = new Backoff(limits.replicaRetryMinMs, limits.replicaRetryMaxMs);
    const waiting: Waiting = { backoff, atMs: 0, why: '' };
    this.#waiting.set(partition, waiting);
    return waiting;
  }

  /** Never rejects. */
  async #recover(replica: Replica, incarnation: string, position: bigint): Promise<void> {
    const { recoverLog, onNotice } = this.#options;
    const { partition } = replica;
    const { signal } = this.#closing;
    const told = { partition, incarnation, position: position.toString() };
    try {
      onNotice('the log of a partition is recovered from the replica of this node', told);
      const decide = (placement: PartitionPlacement, epoch: bigint) => this.#decide(replica, placement, epoch);
      await recoverLog({ partition, incarnation, position, decide }, { signal });
      onNotice('the log of a partition was recovered', told);
    } catch (error) {
      if (!signal.aborted) {
        onNotice('the log of a partition could not be recovered', { ...told, error: String(error) });
      }
    }
  }

  /**
   * From where to carry on, by what nodes report that act on this epoch. Waits for them for a while. Rejects with
   * `unavailable` where they do not say it, or the replica of another node is the best now.
   */
  #decide(replica: Replica, placement: PartitionPlacement, epoch: bigint): Promise<RecoveryPoint> {
    const { node, peers, time } = this.#options;
    const { partition } = replica;
    const { signal } = this.#closing;
    const decided = Promise.withResolvers<RecoveryPoint>();
    const look = (): string => {
      // It mends, or closes: there is nothing to be read of it, and others will hear of that.
      if (replica.halt?.cause !== 'log_regressed') return 'the replica of this node does not wait any more';
      const chainAt = (position: bigint): string | undefined => replica.chainAt(position);
      const decision = decideRecovery(placement, peers.nodes, node, { epoch, chainAt, heard: this.#heard(placement) });
      if (decision.kind === 'wait') return decision.why;
      if (decision.kind === 'leave') {
        const why = `the replica on node ${decision.to} is the best one now`;
        decided.reject(new StateStoreError('unavailable', why, { retryAfterMs: limits.nodeReportMs }));
        return why;
      }
      const { incarnation, position, chain } = decision;
      decided.resolve({ partition, incarnation, position, chain });
      return '';
    };
    const tooLate = (): void => {
      const why = look();
      decided.reject(new StateStoreError('unavailable', why, { retryAfterMs: limits.nodeReportMs }));
    };
    const leave = peers.onChange(look);
    const timer = time.after(limits.recoverReportsMs, tooLate);
    signal.addEventListener('abort', tooLate, { once: true });
    if (signal.aborted) tooLate();
    else look();
    return decided.promise.finally(() => {
      leave();
      timer.cancel();
      signal.removeEventListener('abort', tooLate);
    });
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closing.abort(new StateStoreError('shutting_down', 'the node is shutting down'));
    this.#leave();
    await Promise.all(this.#underWay.values());
  }
}
