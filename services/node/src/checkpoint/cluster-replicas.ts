// The replicas of a cluster, for whoever conducts a checkpoint: those that run on the log that the topology names,
// on live nodes. The one that gateways prefer for writes comes last: reading it all would slow them down.
import type { NodeRegistry, ObservedNode, RegistryWatch, TopologyStore, TopologyWatch } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import type { LayoutMerge } from './checkpoint-layout.ts';
import type { Candidate, CheckpointWriter, PartitionTask, Replicas } from './replicas.ts';
import { mergesOf, tasksOf } from './replicas.ts';

export interface PeerLink extends CheckpointWriter {
  close?(): Promise<void>;
}

export interface ClusterReplicasOptions {
  /** This node, and its own replicas: they are not asked over the link. */
  readonly name: string;
  readonly own: CheckpointWriter;
  readonly topologyStore: TopologyStore;
  readonly registry: NodeRegistry;
  /** Need not wait for a connection: what cannot be asked rejects. */
  readonly connectPeer: (address: string) => PeerLink;
}

export class ClusterReplicas implements Replicas {
  readonly #options: ClusterReplicasOptions;
  readonly #topologies: TopologyWatch;
  readonly #registry: RegistryWatch;
  /** By address. */
  readonly #links = new Map<string, PeerLink>();
  #topology: Topology | undefined;
  #nodes: ReadonlyMap<string, ObservedNode> = new Map();

  constructor(options: ClusterReplicasOptions) {
    const { topologyStore, registry } = options;
    this.#options = options;
    this.#topologies = topologyStore.watch((topology) => (this.#topology = topology));
    this.#registry = registry.watch((nodes) => (this.#nodes = nodes));
  }

  /** As it was heard of last. */
  get topology(): Topology | undefined {
    return this.#topology;
  }

  get nodes(): ReadonlyMap<string, ObservedNode> {
    return this.#nodes;
  }

  tasks(): readonly PartitionTask[] | undefined {
    return this.#topology && tasksOf(this.#topology);
  }

  merges(): readonly LayoutMerge[] {
    return this.#topology === undefined ? [] : mergesOf(this.#topology);
  }

  candidates(partition: number): readonly Candidate[] {
    const placement = this.#topology?.partitions.find((each) => each.partition === partition);
    if (placement === undefined) return [];
    const [preferred, ...others] = placement.replicas;
    return [...others, ...(preferred === undefined ? [] : [preferred])]
      .map((name) => this.#nodes.get(name))
      .filter((node) => node !== undefined && runs(node, placement))
      .map((node) => ({ node: node!.report.name, writer: this.#writerOf(node!) }));
  }

  #writerOf({ report: { name, address } }: ObservedNode): CheckpointWriter {
    const { own, name: self, connectPeer } = this.#options;
    if (name === self) return own;
    const link = this.#links.get(address) ?? connectPeer(address);
    this.#links.set(address, link);
    return link;
  }

  async close(): Promise<void> {
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all([this.#topologies.close(), this.#registry.close(), ...links.map((link) => link.close?.())]);
  }
}

function runs({ live, report }: ObservedNode, { partition, log }: PartitionPlacement): boolean {
  const replica = report.replicas.find((each) => each.partition === partition);
  return live && replica?.state === 'running' && replica.incarnation === log?.incarnation;
}
