// Whether slots, replicas and log of one partition make sense by themselves: a part of topology-check.ts.
import { StateStoreError } from './errors.ts';
import type { PartitionLog, PartitionPlacement, SlotRange } from './topology.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const chainText = /^[0-9a-f]{32}$/;

/** `what` has them. */
export function checkSlots(what: string, slots: readonly SlotRange[]): void {
  if (slots.length === 0) wrong(`${what} has no slots`);
  let before = -1;
  for (const { start, end } of slots) {
    if (start >= end) wrong(`${what} has slots ${start} to ${end}, which are none`);
    if (start <= before) {
      wrong(`${what} has slots from ${start} after ones that end at ${before}; ranges ascend and do not touch`);
    }
    before = end;
  }
}

export function checkNodes({ partition, replicas, joining = [], leaving = [] }: PartitionPlacement): void {
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

export function checkLog(partition: number, { generation, incarnation, continues }: PartitionLog): void {
  if (!Number.isInteger(generation) || generation < 1) {
    wrong(`the log of partition ${partition} has generation ${generation}; the first one is 1`);
  }
  if (!isUuid(incarnation))
    wrong(`the log of partition ${partition} has incarnation "${incarnation}", which is no UUID`);
  if (continues === undefined) return;
  if (!isUuid(continues.incarnation)) {
    wrong(`the log of partition ${partition} continues incarnation "${continues.incarnation}", which is no UUID`);
  }
  if (continues.position < 0n) wrong(`the log of partition ${partition} continues position ${continues.position}`);
  if (!chainText.test(continues.chain)) {
    wrong(`the log of partition ${partition} continues chain "${continues.chain}"; a chain is 32 hexadecimal digits`);
  }
}

export function isUuid(text: string): boolean {
  return uuid.test(text);
}

export function firstTwice(nodes: readonly string[]): string | undefined {
  return nodes.find((node, at) => nodes.indexOf(node) !== at);
}

function wrong(what: string): never {
  throw new StateStoreError('invalid_settings', what);
}
