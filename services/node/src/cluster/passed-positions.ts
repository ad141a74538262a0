// What a replica tells of its own history while a log is to be recovered: its chain at each position at which another
// replica stands. So a person who decides sees what nodes that decide by themselves see (recovery-decision.ts), and one
// that is left behind by a log that others run on is seen to have another history.
import type { PassedPosition, ReplicaReport } from '@statestore/cluster';
import type { Peers } from './peers.ts';
import type { Replica } from './replica.ts';

/** Empty where nobody waits. Pure. */
export function passedPositions(
  own: ReplicaReport,
  others: readonly ReplicaReport[],
  chainAt: (position: bigint) => string | undefined,
): { readonly passed?: readonly PassedPosition[] } {
  const ofSame = others.filter(({ incarnation }) => incarnation === own.incarnation);
  const waits = own.state === 'halted' && own.haltCause === 'log_regressed';
  const asked = ofSame.filter(({ state }) => waits || state === 'halted');
  if (!waits && asked.length === 0) return {};
  const applied = BigInt(own.appliedPosition);
  const positions = new Set(asked.map(({ appliedPosition }) => appliedPosition));
  const passed = [...positions].filter((position) => BigInt(position) > 0n && BigInt(position) <= applied);
  return {
    passed: passed.map((position) => {
      const chain = chainAt(BigInt(position));
      return chain === undefined ? { position } : { position, chain };
    }),
  };
}

/** What the replicas of a node report, with that. */
export function reportsOf(replicas: readonly Replica[], peers: Peers): readonly ReplicaReport[] {
  return replicas.flatMap((replica) => {
    const report = replica.report();
    const { assignment } = replica;
    if (report === undefined) return [];
    // While it opens or closes, or its engine failed, there is nothing to be read of it.
    const isReadable = replica.state === 'running' || replica.halt?.cause === 'log_regressed';
    if (assignment === undefined || !isReadable) return [report];
    const others = peers.replicasOf(assignment.placement).map((each) => each.replica);
    return [{ ...report, ...passedPositions(report, others, (position) => replica.chainAt(position)) }];
  });
}
