// Opens the checkpoints of a node process out of its settings: the repository, and who conducts.
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RepositorySettings } from '@statestore/checkpoint';
import { openRepository } from '@statestore/checkpoint';
import type { CheckpointRuns } from '@statestore/cluster';
import { MemoryCheckpointRuns } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { Checkpoints, EmbeddedNode, OpenCheckpointsOptions } from '@statestore/node';
import { openCheckpoints, ownReplicas } from '@statestore/node';
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

/** Of a node on its own: what is asked for and made is known to this process alone. */
export async function openEmbeddedCheckpoints(
  checkpoints: NodeCheckpoints,
  { node, topology }: EmbeddedNode,
  log: Logger,
  registry?: OpenCheckpointsOptions['registry'],
): Promise<EmbeddedCheckpoints> {
  const runs = new MemoryCheckpointRuns();
  const name = embeddedCluster;
  const told = { cluster: embeddedCluster, name, node, runs, replicas: ownReplicas(name, topology, node) };
  const opened = await openNodeCheckpoints(
    checkpoints,
    { ...told, ...(registry === undefined ? {} : { registry }) },
    log,
  );
  // Whoever asks as soon as the process listens is not told that there is no repository.
  await Promise.race([opened.conductor.announced, sleep(announceMs, undefined, { ref: false })]);
  return { ...opened, runs };
}
