// The logs that a restored cluster begins with, told to its repository as soon as they are there: from then on a restore
// takes none of what they left behind, also where nothing was written to them yet. Archivers say the same once they run.
import { describeArchivedLog, type Repository } from '@statestore/checkpoint';
import type { LogDescription } from '@statestore/cluster';
import { nanosOf } from '../log/jetstream-record.ts';

export interface BegunLogsOptions {
  /** Of the new cluster. */
  readonly repository: Repository;
  readonly cluster: string;
  /** Id of the one that it begins with. */
  readonly checkpoint: string;
  readonly partitions: readonly number[];
  /** Of the new cluster. */
  readonly lineage?: string | undefined;
  /** Its first log of a partition, as the restore made it. */
  readonly describe: (partition: number) => Promise<LogDescription | undefined>;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** Rejects with what NATS or the repository says. May be called again. */
export async function describeBegunLogs(options: BegunLogsOptions): Promise<void> {
  const { repository, cluster, lineage, checkpoint: restoredFrom, partitions, describe, nowMs, signal } = options;
  for (const partition of partitions) {
    const described = await describe(partition);
    if (described === undefined) continue;
    const { log, created = '' } = described;
    const beganNanos = nanosOf(created) ?? BigInt(Math.floor(nowMs())) * 1_000_000n;
    const known = { cluster, lineage, partition, beganNanos, restoredFrom };
    await describeArchivedLog(repository, { ...log, ...known }, { signal });
  }
}
