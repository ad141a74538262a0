// The logs of a cluster are trimmed, each as far as trim-rule.ts says: what is known of checkpoints, archive, log and
// replicas is put together here. To be run after each checkpoint, by whoever conducted it; two at once do no harm.
import type { GoodCheckpoint, Repository } from '@statestore/checkpoint';
import { archivedThrough, listSegments, newestGood } from '@statestore/checkpoint';
import type { LogStreams, ObservedNode } from '@statestore/cluster';
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import type { Log } from '../log/log.ts';
import type { Time } from '../time.ts';
import { defaultTrimMargins, judgeTrim, type TrimCheckpoint, type TrimMargins, type TrimReplica } from './trim-rule.ts';

export interface TrimOptions {
  readonly repository: Repository;
  readonly cluster: string;
  /** Whether logs are archived: then they wait for the archive. */
  readonly archives: boolean;
  readonly topology: Topology;
  readonly nodes: ReadonlyMap<string, ObservedNode>;
  readonly logStreams: Pick<LogStreams, 'describe'>;
  readonly openLog: (partition: number, log: PartitionLog) => Promise<Pick<Log, 'trim' | 'close'>>;
  readonly time: Time;
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
}

/** Rejects where the repository does not answer. A log that cannot be trimmed now only takes space: that is told. */
export async function trimLogs(options: TrimOptions): Promise<readonly TrimOutcome[]> {
  const { topology, signal, onNotice } = options;
  const good = await twoGood(options);
  const outcomes: TrimOutcome[] = [];
  for (const placement of topology.partitions) {
    signal.throwIfAborted();
    const { partition, log } = placement;
    if (log === undefined) continue;
    try {
      outcomes.push(await trimOne(options, placement, log, good));
    } catch (error) {
      signal.throwIfAborted();
      onNotice?.('the log of a partition could not be trimmed', { partition, error: String(error) });
      outcomes.push({ partition, below: undefined, why: String(error) });
    }
  }
  return outcomes;
}

/** The newest checkpoints that are old enough and of which everything is there. */
async function twoGood({
  repository,
  cluster,
  time,
  signal,
  margins,
}: TrimOptions): Promise<readonly GoodCheckpoint[]> {
  const { ms } = margins ?? defaultTrimMargins;
  const found: GoodCheckpoint[] = [];
  let before: string | undefined;
  while (found.length < 2) {
    const { good } = await newestGood({
      repository,
      cluster,
      signal,
      before,
      accepts: ({ completedAtMs }) => (time.nowMs() - Number(completedAtMs) >= ms ? undefined : 'it was just made'),
    });
    if (good === undefined) break;
    found.push(good);
    before = good.manifest.id;
  }
  return found;
}

/* oxlint-disable-next-line max-params -- what is trimmed, and by what */
async function trimOne(
  options: TrimOptions,
  placement: PartitionPlacement,
  log: PartitionLog,
  good: readonly GoodCheckpoint[],
): Promise<TrimOutcome> {
  const { repository, archives, logStreams, openLog, time, signal, margins, nodes } = options;
  const { partition } = placement;
  const { incarnation } = log;
  const found = await logStreams.describe(partition, log.generation);
  if (found?.log.incarnation !== incarnation) return { partition, below: undefined, why: 'the log is not there' };
  const { first, last } = found;
  const verdict = judgeTrim(
    {
      incarnation,
      first,
      last,
      checkpoints: checkpointsOf(good, partition),
      archived: archives ? archivedThrough(await listSegments(repository, incarnation, { signal }), first) : 'off',
      replicas: replicasOf(placement, nodes),
      nowMs: time.nowMs(),
    },
    margins,
  );
  if (verdict.kind === 'keep') return { partition, below: undefined, why: verdict.why };
  const opened = await openLog(partition, log);
  try {
    await opened.trim(verdict.below);
  } finally {
    await opened.close();
  }
  return { partition, below: verdict.below, why: undefined };
}

function checkpointsOf(good: readonly GoodCheckpoint[], partition: number): TrimCheckpoint[] {
  return good.flatMap(({ manifest }) =>
    manifest.partitions
      .filter((each) => each.partition === partition)
      .map(({ incarnation, position }) => ({ incarnation, position, completedAtMs: Number(manifest.completedAtMs) })),
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
