// Checkpoints of a node process: its desk, where its own replicas are written, and its conductor, which looks
// whether one is to be made. Which replicas there are is told by the caller.
import type { Repository } from '@statestore/checkpoint';
import type { CheckpointRuns } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { Registry } from 'prom-client';
import type { OnNotice } from '../cluster/node-options.ts';
import type { LocalNode } from '../local-node.ts';
import { systemTime, type Time } from '../time.ts';
import { CheckpointDesk } from './checkpoint-desk.ts';
import { CheckpointMetrics } from './checkpoint-metrics.ts';
import type { CheckpointSettings } from './checkpoint-settings.ts';
import { Conductor, type ConductorOptions } from './conductor.ts';
import type { Replicas } from './replicas.ts';

export interface OpenCheckpointsOptions extends Partial<
  Pick<
    ConductorOptions,
    'lineage' | 'afterwards' | 'trims' | 'pollMs' | 'heartbeatMs' | 'silenceMs' | 'retryMs' | 'hungMs' | 'lookMs'
  >
> {
  readonly cluster: string;
  readonly name: string;
  readonly version: string;
  readonly node: LocalNode;
  readonly repository: Repository;
  readonly runs: CheckpointRuns;
  /** Closed with the rest. */
  readonly replicas: Replicas;
  readonly settings: CheckpointSettings;
  readonly onNotice?: OnNotice;
  /** Default: a registry of its own. */
  readonly registry?: Registry;
  readonly time?: Time;
}

export interface Checkpoints {
  readonly conductor: Conductor;
  /** Before the node. Ends what is under way; makes a final checkpoint where that is asked for. The repository is closed. Idempotent. */
  close(): Promise<void>;
}

/**
 * Rejects with `invalid_settings` where the repository does not do what is relied on; one that does not answer now is
 * tried again before it is first used. The repository is closed then, too.
 */
export async function openCheckpoints(options: OpenCheckpointsOptions): Promise<Checkpoints> {
  const { repository, node, cluster, replicas, onNotice = () => undefined, time = systemTime } = options;
  let conductor: Conductor;
  const metrics = new CheckpointMetrics(options.registry ?? new Registry());
  try {
    await probe(repository, time, onNotice);
    conductor = new Conductor({
      ...options,
      node: options.name,
      time,
      onNotice,
      onEnded: (run) => metrics.ended(run),
    });
  } catch (error) {
    await replicas.close();
    await repository.close();
    throw error;
  }
  node.checkpoints = new CheckpointDesk({ repository, cluster, time, onNotice, silence: () => conductor.silence });
  metrics.watch({
    run: () => conductor.run,
    catalog: () => conductor.catalog,
    silentMs: () => conductor.silentMs,
    time,
  });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    try {
      await conductor.close();
    } finally {
      node.checkpoints = undefined;
      await replicas.close();
      await repository.close();
    }
  };
  return { conductor, close: () => (closing ??= close()) };
}

/** One that says nothing does not hold the node up, which has clients to serve. */
async function probe(repository: Repository, time: Time, onNotice: OnNotice): Promise<void> {
  const enough = new AbortController();
  const withinMs = limits.repositoryStartProbeMs;
  const timer = time.after(withinMs, () => {
    const what = `${repository.location} did not show within ${withinMs} ms that it can keep checkpoints`;
    enough.abort(new StateStoreError('unavailable', what));
  });
  try {
    await repository.probe({ signal: enough.signal });
  } catch (error) {
    if (!(error instanceof StateStoreError) || !error.retryable) throw error;
    onNotice('the repository of checkpoints does not answer; trying again', { error: error.message });
  } finally {
    timer.cancel();
  }
}
