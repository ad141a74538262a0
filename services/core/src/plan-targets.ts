// How many replicas each node is to hold: as equally many as zones allow. With three zones, three replicas
// and one node in the third, that one node holds a replica of everything; so targets are worked out within
// what each zone must and may hold, unit by unit to the node that has least. Of nodes that would have
// equally many, the one that holds more now gets the odd one: what is even already is left alone.
import type { NodeState, Placements } from './plan-placements.ts';

interface Zone {
  /** Those that hold most come first: each round of units begins with them. */
  readonly usable: NodeState[];
  /** Replicas of nodes that are to be left as they are. */
  held: number;
  accepting: number;
  /** Of its usable nodes together. */
  atLeast: number;
  atMost: number;
  given: number;
}

/** By index of node; 0 for those that are not usable. */
export function targetsOf(placements: Placements): Int32Array {
  const { nodes, partitions } = placements;
  const zones = zonesOf(placements);
  const targets = new Int32Array(nodes.length);
  for (let left = unitsOf(placements); left > 0; left--) {
    const zone =
      zones.find(({ given, atLeast }) => given < atLeast) ??
      nextZone(zones, ({ atMost }) => atMost) ??
      nextZone(zones, ({ usable }) => usable.length * partitions.length);
    if (zone === undefined) break;
    targets[nextOf(zone).index]!++;
    zone.given++;
  }
  return targets;
}

/** Replicas that usable nodes are to hold. */
function unitsOf({ nodes, partitions, factor }: Placements): number {
  const usable = nodes.filter((node) => node.usable).length;
  let units = 0;
  for (const { holders } of partitions) {
    const held = holders.filter((node) => !node.usable).length;
    units += Math.min(usable, Math.max(0, factor - held));
  }
  return units;
}

function zonesOf({ nodes, partitions, zones: count, factor }: Placements): readonly Zone[] {
  const zones = Array.from({ length: count }, (): Zone => {
    return { usable: [], held: 0, accepting: 0, atLeast: 0, atMost: 0, given: 0 };
  });
  for (const node of nodes) {
    const zone = zones[node.zone]!;
    if (node.accepts) zone.accepting++;
    if (node.usable) zone.usable.push(node);
    else zone.held += node.holds.size;
  }
  // Each partition has `level` or `level` - 1 replicas in a zone, or as many as that has nodes.
  let level = 0;
  const room = (): number => zones.reduce((sum, { accepting }) => sum + Math.min(accepting, level), 0);
  while (room() < factor) level++;
  for (const zone of zones) {
    const { accepting, held, usable } = zone;
    const capacity = usable.length * partitions.length;
    const among = (replicas: number): number => Math.min(Math.max(0, replicas * partitions.length - held), capacity);
    zone.atLeast = among(Math.min(accepting, level - 1));
    zone.atMost = among(Math.min(accepting, level));
    usable.sort((a, b) => b.holds.size - a.holds.size || a.index - b.index);
  }
  return zones;
}

/** The one whose next node has least, and of those the one whose next node holds most now. */
function nextZone(zones: readonly Zone[], limit: (zone: Zone) => number): Zone | undefined {
  let best: Zone | undefined;
  for (const zone of zones) {
    if (zone.given >= limit(zone)) continue;
    const less = best === undefined ? -1 : roundOf(zone) - roundOf(best);
    if (less < 0 || (less === 0 && nextOf(zone).holds.size > nextOf(best!).holds.size)) best = zone;
  }
  return best;
}

function roundOf({ given, usable }: Zone): number {
  return Math.floor(given / usable.length);
}

function nextOf({ given, usable }: Zone): NodeState {
  return usable[given % usable.length]!;
}
