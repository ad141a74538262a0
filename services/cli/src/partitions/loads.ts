// What partitions hold and do, from two reports of each node with some time between.
import type { NodeReport, ReplicaReport } from '@statestore/cluster';
import type { PartitionLoad, PartitionPlacement } from '@statestore/core';

/** Of each partition that a running replica is told of: operations of all its replicas together. */
export function loadsBetween(
  before: readonly NodeReport[],
  after: readonly NodeReport[],
  ms: number,
): ReadonlyMap<number, PartitionLoad> {
  const earlier = new Map(before.map((report) => [report.name, report]));
  const loads = new Map<number, PartitionLoad>();
  for (const { name, boot, replicas } of after) {
    const then = earlier.get(name);
    for (const replica of replicas) {
      if (replica.state !== 'running') continue;
      const old = then?.boot === boot ? then.replicas.find((each) => each.partition === replica.partition) : undefined;
      const { bytes = 0, operationsPerS = 0 } = loads.get(replica.partition) ?? {};
      loads.set(replica.partition, {
        bytes: Math.max(bytes, replica.bytes),
        operationsPerS: operationsPerS + (ms > 0 ? (served(replica, old) * 1000) / ms : 0),
      });
    }
  }
  return loads;
}

/** A replica that was opened anew counts from 0. */
function served({ operations = 0 }: ReplicaReport, old: ReplicaReport | undefined): number {
  const before = old?.operations ?? operations;
  return operations >= before ? operations - before : operations;
}

export interface NodeLoad extends PartitionLoad {
  readonly node: string;
  readonly replicas: number;
}

/** What each node's replicas come to; operations as if replicas of a partition shared them equally. */
export function nodeLoads(
  loads: ReadonlyMap<number, PartitionLoad>,
  placements: readonly PartitionPlacement[],
): readonly NodeLoad[] {
  const nodes = new Map<string, NodeLoad>();
  for (const { partition, replicas } of placements) {
    const { bytes = 0, operationsPerS = 0 } = loads.get(partition) ?? {};
    for (const node of replicas) {
      const sum = nodes.get(node) ?? { node, replicas: 0, bytes: 0, operationsPerS: 0 };
      nodes.set(node, {
        node,
        replicas: sum.replicas + 1,
        bytes: sum.bytes + bytes,
        operationsPerS: sum.operationsPerS + operationsPerS / replicas.length,
      });
    }
  }
  return [...nodes.values()].toSorted((a, b) => a.node.localeCompare(b.node, 'en', { numeric: true }));
}
