// The archivers of a node: one for each partition whose first running replica is here. Which that is may change at any
// moment, and two nodes may think it of themselves for a while: that does no harm (archiver.ts).
import { type ArchivedLog, type ChainPoint, CheckpointPoints, type Repository } from '@statestore/checkpoint';
import type { PartitionLog } from '@statestore/core';
import { limits } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import { Repeated } from '../cluster/repeated.ts';
import { systemTime, type Time } from '../time.ts';
import { Archiver, type ArchiverOptions, type ArchiverStatus } from './archiver.ts';

/** A replica whose log this node is to archive. */
export interface ArchiveSource {
  readonly partition: number;
  /** `restoredFrom`: the checkpoint that its cluster began with. */
  readonly log: PartitionLog & Pick<ArchivedLog, 'restoredFrom' | 'lineage' | 'origin'>;
  /** The same object for as long as the log is open. */
  readonly source: ArchiverOptions['source'];
  readonly point: () => ChainPoint | undefined;
  readonly chainAt: (position: bigint) => string | undefined;
  /** When the log was made, ns since 1970. Rejects where nobody who knows answers. */
  readonly began?: (() => Promise<bigint | undefined>) | undefined;
}

export interface ArchiversOptions {
  readonly repository: Repository;
  readonly cluster: string;
  /** Those that this node is to archive, now. */
  readonly sources: () => readonly ArchiveSource[];
  readonly intervalMs?: number;
  readonly lookMs?: number;
  readonly time?: Time;
  readonly onNotice?: OnNotice;
}

export interface PartitionArchive extends ArchiverStatus {
  readonly partition: number;
}

interface Running {
  readonly source: ArchiveSource['source'];
  readonly archiver: Archiver;
}

export class Archivers {
  readonly #options: ArchiversOptions;
  readonly #looking: Repeated;
  readonly #checkpoints: CheckpointPoints;
  readonly #running = new Map<number, Running>();
  readonly #ending = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ArchiversOptions) {
    this.#options = options;
    this.#checkpoints = new CheckpointPoints(options.repository);
    this.#looking = new Repeated(options.time ?? systemTime, options.lookMs ?? limits.archiveLookMs, () =>
      this.#look(),
    );
    this.#look();
  }

  /** Of the partitions that this node archives. */
  get status(): readonly PartitionArchive[] {
    return [...this.#running].map(([partition, { archiver }]) => ({ partition, ...archiver.status }));
  }

  #look(): void {
    if (this.#isClosed) return;
    const wanted = new Map(this.#options.sources().map((each) => [each.partition, each]));
    for (const [partition, { source }] of this.#running)
      if (wanted.get(partition)?.source !== source) this.#end(partition);
    for (const each of wanted.values()) if (!this.#running.has(each.partition)) this.#begin(each);
    // How long something waits is counted also where nobody asks.
    for (const { archiver } of this.#running.values()) void archiver.status;
  }

  #begin({ partition, log, source, point, chainAt, began }: ArchiveSource): void {
    const { repository, cluster, intervalMs, time = systemTime, onNotice } = this.#options;
    const archiver = new Archiver({
      repository,
      log: { ...log, cluster, partition },
      source,
      point,
      chainAt,
      began,
      checkpoints: this.#checkpoints,
      time,
      ...(intervalMs === undefined ? {} : { intervalMs }),
      ...(onNotice === undefined ? {} : { onNotice }),
    });
    this.#running.set(partition, { source, archiver });
  }

  #end(partition: number, drainMs = 0): void {
    const ending = this.#running.get(partition)!.archiver.close(drainMs);
    this.#running.delete(partition);
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  /** Before the replicas and the repository. Idempotent. `drainMs`: see Archiver. */
  async close(drainMs = 0): Promise<void> {
    this.#isClosed = true;
    this.#looking.close();
    for (const partition of this.#running.keys()) this.#end(partition, drainMs);
    await Promise.all(this.#ending);
  }
}
