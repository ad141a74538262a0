// Making a lost log anew: a stream of a later generation that begins after the last position that is kept,
// and the topology that names it. Compare-and-set decides between several who try; what was tried in vain is
// never named, and so never followed.
import type { LogStreams, TopologyStore } from '@statestore/cluster';
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import type { RecoveryPoint } from './node-options.ts';

interface Surroundings {
  readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'>;
  readonly logStreams: LogStreams;
}

/** Changes of the topology by others, meanwhile. */
const attemptsMax = 8;

/**
 * Resolves when the topology names a log that carries on from here, or another one than the lost one. Rejects
 * with `unavailable` or `outcome_unknown`: then it may be tried again.
 */
export async function carryOnLog({ topologyStore, logStreams }: Surroundings, from: RecoveryPoint): Promise<void> {
  let made: { readonly log: PartitionLog; readonly found: boolean } | undefined;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const topology = await topologyStore.read();
    const placement = topology?.partitions.find(({ partition }) => partition === from.partition);
    if (topology === undefined || placement?.log === undefined) {
      throw new StateStoreError('unavailable', `the topology names no log of partition ${from.partition}`);
    }
    if (placement.log.incarnation !== from.incarnation) {
      // Somebody else was first. One that was made here nobody else can have named, unless it was found and taken up.
      const isOurs = made?.found === false && made.log.incarnation !== placement.log.incarnation;
      if (isOurs) await logStreams.remove(from.partition, made!.log.generation);
      return;
    }
    made ??= await makeLog(logStreams, from, placement.log.generation, topology.spec?.logReplicas ?? 1);
    if ((await topologyStore.replace(withLog(topology, placement, made.log))) === 'replaced') return;
  }
  throw new StateStoreError('unavailable', `the topology changed ${attemptsMax} times while a log was to be named`, {
    retryAfterMs: 1000,
  });
}

/* oxlint-disable-next-line max-params -- what it is made of */
async function makeLog(
  logStreams: LogStreams,
  { partition, incarnation, position, chain }: RecoveryPoint,
  lost: number,
  replicas: number,
): Promise<{ readonly log: PartitionLog; readonly found: boolean }> {
  const continues = { incarnation, position, chain };
  for (let generation = lost + 1; ; generation++) {
    const there = await logStreams.describe(partition, generation);
    if (there === undefined) {
      const log = await logStreams.create({ partition, generation, replicas, first: position + 1n, continues });
      return { log, found: false };
    }
    // Of an attempt that did not come to its end; one from elsewhere is left alone, its maker may still name it.
    const same =
      there.log.continues?.incarnation === incarnation &&
      there.log.continues.position === position &&
      there.log.continues.chain === chain;
    if (same && there.last === position) return { log: there.log, found: true };
  }
}

function withLog(topology: Topology, placement: PartitionPlacement, log: PartitionLog): Topology {
  const partitions = topology.partitions.map((each) => (each === placement ? { ...placement, log } : each));
  return { ...topology, epoch: topology.epoch + 1n, partitions };
}
