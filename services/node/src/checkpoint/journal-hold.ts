// How far the journal of a node on its own may be trimmed while its logs are archived: not above what the archive has,
// as long as the journal takes no more of the disk than it may. Past that writes go on, and what goes unarchived is a
// gap that the archiver tells: whoever wants neither has to look at the age of the archive.
import { limits } from '@statestore/core';
import type { PartitionArchive } from './archivers.ts';

export class JournalHold {
  readonly journalBytesMax: number;
  #status: (() => readonly PartitionArchive[]) | undefined;

  constructor(journalBytesMax: number = limits.archiveJournalBytesMax) {
    this.journalBytesMax = journalBytesMax;
  }

  /** Until it is told of archivers, nothing is known to be archived. */
  follow(status: () => readonly PartitionArchive[]): void {
    this.#status = status;
  }

  /** Everything of the partition up to here is archived, as far as that could be; 0n: nothing is known of it. */
  archived(partition: number): bigint {
    return this.#status?.().find((each) => each.partition === partition)?.position ?? 0n;
  }
}
