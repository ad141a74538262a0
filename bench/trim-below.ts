// Takes from the logs of a local cluster what a checkpoint makes dispensable. A cluster does that by itself, when it has
// two checkpoints and some time has passed: a benchmark does not wait for that.
import type { RepositorySettings } from '@statestore/checkpoint';
import { openRepository, showCheckpoint } from '@statestore/checkpoint';
import { connectNats, jetStreamTopologyStore } from '@statestore/cluster';
import { openJetStreamLog } from '@statestore/node';
import type { LocalCluster } from '../services/cli/src/local-cluster/types.ts';

export async function trimBelow(
  { natsUrls, name: cluster }: LocalCluster,
  settings: RepositorySettings,
  id: string,
): Promise<void> {
  const repository = await openRepository(settings);
  const connection = await connectNats({ servers: [...natsUrls], name: 'bench' });
  try {
    const shown = await showCheckpoint({ repository, id });
    if (shown.state !== 'complete') throw new Error(`the checkpoint is ${shown.state}`);
    const store = await jetStreamTopologyStore(connection, cluster, { replicas: natsUrls.length < 3 ? 1 : 3 });
    const topology = await store.read();
    for (const { partition, position } of shown.manifest.partitions) {
      const log = topology!.partitions[partition]!.log!;
      const opened = await openJetStreamLog({ connection, cluster, partition, log });
      await opened.trim(position + 1n);
      await opened.close();
    }
  } finally {
    await connection.close();
    await repository.close();
  }
}
