// A checkpoint of a cluster of nodes in one process, all parts of it written by one node.
import type { Repository } from '@statestore/checkpoint';
import { CheckpointDesk } from '../../services/node/src/checkpoint/checkpoint-desk.ts';
import { conduct, type Conducted } from '../../services/node/src/checkpoint/conduct.ts';
import { ownReplicas } from '../../services/node/src/checkpoint/replicas.ts';
import { systemTime } from '../../services/node/src/time.ts';
import type { NodeCluster } from './cluster-node-fixture.ts';

export async function checkpointFrom(cluster: NodeCluster, node: string, repository: Repository): Promise<Conducted> {
  const { node: writer } = cluster.at(node);
  writer.checkpoints = new CheckpointDesk({ repository, cluster: 'test', time: systemTime });
  return conduct({
    repository,
    cluster: 'test',
    node,
    version: '0',
    replicas: ownReplicas(node, await cluster.topology(), writer),
    time: systemTime,
    trigger: 'manual',
    level: 1,
    deadlineMs: 30_000,
    onBegun: () => Promise.resolve(),
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
}
