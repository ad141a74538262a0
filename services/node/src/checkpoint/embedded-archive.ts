// The archive of a node on its own: all its logs, always, and its journal is trimmed as that goes on. After each
// checkpoint segments go that none leads to any more. When there are checkpoints is decided elsewhere.
import type { Repository } from '@statestore/checkpoint';
import { collectArchive } from '@statestore/checkpoint';
import { limits } from '@statestore/core';
import type { Registry } from 'prom-client';
import type { OnNotice } from '../cluster/node-options.ts';
import { Repeated } from '../cluster/repeated.ts';
import type { EmbeddedNode } from '../embedded-node.ts';
import { systemTime } from '../time.ts';
import { watchArchive } from './archive-metrics.ts';
import { Archivers } from './archivers.ts';
import type { JournalHold } from './journal-hold.ts';

export interface EmbeddedArchiveOptions {
  readonly node: Pick<EmbeddedNode, 'archiveSources' | 'trim'>;
  /** That the node was opened with. */
  readonly hold: JournalHold;
  /** Closed with the rest. */
  readonly repository: Repository;
  /** What its checkpoints say that they are of. */
  readonly cluster: string;
  readonly intervalMs: number;
  readonly registry?: Registry | undefined;
  readonly onNotice: OnNotice;
}

export interface EmbeddedArchive {
  /** For the conductor. */
  readonly afterwards: (signal: AbortSignal) => Promise<void>;
  /** Before the node. Idempotent. */
  close(): Promise<void>;
}

export function openEmbeddedArchive(options: EmbeddedArchiveOptions): EmbeddedArchive {
  const { node, hold, repository, cluster, intervalMs, registry, onNotice } = options;
  const archivers = new Archivers({ repository, cluster, sources: () => node.archiveSources, intervalMs, onNotice });
  hold.follow(() => archivers.status);
  if (registry !== undefined) watchArchive(registry, () => archivers.status);
  // Also those partitions that nobody writes to: what they hold of the journal is in everybody's way.
  const trimming = new Repeated(systemTime, limits.archiveLookMs, () => node.trim());
  const afterwards = async (signal: AbortSignal): Promise<void> => {
    try {
      const collected = await collectArchive(repository, { signal });
      if (collected.outcome === 'blocked') onNotice('the archive cannot be cleared up', { why: collected.why });
    } catch (error) {
      // The next checkpoint does it.
      if (!signal.aborted) onNotice('the archive was not cleared up after a checkpoint', { error: String(error) });
    }
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    trimming.close();
    // Nobody else has the log: whoever restores from the repository alone wants all of it.
    await archivers.close(limits.archiveDrainMs);
    await repository.close();
  };
  return { afterwards, close: () => (closing ??= close()) };
}
