// Whether splits, merges and what they leave behind make sense within a topology: a part of topology-check.ts.
import { StateStoreError } from './errors.ts';
import { partitionNumberMax } from './limits.ts';
import { checkLog, checkNodes, checkSlots, isUuid } from './placement-check.ts';
import { contains, isSameSlots } from './slot-ranges.ts';
import type { PartitionPlacement, PartitionPoint, Reshape, RetiredPartition, Topology } from './topology.ts';

/** Throws `invalid_settings` that names what is wrong and where. */
export function checkReshapes(topology: Topology): void {
  const { partitions, reshapes = [], retired = [], epoch, lastGeneration, forgotten } = topology;
  const placements = new Map(partitions.map((placement) => [placement.partition, placement]));
  for (const placement of partitions) {
    const what = `partition ${placement.partition}`;
    checkPartition(placement.partition);
    checkEpoch(what, placement.slotsEpoch, epoch);
    if (placement.origin !== undefined) checkPoint(`the origin of ${what}`, placement.origin);
  }
  const gone = new Set<number>();
  for (const each of retired) {
    const { partition } = each.placement;
    if (placements.has(partition)) wrong(`partition ${partition} is retired and is there`);
    if (gone.has(partition)) wrong(`partition ${partition} is retired twice`);
    gone.add(partition);
    checkRetired(each, epoch);
  }
  const taken = new Set<number>();
  const ids = new Set<string>();
  for (const reshape of reshapes) {
    checkReshape(reshape, placements, topology);
    if (gone.has(reshape.target)) wrong(`${named(reshape)}: partition ${reshape.target} is retired`);
    if (ids.has(reshape.id)) wrong(`two reshapes have the id ${reshape.id}`);
    ids.add(reshape.id);
    for (const partition of [reshape.source, reshape.target]) {
      if (taken.has(partition)) wrong(`partition ${partition} takes part in two reshapes`);
      taken.add(partition);
    }
  }
  if (lastGeneration !== undefined && (!Number.isInteger(lastGeneration) || lastGeneration < 1)) {
    wrong(`the last generation is ${lastGeneration}; the first one is 1`);
  }
  checkEpoch('what was forgotten', forgotten, epoch);
}

function checkReshape(reshape: Reshape, placements: ReadonlyMap<number, PartitionPlacement>, at: Topology): void {
  const what = named(reshape);
  const { id, source, target, slots } = reshape;
  if (!isUuid(id)) wrong(`${what} has the id ${JSON.stringify(id)}, which is no UUID`);
  checkPartition(target);
  checkSlots(what, slots);
  checkEpoch(what, reshape.slotsEpoch, at.epoch);
  if (source === target) wrong(`${what} is of one partition`);
  const from = placements.get(source);
  const to = placements.get(target);
  if (from === undefined) throw wrongly(`${what}: there is no partition ${source}`);
  checkCalm(what, from);
  if (reshape.kind === 'split') {
    if (to !== undefined) wrong(`${what}: there is a partition ${target} already`);
    if (!contains(from.slots, slots)) wrong(`${what}: partition ${source} does not have all of these slots`);
    if (isSameSlots(from.slots, slots)) wrong(`${what}: nothing would be left of partition ${source}`);
    checkLog(target, reshape.log);
    return;
  }
  if (to === undefined) throw wrongly(`${what}: there is no partition ${target}`);
  checkCalm(what, to);
  if (!isSameSlots(from.slots, slots)) wrong(`${what}: these are not the slots of partition ${source}`);
  const apart =
    from.replicas.length !== to.replicas.length || from.replicas.some((node) => !to.replicas.includes(node));
  if (apart) wrong(`${what}: the partitions are on ${from.replicas.join(', ')} and on ${to.replicas.join(', ')}`);
}

function checkCalm(what: string, { partition, joining, leaving }: PartitionPlacement): void {
  if (joining !== undefined) wrong(`${what}: node ${joining[0]} joins partition ${partition}`);
  if (leaving !== undefined) wrong(`${what}: node ${leaving[0]} leaves partition ${partition}`);
}

function checkRetired({ placement, sealedPosition, into, slotsEpoch }: RetiredPartition, epoch: bigint): void {
  const { partition, slots, log } = placement;
  const what = `the retired partition ${partition}`;
  checkPartition(partition);
  if (slots.length > 0) wrong(`${what} has slots`);
  checkNodes(placement);
  if (log !== undefined) checkLog(partition, log);
  if (placement.origin !== undefined) checkPoint(`the origin of ${what}`, placement.origin);
  if (sealedPosition < 0n) wrong(`${what} was sealed at position ${sealedPosition}`);
  checkPoint(`what took the slots of ${what}`, into);
  checkEpoch(what, placement.slotsEpoch, epoch);
  checkEpoch(what, slotsEpoch, epoch);
}

function checkPoint(what: string, { partition, generation, position }: PartitionPoint): void {
  checkPartition(partition);
  if (!Number.isInteger(generation) || generation < 1)
    wrong(`${what} has generation ${generation}; the first one is 1`);
  if (position < 0n) wrong(`${what} has position ${position}`);
}

function checkPartition(partition: number): void {
  if (Number.isInteger(partition) && partition >= 0 && partition <= partitionNumberMax) return;
  wrong(`there is a partition ${partition}; it may be 0 to ${partitionNumberMax}`);
}

function checkEpoch(what: string, slotsEpoch: bigint | undefined, epoch: bigint): void {
  if (slotsEpoch === undefined || (slotsEpoch >= 1n && slotsEpoch <= epoch)) return;
  wrong(`${what} has the slots' epoch ${slotsEpoch}; it may be 1 to ${epoch}`);
}

function named({ kind, source, target }: Reshape): string {
  return kind === 'split' ? `the split of ${source} into ${target}` : `the merge of ${source} into ${target}`;
}

function wrong(what: string): never {
  throw wrongly(what);
}

function wrongly(what: string): StateStoreError {
  return new StateStoreError('invalid_settings', what);
}
