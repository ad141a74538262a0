// A node of the cluster as this gateway knows it: what it last reported, whether the registry calls it
// live, and the link to it. Which replicas it holds is replicas.ts.
import type { NodeReport, ObservedNode, ReplicaReport } from '@statestore/cluster';
import type { NodeService } from '@statestore/link';

/** What the routing needs of a link; LinkClient is one. Nothing in it waits for a connection or sends again. */
export interface NodeLink extends NodeService {
  readonly openConnections: number;
  readonly inFlight: number;
  /** The longest that an open connection has brought nothing, ms. */
  readonly silentMs: number;
  close(): Promise<void>;
}

/** `onChange` is called when connections opened or ended. */
export type Connect = (address: string, onChange: () => void) => NodeLink;

export class Member {
  readonly name: string;
  readonly link: NodeLink;
  readonly address: string;
  #observed: ObservedNode;
  #replicas: ReadonlyMap<number, ReplicaReport>;
  #replicasBefore: ReadonlyMap<number, ReplicaReport>;

  constructor(observed: ObservedNode, link: NodeLink) {
    this.name = observed.report.name;
    this.address = observed.report.address;
    this.link = link;
    this.#observed = observed;
    this.#replicas = byPartition(observed.report);
    this.#replicasBefore = this.#replicas;
  }

  get report(): NodeReport {
    return this.#observed.report;
  }

  get live(): boolean {
    return this.#observed.live;
  }

  get connected(): boolean {
    return this.link.openConnections > 0;
  }

  /** Connected, and silent although it was pinged. */
  suspect(suspectMs: number): boolean {
    return this.link.silentMs >= suspectMs;
  }

  /** What it last said of its replica of a partition. */
  replica(partition: number): ReplicaReport | undefined {
    return this.#replicas.get(partition);
  }

  /** Whether its last report was the first one that says that this replica runs. */
  began(partition: number): boolean {
    return this.replica(partition)?.state === 'running' && this.#replicasBefore.get(partition)?.state !== 'running';
  }

  observe(observed: ObservedNode): void {
    this.#replicasBefore = this.#replicas;
    if (observed.report !== this.report) this.#replicas = byPartition(observed.report);
    this.#observed = observed;
  }
}

function byPartition({ replicas }: NodeReport): ReadonlyMap<number, ReplicaReport> {
  return new Map(replicas.map((replica) => [replica.partition, replica]));
}
