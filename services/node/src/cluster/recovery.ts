// Automatic recovery of logs: when this node's replica waits for its log to be recovered, and all replicas
// have spoken and agree that it is the best one, the log is carried on from it. Everything else waits for a
// person: `statestore recover`.
import { limits } from '@statestore/core';
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
  readonly #leave: () => void;
  #closed = false;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#leave = options.peers.onChange(() => this.#look());
  }

  #look(): void {
    if (this.#closed) return;
    for (const replica of this.#options.replicas()) {
      if (replica.halt?.cause === 'log_regressed') this.#consider(replica);
      else this.#waiting.delete(replica.partition);
    }
  }

  #consider(replica: Replica): void {
    const { node, peers, time, onNotice } = this.#options;
    const { partition, assignment } = replica;
    if (assignment?.serving !== true || this.#underWay.has(partition)) return;
    const waiting = this.#waitingFor(partition);
    const decision = decideRecovery(assignment.placement, peers.nodes, node);
    const why =
      'why' in decision ? decision.why : `the replica on ${'to' in decision ? decision.to : node} is the best`;
    if (why !== waiting.why) {
      waiting.why = why;
      onNotice('the log of a partition is to be recovered', { partition, why });
    }
    if (decision.kind !== 'recover' || time.elapsedMs() < waiting.atMs) return;
    const { incarnation, position, chain } = decision;
    const recovering = this.#recover(partition, { incarnation, position, chain }).finally(() => {
      this.#underWay.delete(partition);
      waiting.atMs = time.elapsedMs() + waiting.backoff.nextMs();
    });
    this.#underWay.set(partition, recovering);
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
  async #recover(
    partition: number,
    from: { readonly incarnation: string; readonly position: bigint; readonly chain: string },
  ): Promise<void> {
    const { recoverLog, onNotice } = this.#options;
    const told = { partition, incarnation: from.incarnation, position: from.position.toString() };
    try {
      onNotice('the log of a partition is recovered from the replica of this node', told);
      await recoverLog({ partition, ...from });
      onNotice('the log of a partition was recovered', told);
    } catch (error) {
      onNotice('the log of a partition could not be recovered', { ...told, error: String(error) });
    }
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#leave();
    await Promise.all(this.#underWay.values());
  }
}
