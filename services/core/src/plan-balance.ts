// Evens out what nodes carry, by the bytes of partitions and by what clients do with them: a replica of a heavy partition
// is exchanged for one of a lighter partition. The numbers of replicas stay as they are, or as even; so a plan that is
// made later, which knows of numbers alone, leaves it so.
import { balancedPart } from './limits.ts';
import type { PlanNode } from './plan.ts';
import type { PartitionPlacement } from './topology.ts';

export interface PartitionLoad {
  readonly bytes: number;
  readonly operationsPerS: number;
}

export interface ReplicaMove {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
}

/** To be done together: one alone would leave nodes uneven. */
export type Exchange = readonly [ReplicaMove] | readonly [ReplicaMove, ReplicaMove];

interface Carrier {
  readonly name: string;
  readonly zone: string;
  readonly holds: Set<Item>;
  load: number;
}

interface Item {
  readonly partition: number;
  /** Both parts of what all carry together count alike. */
  readonly load: number;
  readonly on: Set<Carrier>;
  /** Moves already, or may not. */
  isFixed: boolean;
}

interface Swap {
  readonly given: Item;
  /** Undefined: nothing comes back. */
  readonly taken: Item | undefined;
  readonly to: Carrier;
  readonly gain: number;
}

/** Those that gain most come first; none where nodes carry equally much, give or take a little. Partitions without a load count as empty. */
export function planBalance(
  partitions: readonly PartitionPlacement[],
  nodes: readonly PlanNode[],
  loads: ReadonlyMap<number, PartitionLoad>,
): readonly Exchange[] {
  const usable = nodes.filter(({ accepts, live }) => accepts && live).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const carriers = new Map(
    usable.map(({ name, zone }): [string, Carrier] => [name, { name, zone, holds: new Set(), load: 0 }]),
  );
  const loadOf = weigh(partitions, loads);
  for (const { partition, replicas, joining = [], leaving = [] } of partitions) {
    const isFixed = joining.length + leaving.length > 0 || replicas.some((name) => !carriers.has(name));
    const item: Item = { partition, load: loadOf(partition), on: new Set(), isFixed };
    for (const name of [...replicas.filter((each) => !leaving.includes(each)), ...joining]) {
      const carrier = carriers.get(name);
      if (carrier === undefined) continue;
      item.on.add(carrier);
      carrier.holds.add(item);
      carrier.load += item.load;
    }
  }
  return exchanges([...carriers.values()]);
}

function weigh(
  partitions: readonly PartitionPlacement[],
  loads: ReadonlyMap<number, PartitionLoad>,
): (partition: number) => number {
  let bytes = 0;
  let operations = 0;
  for (const { partition } of partitions) {
    bytes += loads.get(partition)?.bytes ?? 0;
    operations += loads.get(partition)?.operationsPerS ?? 0;
  }
  return (partition) => {
    const load = loads.get(partition);
    if (load === undefined) return 0;
    return (bytes === 0 ? 0 : load.bytes / bytes) + (operations === 0 ? 0 : load.operationsPerS / operations);
  };
}

function exchanges(carriers: readonly Carrier[]): readonly Exchange[] {
  const done: Exchange[] = [];
  const stuck = new Set<Carrier>();
  const mean = carriers.reduce((sum, { load }) => sum + load, 0) / Math.max(1, carriers.length);
  for (;;) {
    const from = heaviest(carriers, stuck);
    if (from === undefined || from.load <= mean * (1 + balancedPart)) return done;
    const swap = bestSwap(from, carriers);
    if (swap === undefined) {
      stuck.add(from);
      continue;
    }
    const { given, taken, to } = swap;
    hand(given, from, to);
    const move = { partition: given.partition, from: from.name, to: to.name };
    if (taken === undefined) done.push([move]);
    else {
      hand(taken, to, from);
      done.push([move, { partition: taken.partition, from: to.name, to: from.name }]);
    }
    stuck.clear();
  }
}

function heaviest(carriers: readonly Carrier[], stuck: ReadonlySet<Carrier>): Carrier | undefined {
  let most: Carrier | undefined;
  for (const each of carriers) if (!stuck.has(each) && (most === undefined || each.load > most.load)) most = each;
  return most;
}

/** After which the heavier of the two carries least. */
function bestSwap(from: Carrier, carriers: readonly Carrier[]): Swap | undefined {
  let best: Swap | undefined;
  for (const to of carriers) {
    if (to === from || to.load >= from.load) continue;
    const gap = from.load - to.load;
    for (const given of from.holds) {
      if (!mayMove(given, from, to) || given.load === 0) continue;
      const others = from.holds.size > to.holds.size ? [undefined, ...to.holds] : to.holds;
      for (const taken of others) {
        if (taken !== undefined && !mayMove(taken, to, from)) continue;
        const moved = given.load - (taken?.load ?? 0);
        // By how much the greater of the two gets less.
        const gain = Math.min(moved, gap - moved);
        if (gain > gap / 64 && (best === undefined || gain > best.gain)) best = { given, taken, to, gain };
      }
    }
  }
  return best;
}

/** The partition is in no fewer zones afterwards. */
function mayMove({ isFixed, on }: Item, from: Carrier, to: Carrier): boolean {
  if (isFixed || on.has(to)) return false;
  if (from.zone === to.zone) return true;
  let [inFrom, inTo] = [0, 0];
  for (const { zone } of on) {
    if (zone === from.zone) inFrom++;
    if (zone === to.zone) inTo++;
  }
  return inTo < inFrom;
}

function hand(item: Item, from: Carrier, to: Carrier): void {
  item.isFixed = true;
  item.on.delete(from);
  item.on.add(to);
  from.holds.delete(item);
  to.holds.add(item);
  from.load -= item.load;
  to.load += item.load;
}
