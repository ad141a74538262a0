// Whether a topology makes sense: what every writer checks before it stores one and every reader before
// it believes one. That slots have exactly one owner is asked of topology.ts.
import { StateStoreError } from './errors.ts';
import { replicationFactorMax } from './limits.ts';
import type { PartitionLog, PartitionPlacement, SlotRange, Topology, TopologySpec } from './topology.ts';
import { slotOwners } from './topology.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const chainText = /^[0-9a-f]{32}$/;

/** Throws `invalid_settings` that names what is wrong and where. */
export function checkTopology(topology: Topology): void {
  if (topology.epoch < 1n) wrong(`the epoch is ${topology.epoch}; the first one is 1`);
  if (topology.spec !== undefined) checkSpec(topology.spec);
  const { checkpoint } = topology.restoredFrom ?? {};
  if (checkpoint !== undefined && !uuid.test(checkpoint))
    wrong(`it is restored from checkpoint ${JSON.stringify(checkpoint)}, which is no UUID`);
  if (topology.lineage !== undefined && !uuid.test(topology.lineage))
    wrong(`its lineage is ${JSON.stringify(topology.lineage)}, which is no UUID`);
  let before = -1;
  for (const placement of topology.partitions) {
    const { partition } = placement;
    if (partition === before) wrong(`there are two partitions ${partition}`);
    if (partition < before) wrong(`partition ${partition} comes after ${before}; they are in ascending order`);
    before = partition;
    checkSlots(partition, placement.slots);
    checkNodes(placement);
    if (placement.log !== undefined) checkLog(partition, placement.log);
  }
  slotOwners(topology);
}

export function checkSpec({ replicationFactor, logReplicas, drained }: TopologySpec): void {
  checkReplicationFactor(replicationFactor);
  if (![1, 3, 5].includes(logReplicas)) wrong(`the log replicas are ${logReplicas}; they may be 1, 3 or 5`);
  const twice = firstTwice(drained);
  if (twice !== undefined) wrong(`node ${twice} is drained twice`);
}

export function checkReplicationFactor(factor: number): void {
  if (!Number.isInteger(factor) || factor < 1 || factor > replicationFactorMax) {
    wrong(`the replication factor is ${factor}; it may be 1 to ${replicationFactorMax}`);
  }
}

function checkSlots(partition: number, slots: readonly SlotRange[]): void {
  if (slots.length === 0) wrong(`partition ${partition} has no slots`);
  let before = -1;
  for (const { start, end } of slots) {
    if (start >= end) wrong(`partition ${partition} has slots ${start} to ${end}, which are none`);
    if (start <= before) {
      wrong(
        `partition ${partition} has slots from ${start} after ones that end at ${before}; ranges ascend and do not touch`,
      );
    }
    before = end;
  }
}

function checkNodes({ partition, replicas, joining = [], leaving = [] }: PartitionPlacement): void {
  if (replicas.length === 0) wrong(`partition ${partition} has no replicas`);
  for (const [what, nodes] of [
    ['replica', replicas],
    ['joining', joining],
    ['leaving', leaving],
  ] as const) {
    const twice = firstTwice(nodes);
    if (twice !== undefined) wrong(`partition ${partition} has node ${twice} twice as ${what}`);
  }
  const both = joining.find((node) => replicas.includes(node));
  if (both !== undefined) wrong(`partition ${partition} has node ${both} as replica and as joining`);
  const stranger = leaving.find((node) => !replicas.includes(node));
  if (stranger !== undefined) wrong(`partition ${partition} has node ${stranger} leaving, which is no replica of it`);
}

function checkLog(partition: number, { generation, incarnation, continues }: PartitionLog): void {
  if (!Number.isInteger(generation) || generation < 1) {
    wrong(`the log of partition ${partition} has generation ${generation}; the first one is 1`);
  }
  if (!uuid.test(incarnation))
    wrong(`the log of partition ${partition} has incarnation "${incarnation}", which is no UUID`);
  if (continues === undefined) return;
  if (!uuid.test(continues.incarnation)) {
    wrong(`the log of partition ${partition} continues incarnation "${continues.incarnation}", which is no UUID`);
  }
  if (continues.position < 0n) wrong(`the log of partition ${partition} continues position ${continues.position}`);
  if (!chainText.test(continues.chain)) {
    wrong(`the log of partition ${partition} continues chain "${continues.chain}"; a chain is 32 hexadecimal digits`);
  }
}

function firstTwice(nodes: readonly string[]): string | undefined {
  return nodes.find((node, at) => nodes.indexOf(node) !== at);
}

function wrong(what: string): never {
  throw new StateStoreError('invalid_settings', what);
}
