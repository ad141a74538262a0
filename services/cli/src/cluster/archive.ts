// What a node of a cluster does with a repository beside checkpoints: it archives the logs that are its to archive, and
// after each run that it conducted, and now and then, it lets go of what two checkpoints and the archive made dispensable.
import type { Proven } from '@statestore/checkpoint';
import { collectArchive, openRepository } from '@statestore/checkpoint';
import type { ClusterNode, ClusterReplicas, TrimOutcome } from '@statestore/node';
import { Archivers, openJetStreamLog, trimLogs, watchArchive, watchTrim } from '@statestore/node';
import type { Logger } from 'pino';
import type { NodeCheckpoints } from '../checkpoint-settings.ts';
import type { ClusterConnection } from './connect.ts';

/** Logs that are named with the reason why they were not trimmed. */
const keptTold = 10;

export interface NodeArchiveOptions {
  readonly wanted: NodeCheckpoints;
  readonly node: ClusterNode;
  readonly replicas: Pick<ClusterReplicas, 'topology' | 'nodes'>;
  readonly cluster: ClusterConnection;
  readonly log: Logger;
}

export interface NodeArchive {
  /** For the conductor. */
  readonly afterwards: (signal: AbortSignal, proven: Proven | undefined) => Promise<void>;
  /** Before the node. Idempotent. */
  close(): Promise<void>;
}

/** Rejects with `invalid_settings` where the repository cannot be used. */
export async function openNodeArchive({
  wanted,
  node,
  replicas,
  cluster,
  log,
}: NodeArchiveOptions): Promise<NodeArchive> {
  const { archiveIntervalMs: intervalMs } = wanted;
  // Of its own: a checkpoint that is being uploaded does not hold it up.
  const repository = await openRepository(wanted.repository);
  const onNotice = (notice: string, details: object): void => log.warn(details, notice);
  const archivers =
    intervalMs === undefined
      ? undefined
      : new Archivers({
          repository,
          cluster: cluster.cluster,
          sources: () => node.archiveSources(),
          intervalMs,
          onNotice,
        });
  if (archivers !== undefined)
    node.holdLogs((partition) => archivers.status.find((each) => each.partition === partition)?.position);
  watchArchive(node.metrics, () => archivers?.status ?? []);
  let outcomes: readonly TrimOutcome[] = [];
  watchTrim(node.metrics, () => outcomes);
  const trim = async (signal: AbortSignal, proven: Proven | undefined): Promise<void> => {
    const { topology, nodes } = replicas;
    if (topology === undefined || proven === undefined) return;
    outcomes = await trimLogs({
      repository,
      proven,
      archives: archivers !== undefined,
      topology,
      nodes,
      logStreams: cluster.logStreams,
      openLog: (partition, named) =>
        openJetStreamLog({ connection: cluster.nats, cluster: cluster.cluster, partition, log: named }),
      signal,
      onNotice,
    });
    const kept = outcomes.flatMap(({ partition, why }) => (why === undefined ? [] : [{ partition, why }]));
    log.info(
      { trimmed: outcomes.length - kept.length, of: outcomes.length, kept: kept.slice(0, keptTold) },
      'logs were trimmed below verified checkpoints',
    );
  };
  const clearUp = async (signal: AbortSignal): Promise<void> => {
    const collected = await collectArchive(repository, { signal });
    if (collected.outcome === 'blocked') onNotice('the archive cannot be cleared up', { why: collected.why });
  };
  const afterwards: NodeArchive['afterwards'] = async (signal, proven) => {
    for (const step of [trim, clearUp]) {
      try {
        await step(signal, proven);
      } catch (error) {
        // The next checkpoint does it.
        if (!signal.aborted) onNotice('logs or archive were not trimmed after a checkpoint', { error: String(error) });
      }
    }
  };
  const close = async (): Promise<void> => {
    await archivers?.close();
    await repository.close();
  };
  return { afterwards, close };
}
