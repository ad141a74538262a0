// The other nodes of the cluster as this one sees them: what they report, and how far any of them is known
// to have been with each log. That is kept also of those that are gone: what they applied was perhaps acknowledged.
import type { PartitionLog, PartitionPlacement } from '@statestore/core';
import type { NodeReport, ObservedNode, ReplicaReport } from '@statestore/cluster';

export interface CopySourceNode {
  readonly node: string;
  readonly address: string;
}

export class Peers {
  readonly #self: string;
  #nodes: ReadonlyMap<string, ObservedNode> = new Map();
  /** By partition and incarnation. */
  readonly #heard = new Map<string, bigint>();
  readonly #listeners = new Set<() => void>();

  constructor(self: string) {
    this.#self = self;
  }

  get nodes(): ReadonlyMap<string, ObservedNode> {
    return this.#nodes;
  }

  saw(nodes: ReadonlyMap<string, ObservedNode>): void {
    const before = this.#nodes;
    this.#nodes = nodes;
    for (const [name, { report }] of nodes) if (report !== before.get(name)?.report) this.sawReport(report);
    for (const listener of this.#listeners) listener();
  }

  /** Also of this node itself: what an earlier process of it had applied was perhaps acknowledged. */
  sawReport({ replicas }: NodeReport): void {
    for (const { partition, incarnation, appliedPosition, heardPosition = '0' } of replicas) {
      this.heard(partition, incarnation, BigInt(appliedPosition));
      this.heard(partition, incarnation, BigInt(heardPosition));
    }
  }

  /** Returns how to end it. */
  onChange(listener: () => void): () => void {
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  heard(partition: number, incarnation: string, position: bigint): void {
    const key = keyOf(partition, incarnation);
    if (position > (this.#heard.get(key) ?? 0n)) this.#heard.set(key, position);
  }

  /** The greatest position of this log that any replica is known to have applied. */
  highest(partition: number, incarnation: string): bigint {
    return this.#heard.get(keyOf(partition, incarnation)) ?? 0n;
  }

  /** How many batches somebody has applied after this position. */
  missing(partition: number, log: PartitionLog | undefined, position: bigint): number {
    const highest = log === undefined ? 0n : this.highest(partition, log.incarnation);
    return highest > position ? Number(highest - position) : 0;
  }

  /** Forgets what was heard of logs that are none of these: it is bounded by what the topology names. */
  keepOnly(placements: readonly Pick<PartitionPlacement, 'partition' | 'log'>[]): void {
    const named = new Set(placements.map(({ partition, log }) => keyOf(partition, log?.incarnation ?? '')));
    for (const key of this.#heard.keys()) if (!named.has(key)) this.#heard.delete(key);
  }

  /** The replica of this partition on each other node that has a serving one, live or not. */
  replicasOf({
    partition,
    replicas,
  }: PartitionPlacement): readonly (ObservedNode & { readonly replica: ReplicaReport })[] {
    return replicas
      .filter((node) => node !== this.#self)
      .map((node) => this.#nodes.get(node))
      .filter((observed) => observed !== undefined)
      .map((observed) => ({
        ...observed,
        replica: observed.report.replicas.find((each) => each.partition === partition),
      }))
      .filter((each): each is ObservedNode & { replica: ReplicaReport } => each.replica !== undefined);
  }

  /** Live nodes whose replica runs on the log that the topology names; the one that gateways prefer comes last. */
  sourcesOf(placement: PartitionPlacement): readonly CopySourceNode[] {
    return this.#runningOf(placement)
      .map(({ report: { name, address } }) => ({ node: name, address }))
      .toReversed();
  }

  /** Of keys and values of the replica there, as it said last. */
  bytesOf(placement: PartitionPlacement, node: string): number {
    return this.replicasOf(placement).find(({ report }) => report.name === node)?.replica.bytes ?? 0;
  }

  /** Whether one of those has applied more than this. */
  isPassed(placement: PartitionPlacement, position: bigint): boolean {
    return this.#runningOf(placement).some(({ replica }) => BigInt(replica.appliedPosition) > position);
  }

  #runningOf(placement: PartitionPlacement): ReturnType<Peers['replicasOf']> {
    return this.replicasOf(placement)
      .filter(({ live, replica }) => live && replica.state === 'running')
      .filter(({ replica }) => replica.incarnation === placement.log?.incarnation);
  }
}

function keyOf(partition: number, incarnation: string): string {
  return `${partition} ${incarnation}`;
}
