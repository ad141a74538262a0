// Replicas: whatever two of them show at the same position is equal, at any time; and at the end, when
// everything was healed, all of a partition are at the same position.
import type { ReplicaLine } from '../history.ts';
import type { Rule, Violation } from './violation.ts';

/** `copies`: how many replicas each partition is to have at the end. */
export function checkReplicas(lines: readonly ReplicaLine[], copies: number): Violation[] {
  return [...differences(lines), ...apart(lines, copies)];
}

function* differences(lines: readonly ReplicaLine[]): Generator<Violation> {
  const known = new Map<string, ReplicaLine>();
  const told = new Set<string>();
  for (const line of lines) {
    const { partition, position, node, chain, stateHash } = line;
    const place = `${partition} at ${position}`;
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

function* apart(lines: readonly ReplicaLine[], copies: number): Generator<Violation> {
  const last = lines.filter((line) => line.last);
  for (const [partition, replicas] of Map.groupBy(last, (line) => line.partition)) {
    const positions = new Set(replicas.map(({ position }) => position));
    if (positions.size > 1) {
      yield about('no convergence', partition, `replicas stay at positions ${[...positions].join(', ')}`, replicas);
    }
    const stopped = replicas.filter(({ state }) => state !== 'running');
    if (stopped.length > 0) yield about('no convergence', partition, 'a replica does not run', stopped);
    if (replicas.length !== copies) {
      yield about('no convergence', partition, `there are ${replicas.length} replicas, not ${copies}`, replicas);
    }
  }
}

function about(rule: Rule, partition: number, message: string, events: readonly object[]): Violation {
  return { rule, key: `partition ${partition}`, message, events };
}
