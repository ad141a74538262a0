// The first topology of a cluster: the logs of its partitions are made, replicas are placed on the nodes that
// are there, and epoch 1 says so. May be done by several at once, and again after it was interrupted:
// what was made is found again, and one topology counts.
import { randomUUID } from 'node:crypto';
import type { PartitionLog, PartitionPlacement, SlotRange, Topology } from '@statestore/core';
import { StateStoreError, applySteps, checkSpec, evenTopology, limits, plan } from '@statestore/core';
import type { LogDescription, LogStreams } from './log-streams.ts';
import type { NodeReport } from './node-registry.ts';
import type { TopologyStore } from './topology-store.ts';

/** The state that a cluster begins with, as a checkpoint that its nodes can read has it. */
export interface InitialState {
  /** UUID of the checkpoint. */
  readonly checkpoint: string;
  /** By partition, ascending; together their slots are all slots. */
  readonly partitions: readonly InitialPartition[];
  /** Of its logs: greater than that of any log that clients were told of before. Undefined: 1. */
  readonly generation?: number | undefined;
  /** UUID. Undefined: one is drawn. */
  readonly lineage?: string | undefined;
}

export interface InitialPartition {
  /** Undefined: as many as come before it. */
  readonly partition?: number | undefined;
  readonly slots: readonly SlotRange[];
  /** Of its state: epoch of the reshape that changed them last, of whatever cluster that was. Undefined: none did. */
  readonly slotsEpoch?: bigint | undefined;
  /** Where its log carries on; undefined: nothing was ever written to it. */
  readonly continues: PartitionLog['continues'];
}

export interface InitialiseOptions {
  readonly partitions: number;
  /** Replicas of each partition. */
  readonly replicationFactor: number;
  /** Copies of each log inside NATS: 1, 3 or 5. */
  readonly logReplicas: number;
  /** Undefined: it begins with nothing. */
  readonly from?: InitialState;
}

export type InitialiseOutcome =
  | { readonly kind: 'initialised'; readonly topology: Topology }
  /** There is one; nothing was changed. */
  | { readonly kind: 'present'; readonly topology: Topology };

/** Throws `invalid_settings`. */
export function checkInitialise({ partitions, replicationFactor, logReplicas, from }: InitialiseOptions): void {
  evenTopology(partitions, []);
  if (from !== undefined && from.partitions.length !== partitions) {
    const message = `the checkpoint ${from.checkpoint} has ${from.partitions.length} partitions; ${partitions} were asked for`;
    throw new StateStoreError('invalid_settings', message);
  }
  checkSpec({ replicationFactor, logReplicas, drained: [] });
}

/**
 * Throws `data_format` where nodes have seen a topology already: theirs was lost, and a new one would hide
 * what they hold.
 */
export function checkNew(reports: readonly NodeReport[]): void {
  const remembering = reports.filter(({ lastTopology }) => lastTopology !== undefined);
  if (remembering.length === 0) return;
  const told = remembering.map(({ name, lastTopology }) => `${name} (epoch ${lastTopology!.epoch})`).join(', ');
  throw new StateStoreError('data_format', `this cluster had a topology: nodes remember it: ${told}`, {
    hint: 'recover it (statestore recover), or start nodes with empty data folders',
  });
}

/** `nodes`: those to place replicas on. Rejects with `unavailable` or `outcome_unknown`: then it may be called again. */
export async function makeTopology(
  { topologyStore, logStreams }: { readonly topologyStore: TopologyStore; readonly logStreams: LogStreams },
  options: InitialiseOptions,
  nodes: readonly NodeReport[],
): Promise<InitialiseOutcome> {
  const { replicationFactor, logReplicas, from } = options;
  const placed = placedOn(options, nodes);
  const logs = await makeLogs(logStreams, options);
  const topology: Topology = {
    epoch: firstEpoch(from),
    spec: { replicationFactor, logReplicas, drained: [] },
    partitions: placed.partitions.map((placement) => ({ ...placement, log: logs.get(placement.partition)! })),
    ...(from === undefined ? {} : { restoredFrom: { checkpoint: from.checkpoint } }),
    lineage: from?.lineage ?? randomUUID(),
  };
  if ((await topologyStore.replace(topology)) === 'replaced') return { kind: 'initialised', topology };
  const present = await topologyStore.read();
  if (present !== undefined) return { kind: 'present', topology: present };
  throw new StateStoreError('unavailable', 'the topology was made by another and cannot be read yet');
}

function placedOn({ partitions, replicationFactor, from }: InitialiseOptions, nodes: readonly NodeReport[]): Topology {
  const [first] = nodes;
  if (first === undefined) throw new StateStoreError('unavailable', 'there is no node to place replicas on');
  const seed = evenTopology(partitions, [first.name]);
  const accepting = nodes.map(({ name, zone }) => ({ name, zone, accepts: true, live: true }));
  const placed = applySteps(seed, plan(seed, { partitions, replicationFactor }, accepting));
  if (from === undefined) return placed;
  // Those that its state has, whatever would be even.
  const named = placed.partitions.map((each, at): PartitionPlacement => {
    const { partition = at, slots, slotsEpoch } = from.partitions[at]!;
    return { ...each, partition, slots, ...(slotsEpoch === undefined ? {} : { slotsEpoch }) };
  });
  return { ...placed, partitions: named };
}

/** Its splits and merges have later ones than those that its states have seen. */
function firstEpoch(from: InitialState | undefined): bigint {
  const epochs = (from?.partitions ?? []).map(({ slotsEpoch }) => slotsEpoch ?? 0n);
  return epochs.reduce((greatest, each) => (each > greatest ? each : greatest), 0n) + 1n;
}

async function makeLogs(
  logStreams: LogStreams,
  { partitions, logReplicas: replicas, from }: InitialiseOptions,
): Promise<ReadonlyMap<number, PartitionLog>> {
  const logs = new Map<number, PartitionLog>();
  const left = Array.from({ length: partitions }, (_, at) => at);
  const generation = from?.generation ?? 1;
  const work = async (): Promise<void> => {
    for (let at = left.shift(); at !== undefined; at = left.shift()) {
      const { partition = at, continues } = from?.partitions[at] ?? {};
      logs.set(partition, await makeLog(logStreams, { partition, generation, replicas, continues }));
    }
  };
  await Promise.all(Array.from({ length: limits.logsMadeMax }, work));
  return logs;
}

interface Wanted {
  readonly partition: number;
  readonly generation: number;
  readonly replicas: number;
  readonly continues: PartitionLog['continues'];
}

async function makeLog(logStreams: LogStreams, wanted: Wanted): Promise<PartitionLog> {
  const { partition, generation, replicas, continues } = wanted;
  for (let earlier = 1; earlier < generation; earlier++) {
    const there = await logStreams.describe(partition, earlier);
    // What holds nothing is nobody's: no topology names it.
    if (there !== undefined && !isNew(there, wanted)) throw isThere(there, wanted);
  }
  const there = await logStreams.describe(partition, generation);
  if (there === undefined) {
    try {
      const carrying = continues === undefined ? {} : { first: continues.position + 1n, continues };
      return await logStreams.create({ partition, generation, replicas, ...carrying });
    } catch (error) {
      if (!(error instanceof StateStoreError) || error.code !== 'data_format') throw error;
      // Another one made it between.
      return makeLog(logStreams, wanted);
    }
  }
  // Of an attempt that did not come to its end, or of another one that is under way.
  if (isNew(there, wanted)) return there.log;
  throw isThere(there, wanted);
}

/** Whether it carries on what is wanted, and nothing was ever written to it. */
function isNew({ log, first, last }: LogDescription, { continues }: Wanted): boolean {
  const before = continues?.position ?? 0n;
  return first === before + 1n && last === before && isSame(log.continues, continues);
}

function isThere({ first, last }: LogDescription, { partition }: Wanted): StateStoreError {
  const what = first > last ? `carries on another state, after ${last}` : `has ${last} batches`;
  return new StateStoreError('data_format', `there is a log of partition ${partition} that ${what}`, {
    hint: 'recover the topology that it belongs to (statestore recover), or give the cluster another name',
  });
}

function isSame(a: PartitionLog['continues'], b: PartitionLog['continues']): boolean {
  return a?.incarnation === b?.incarnation && a?.position === b?.position && a?.chain === b?.chain;
}
