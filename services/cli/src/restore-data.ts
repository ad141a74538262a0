// `statestore restore --data`: a data folder for a node on its own that begins with a checkpoint, or with any archived
// moment. Of clusters: cluster/restore.ts.
import { resolve } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import type { MaterialiseProgress, RestoreMoment } from '@statestore/node';
import { reachLines, restoreFolder } from '@statestore/node';
import { stopSignal } from './running.ts';

export interface RestoreDataOptions {
  readonly data: string;
  readonly source: Repository;
  readonly sourceCluster: string | undefined;
  readonly moment: RestoreMoment;
  readonly partitions: number | undefined;
  readonly tell: (line: string) => void;
  readonly onProgress: (progress: MaterialiseProgress) => void;
}

export async function restoreData(options: RestoreDataOptions): Promise<void> {
  const { data, tell, ...rest } = options;
  const dataPath = resolve(data);
  const { positions, entries, clockNanos, reached } = await restoreFolder({
    ...rest,
    dataPath,
    signal: stopSignal(),
    onPlanned: ({ manifest, passedOver }) => {
      for (const why of passedOver) tell(`Passed over: ${why}`);
      tell(`Begins from checkpoint ${manifest.id} of ${manifest.cluster}.`);
    },
  });
  for (const line of reachLines(reached)) tell(line);
  const upTo = clockNanos === 0n ? 'its beginning' : new Date(Number(clockNanos / 1_000_000n)).toISOString();
  tell(`${dataPath} has the state up to ${upTo}: ${positions.length} partitions, ${entries} entries.`);
}
