// The logs of a cluster are trimmed, each as far as trim-rule.ts says: what is known of checkpoints, archive, log and
// replicas is put together here. To be run after each checkpoint, by whoever conducted it; two at once do no harm.
import type { Proven, Repository } from '@statestore/checkpoint';
import { readableThrough } from '@statestore/checkpoint';
import type { LogStreams, ObservedNode } from '@statestore/cluster';
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import type { Log } from '../log/log.ts';
import { judgeTrim, type TrimCheckpoint, type TrimMargins, type TrimReplica } from './trim-rule.ts';

export interface TrimOptions {
  readonly repository: Repository;
  /** The cluster's checkpoints of which every block was read. */
  readonly proven: Proven;
  /** Whether logs are archived: then they wait for the archive. */
  readonly archives: boolean;
  readonly topology: Topology;
  readonly nodes: ReadonlyMap<string, ObservedNode>;
  readonly logStreams: Pick<LogStreams, 'describe'>;
  readonly openLog: (partition: number, log: PartitionLog) => Promise<Pick<Log, 'trim' | 'close'>>;
  readonly signal: AbortSignal;
  readonly margins?: TrimMargins;
  readonly onNotice?: OnNotice;
}

export interface TrimOutcome {
  readonly partition: number;
  /** Everything below it is gone; undefined: nothing was trimmed. */
  readonly below: bigint | undefined;
  /** Why not more. */
  readonly why: string | undefined;
  /** Batches that are left in it; undefined: that is not known. */
  readonly left: bigint | undefined;
}

/** Rejects where the repository does not answer. A log that cannot be trimmed now only takes space: that is told. */
export async function trimLogs(options: TrimOptions): Promise<readonly TrimOutcome[]> {
  const { topology, signal, onNotice } = options;
  const outcomes: TrimOutcome[] = [];
  for (const placement of topology.partitions) {
    signal.throwIfAborted();
    const { partition, log } = placement;
    if (log === undefined) continue;
    try {
      outcomes.push(await trimOne(options, placement, log));
    } catch (error) {
      signal.throwIfAborted();
      onNotice?.('the log of a partition could not be trimmed', { partition, error: String(error) });
      outcomes.push({ partition, below: undefined, why: String(error), left: undefined });
    }
  }
  return outcomes;
}

async function trimOne(options: TrimOptions, placement: PartitionPlacement, log: PartitionLog): Promise<TrimOutcome> {
  const { repository, archives, logStreams, openLog, proven, signal, margins, nodes } = options;
  const { partition } = placement;
  const { incarnation } = log;
  const found = await logStreams.describe(partition, log.generation);
  if (found?.log.incarnation !== incarnation)
    return { partition, below: undefined, why: 'the log is not there', left: undefined };
  const { first, last } = found;
  const verdict = judgeTrim(
    {
      incarnation,
      first,
      last,
      checkpoints: checkpointsOf(proven, partition),
      archived: archives ? await readableThrough(repository, incarnation, first, { signal }) : 'off',
      replicas: replicasOf(placement, nodes),
      nowMs: proven.nowMs,
    },
    margins,
  );
  if (verdict.kind === 'keep') return { partition, below: undefined, why: verdict.why, left: batchesIn(first, last) };
  const opened = await openLog(partition, log);
  try {
    await opened.trim(verdict.below);
  } finally {
    await opened.close();
  }
  return { partition, below: verdict.below, why: undefined, left: batchesIn(verdict.below, last) };
}

function batchesIn(first: bigint, last: bigint): bigint {
  return last < first ? 0n : last - first + 1n;
}

function checkpointsOf({ good }: Proven, partition: number): TrimCheckpoint[] {
  return good.flatMap(({ manifest, storedAtMs }) =>
    manifest.partitions
      .filter((each) => each.partition === partition)
      .map(({ incarnation, position }) => ({ incarnation, position, storedAtMs })),
  );
}

/** Those that build one too: they have to read on from where they are. */
function replicasOf(
  { partition, replicas, joining = [] }: PartitionPlacement,
  nodes: ReadonlyMap<string, ObservedNode>,
): TrimReplica[] {
  return [...replicas, ...joining].flatMap((name) => {
    const observed = nodes.get(name);
    const replica = observed?.report.replicas.find((each) => each.partition === partition);
    if (observed === undefined || replica === undefined) return [];
    return [{ incarnation: replica.incarnation, storedPosition: BigInt(replica.storedPosition), live: observed.live }];
  });
}
