// Opens the checkpoints of a node process out of its settings: the repository, and who conducts.
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RepositorySettings } from '@statestore/checkpoint';
import { openRepository } from '@statestore/checkpoint';
import type { CheckpointRuns } from '@statestore/cluster';
import { MemoryCheckpointRuns } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Checkpoints, EmbeddedArchive, EmbeddedNode, OpenCheckpointsOptions } from '@statestore/node';
import { JournalHold, openCheckpoints, openEmbeddedArchive, ownReplicas } from '@statestore/node';
import type { Logger } from 'pino';
import type { NodeCheckpoints } from './checkpoint-settings.ts';
import { version } from './version.ts';

/** A repository that does not answer holds up no start for longer. */
const announceMs = 5000;

/** What checkpoints of a node on its own call its cluster. */
export const embeddedCluster = 'embedded';

/** Beside the partitions and the journal, for a process that is told of no other place. */
export function folderBeside(data: string): RepositorySettings {
  return {
    type: 'folder',
    path: join(resolve(data), 'checkpoints'),
    concurrency: limits.repositoryConcurrencyDefault,
  };
}

type Told = Omit<OpenCheckpointsOptions, 'repository' | 'settings' | 'version' | 'onNotice'>;

/** Rejects with `invalid_settings` where the repository cannot be used. */
export async function openNodeCheckpoints(
  { repository, settings }: NodeCheckpoints,
  told: Told,
  log: Logger,
): Promise<Checkpoints> {
  const opened = await openRepository(repository);
  const checkpoints = await openCheckpoints({
    ...told,
    repository: opened,
    settings,
    version,
    onNotice: (notice, details) => log.info(details, notice),
  });
  log.info({ repository: opened.location }, 'checkpoints are kept');
  return checkpoints;
}

export interface EmbeddedCheckpoints extends Checkpoints {
  readonly runs: CheckpointRuns;
}

/** For a node on its own, before it is opened; undefined: its logs are not archived. */
export function journalHoldOf(checkpoints: NodeCheckpoints | undefined): JournalHold | undefined {
  return checkpoints?.archiveIntervalMs === undefined ? undefined : new JournalHold();
}

export interface EmbeddedCheckpointsOptions {
  readonly checkpoints: NodeCheckpoints;
  readonly embedded: EmbeddedNode;
  /** That the node was opened with. */
  readonly hold: JournalHold | undefined;
  readonly log: Logger;
  readonly registry?: NonNullable<OpenCheckpointsOptions['registry']>;
}

/** Of a node on its own: what is asked for and made is known to this process alone. */
export async function openEmbeddedCheckpoints(options: EmbeddedCheckpointsOptions): Promise<EmbeddedCheckpoints> {
  const { checkpoints, embedded, log, registry } = options;
  const { node, topology } = embedded;
  const runs = new MemoryCheckpointRuns();
  const name = embeddedCluster;
  const archive = await openArchive(options);
  const told = {
    cluster: embeddedCluster,
    lineage: () => embedded.description.id,
    name,
    node,
    runs,
    replicas: ownReplicas(name, topology, node),
    ...(registry === undefined ? {} : { registry }),
    ...(archive === undefined ? {} : { afterwards: archive.afterwards }),
  };
  let opened: Checkpoints;
  try {
    opened = await openNodeCheckpoints(checkpoints, told, log);
  } catch (error) {
    await archive?.close();
    throw error;
  }
  // Whoever asks as soon as the process listens is not told that there is no repository.
  await Promise.race([opened.conductor.announced, sleep(announceMs, undefined, { ref: false })]);
  const close = async (): Promise<void> => {
    try {
      await opened.close();
    } finally {
      await archive?.close();
    }
  };
  return { ...opened, close, runs };
}

async function openArchive(options: EmbeddedCheckpointsOptions): Promise<EmbeddedArchive | undefined> {
  const { checkpoints, embedded, hold, registry, log } = options;
  const { archiveIntervalMs: intervalMs } = checkpoints;
  if (intervalMs === undefined || hold === undefined) return undefined;
  return openEmbeddedArchive({
    node: embedded,
    hold,
    // Of its own: a checkpoint that is being uploaded does not hold it up.
    repository: await openRepository(checkpoints.repository),
    cluster: embeddedCluster,
    intervalMs,
    registry,
    onNotice: (notice, details) => log.warn(details, notice),
  });
}
