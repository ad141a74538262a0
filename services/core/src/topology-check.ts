// Whether a topology makes sense: what every writer checks before it stores one and every reader before
// it believes one. That slots have exactly one owner is asked of topology.ts.
import { StateStoreError } from './errors.ts';
import { partitionsMax, replicationFactorMax } from './limits.ts';
import { checkLog, checkNodes, checkSlots, firstTwice, isUuid } from './placement-check.ts';
import { checkReshapes } from './topology-reshapes-check.ts';
import type { Topology, TopologySpec } from './topology.ts';
import { slotOwners } from './topology.ts';

/** Throws `invalid_settings` that names what is wrong and where. */
export function checkTopology(topology: Topology): void {
  if (topology.epoch < 1n) wrong(`the epoch is ${topology.epoch}; the first one is 1`);
  if (topology.spec !== undefined) checkSpec(topology.spec);
  const { checkpoint } = topology.restoredFrom ?? {};
  if (checkpoint !== undefined && !isUuid(checkpoint))
    wrong(`it is restored from checkpoint ${JSON.stringify(checkpoint)}, which is no UUID`);
  if (topology.lineage !== undefined && !isUuid(topology.lineage))
    wrong(`its lineage is ${JSON.stringify(topology.lineage)}, which is no UUID`);
  let before = -1;
  for (const placement of topology.partitions) {
    const { partition } = placement;
    if (partition === before) wrong(`there are two partitions ${partition}`);
    if (partition < before) wrong(`partition ${partition} comes after ${before}; they are in ascending order`);
    before = partition;
    checkSlots(`partition ${partition}`, placement.slots);
    checkNodes(placement);
    if (placement.log !== undefined) checkLog(partition, placement.log);
  }
  checkReshapes(topology);
  slotOwners(topology);
}

export function checkSpec(spec: TopologySpec): void {
  const { replicationFactor, logReplicas, drained, partitions, partitionsBefore } = spec;
  checkReplicationFactor(replicationFactor);
  if (![1, 3, 5].includes(logReplicas)) wrong(`the log replicas are ${logReplicas}; they may be 1, 3 or 5`);
  const twice = firstTwice(drained);
  if (twice !== undefined) wrong(`node ${twice} is drained twice`);
  if (partitions !== undefined) checkPartitionCount(partitions);
  if (partitionsBefore !== undefined) checkPartitionCount(partitionsBefore);
}

export function checkPartitionCount(count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= partitionsMax) return;
  wrong(`partitions is ${count}; it may be 1 to ${partitionsMax}`);
}

export function checkReplicationFactor(factor: number): void {
  if (!Number.isInteger(factor) || factor < 1 || factor > replicationFactorMax) {
    wrong(`the replication factor is ${factor}; it may be 1 to ${replicationFactorMax}`);
  }
}

function wrong(what: string): never {
  throw new StateStoreError('invalid_settings', what);
}
