// What a node says of one of its replicas.
import type { ReplicaReport } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import type { Peers } from './peers.ts';
import type { ReplicaSources } from './replica-copy.ts';
import type { ReplicaState } from './replica-states.ts';
import { reportedStates } from './replica-states.ts';
import type { ReplicaFacts } from './replica-store.ts';
import type { ReplicaHalt } from './running-replica-options.ts';
import type { RunningReplica } from './running-replica.ts';

export interface ReportedReplica {
  readonly facts: ReplicaFacts;
  readonly running: Pick<RunningReplica, 'stored' | 'lag'> | undefined;
  readonly state: ReplicaState;
  /** That it follows, or is to follow. */
  readonly log: PartitionLog | undefined;
  readonly halt: ReplicaHalt | undefined;
  readonly sources: Pick<ReplicaSources, 'waitsFor' | 'reported'>;
  /** Keys read and commands taken since the process began. */
  readonly operations: number | undefined;
  readonly durable: boolean;
  readonly peers: Peers;
}

export function replicaReport(partition: number, replica: ReportedReplica): ReplicaReport {
  const { facts, running, state, log, halt, sources, operations, durable, peers } = replica;
  const { position, incarnation, chain, stateHash, entries, bytes } = facts;
  const named = incarnation ?? log?.incarnation ?? '';
  const heard = peers.highest(partition, named);
  return {
    partition,
    state: reportedStates[state],
    ...(halt === undefined ? {} : { haltCause: halt.cause }),
    reason: halt?.why ?? sources.waitsFor,
    incarnation: named,
    appliedPosition: position.toString(),
    storedPosition: (running?.stored ?? position).toString(),
    heardPosition: (heard > position ? heard : position).toString(),
    lag: running?.lag ?? peers.missing(partition, log, position),
    chain,
    stateHash,
    entries,
    bytes,
    durable,
    ...(operations === undefined ? {} : { operations }),
    ...sources.reported,
  };
}
