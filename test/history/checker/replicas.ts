// Replicas: whatever two of them show at the same position is equal, at any time; and at the end, when
// everything was healed, all of a partition are at the same position.
import type { PlacementLine, ReplicaLine } from '../history.ts';
import type { Rule, Violation } from './violation.ts';

export function checkReplicas(lines: readonly ReplicaLine[], placements: readonly PlacementLine[]): Violation[] {
  return [...differences(lines), ...apart(lines, placements)];
}

function* differences(lines: readonly ReplicaLine[]): Generator<Violation> {
  const known = new Map<string, ReplicaLine>();
  const told = new Set<string>();
  for (const line of lines) {
    const { partition, log = '', position, node, chain, stateHash } = line;
    const place = `${partition} ${log} at ${position}`;
    const other = known.get(place);
    if (other === undefined) known.set(place, line);
    else if ((other.chain !== chain || other.stateHash !== stateHash) && !told.has(`${place} ${node}`)) {
      told.add(`${place} ${node}`);
      const what = other.chain === chain ? 'state hash' : 'chain';
      const message = `the ${what} of ${node} differs from that of ${other.node} at position ${position}`;
      yield about('replicas differ', partition, message, [line, other]);
    }
  }
}

function* apart(lines: readonly ReplicaLine[], placements: readonly PlacementLine[]): Generator<Violation> {
  for (const { partition, replicas } of placements) {
    const there = lines.filter((line) => line.last && line.partition === partition && replicas.includes(line.node));
    const positions = new Set(there.map(({ position }) => position));
    if (positions.size > 1) {
      yield about('no convergence', partition, `replicas stay at positions ${[...positions].join(', ')}`, there);
    }
    const stopped = there.filter(({ state }) => state !== 'running');
    if (stopped.length > 0) yield about('no convergence', partition, 'a replica does not run', stopped);
    const missing = replicas.filter((node) => !there.some((line) => line.node === node));
    if (missing.length > 0) {
      yield about('no convergence', partition, `the replica of ${missing.join(', ')} is not there`, there);
    }
  }
}

function about(rule: Rule, partition: number, message: string, events: readonly object[]): Violation {
  return { rule, key: `partition ${partition}`, message, events };
}
