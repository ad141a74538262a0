// All replicas of a node: those that the topology wants here, and what is left of those that it wanted before.
import type { PartitionPlacement, Topology } from '@statestore/core';
import type { ReplicaReport, TopologyStore } from '@statestore/cluster';
import type { HeldState } from './judge-log.ts';
import { Replica } from './replica.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';
import { findLog, isHeld } from './replica-opening.ts';
import { judgeRetention } from './retention.ts';

export class ReplicaSet {
  readonly #context: ReplicaContext;
  readonly #topologyStore: Pick<TopologyStore, 'read'>;
  readonly #replicas = new Map<number, Replica>();
  readonly #closing = new AbortController();
  /** Partitions that are to be split off: what is in their folders is being built. */
  #children: ReadonlySet<number> = new Set();
  /** Of those: which are complete, and only wait for the topology. */
  readonly #prepared = new Map<number, Assignment>();

  /** `found`: partitions of which the data folder has anything. */
  constructor(context: ReplicaContext, topologyStore: Pick<TopologyStore, 'read'>, found: readonly number[]) {
    this.#context = context;
    this.#topologyStore = topologyStore;
    for (const partition of found) this.replicaOf(partition);
  }

  all(): readonly Replica[] {
    return [...this.#replicas.values()];
  }

  follow(topology: Topology): void {
    if (this.#closing.signal.aborted) return;
    const wanted = new Map(topology.partitions.map((each) => [each.partition, this.#assignment(each, topology)]));
    for (const { placement } of topology.retired ?? []) {
      const assignment = this.#assignment(placement, topology);
      wanted.set(placement.partition, assignment && { ...assignment, retired: true });
    }
    this.#children = new Set(topology.reshapes?.flatMap(({ kind, target }) => (kind === 'split' ? [target] : [])));
    for (const [partition, assignment] of wanted) {
      if (assignment !== undefined) this.replicaOf(partition).assign(assignment);
    }
    for (const partition of this.#prepared.keys()) if (!this.#children.has(partition)) this.#prepared.delete(partition);
    for (const [partition, replica] of this.#replicas) {
      if (wanted.get(partition) === undefined) replica.assign(this.#prepared.get(partition));
    }
  }

  /** The child of a split follows its log, and serves nobody before the topology says so. Undefined: it is not to be any more. */
  prepare(partition: number, placement: PartitionPlacement | undefined): void {
    // From when the topology names it, that says what it is.
    if (this.#closing.signal.aborted || !this.#children.has(partition)) return;
    const { log } = placement ?? {};
    if (placement === undefined || log === undefined) this.#prepared.delete(partition);
    else this.#prepared.set(partition, { placement, log, serving: false, prepared: true });
    this.replicaOf(partition).assign(this.#prepared.get(partition));
  }

  #assignment(placement: PartitionPlacement, { restoredFrom }: Topology): Assignment | undefined {
    const { log, replicas, joining = [], partition } = placement;
    const { name } = this.#context.options;
    const serving = replicas.includes(name);
    if (!serving && !joining.includes(name)) return undefined;
    if (log !== undefined) return { placement, log, serving, restoredFrom: restoredFrom?.checkpoint };
    this.#context.onNotice('the topology names no log for a partition', { partition });
    return undefined;
  }

  /** Made where there is none: it is absent until it is wanted. */
  replicaOf(partition: number): Replica {
    const known = this.#replicas.get(partition);
    if (known !== undefined) return known;
    const replica = new Replica(partition, this.#context);
    this.#replicas.set(partition, replica);
    return replica;
  }

  reports(): readonly ReplicaReport[] {
    return this.all()
      .map((replica) => replica.report())
      .filter((report) => report !== undefined);
  }

  /** Lets go of data that are elsewhere now, as far as that is certain. */
  tidy(): void {
    if (this.#closing.signal.aborted) return;
    for (const replica of this.all()) {
      if (replica.assignment === undefined && !this.#children.has(replica.partition))
        replica.whileAbsent(() => this.#letGo(replica));
    }
  }

  /** Never rejects. */
  async #letGo(replica: Replica): Promise<void> {
    const { partition, store } = replica;
    const { onNotice, peers, options } = this.#context;
    try {
      await store.folder.finishInterrupted();
      if (!store.folder.hasData()) {
        await store.remove();
      } else {
        const facts = await store.look().catch(() => undefined);
        // Read just now: what was seen before may be of the past.
        const topology = await this.#topologyStore.read();
        const left =
          facts === undefined ? undefined : { ...facts, holdsLast: await this.#isHeld(partition, facts, topology) };
        const retention = judgeRetention(partition, left, topology, peers, options.name);
        if (retention.kind === 'keep') return;
        if (retention.kind === 'remove') await store.remove();
        else await store.remove(retention.why);
        onNotice(
          retention.kind === 'remove' ? 'data of a replica that is elsewhere now were removed' : 'data were set aside',
          { partition, ...(retention.kind === 'remove' ? {} : { why: retention.why }) },
        );
      }
      // Nothing is left of it, and it may have been wanted again meanwhile.
      if (replica.assignment !== undefined || this.#children.has(partition)) return;
      this.#replicas.delete(partition);
      void replica.close();
    } catch (error) {
      onNotice('data of a replica that is elsewhere now could not be removed', { partition, error: String(error) });
    }
  }

  /** Rejects where nobody can be asked. */
  async #isHeld(partition: number, facts: HeldState, topology: Topology | undefined): Promise<boolean | undefined> {
    const context = this.#context;
    const log = topology?.partitions.find((each) => each.partition === partition)?.log;
    if (log === undefined || log.incarnation !== facts.incarnation) return undefined;
    const job = { partition, log, context, signal: this.#closing.signal };
    return isHeld(job, facts, await findLog(context, partition, log));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.all().map((replica) => replica.close()));
  }
}
