// A process that conducts checkpoints, and kills itself with SIGKILL at a stage of one, or freezes with SIGSTOP: before or
// after a certain step of the repository or of the run. Told by its arguments; says "ready" when it looks for runs, and
// "frozen" before it freezes.
import { writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Repository } from '@statestore/checkpoint';
import { blocksPrefix, checkpointsPrefix, deletedPrefix, openRepository, startedPrefix } from '@statestore/checkpoint';
import type { CheckpointRuns } from '@statestore/cluster';
import { connectNats, jetStreamCheckpointRuns } from '@statestore/cluster';
import { openCheckpoints, openEmbeddedNode, ownReplicas } from '@statestore/node';
import { withCreate } from '../../contract/repository-with-create.ts';
import type { Stage } from './stages.ts';
import { cluster, fill, paces } from './stages.ts';

type Arguments = [string, string, Stage, string, string, ('SIGKILL' | 'SIGSTOP')?];
const [, , stage, natsUrl, repositoryPath, signal = 'SIGKILL'] = process.argv as unknown as Arguments;

let isOver = false;

/** Once. One that was frozen goes on. */
async function die(): Promise<void> {
  if (isOver) return;
  isOver = true;
  if (signal === 'SIGSTOP') writeSync(1, 'frozen\n');
  process.kill(process.pid, signal);
  if (signal === 'SIGKILL') await new Promise(() => {});
}

let partsWritten = 0;

/** Which objects are created at which stage: names are all that it takes to know. */
async function beforeCreate(name: string): Promise<void> {
  const isPart = name.startsWith(checkpointsPrefix) && name.includes('.partitions/');
  if (stage === 'before its checkpoint begins' && name.startsWith(startedPrefix)) await die();
  if (stage === 'before the first partition' && name.startsWith(blocksPrefix)) await die();
  if (stage === 'between partitions' && isPart && ++partsWritten === 2) await die();
  if (stage === 'before it deletes' && name.startsWith(deletedPrefix)) await die();
  if (stage === 'before the manifest' && name.startsWith(checkpointsPrefix) && !isPart) await die();
}

async function afterCreate(name: string): Promise<void> {
  const isManifest = name.startsWith(checkpointsPrefix) && !name.includes('.partitions/');
  if (stage === 'after the manifest' && isManifest) await die();
}

function killing(repository: Repository): Repository {
  return withCreate(repository, async (name, bytes, call) => {
    await beforeCreate(name);
    const outcome = await repository.create(name, bytes, call);
    await afterCreate(name);
    return outcome;
  });
}

function killingRuns(runs: CheckpointRuns): CheckpointRuns {
  return {
    run: () => runs.run(),
    async replaceRun(run, revision) {
      if (stage === 'requested' && run.state === 'running') await die();
      if (stage === 'before completed' && run.state === 'completed') await die();
      return runs.replaceRun(run, revision);
    },
    catalog: () => runs.catalog(),
    replaceCatalog: (catalog, revision) => runs.replaceCatalog(catalog, revision),
  };
}

const nats = await connectNats({ servers: [natsUrl], name: 'killed conductor' });
const node = await openEmbeddedNode({
  dataPath: join(dirname(repositoryPath), `data ${process.pid}`),
  partitions: 3,
  engine: 'memory',
  version: '0',
  onHalted: () => process.exit(1),
});
await fill(node.node, 3);
const repository = await openRepository({ type: 'folder', path: repositoryPath, concurrency: 4 });
await openCheckpoints({
  ...paces,
  cluster,
  name: 'killed',
  version: '0',
  node: node.node,
  repository: killing(repository),
  runs: killingRuns(jetStreamCheckpointRuns(nats, cluster, { replicas: 1 })),
  replicas: ownReplicas('killed', node.topology, node.node),
  settings: { schedule: { minIntervalMs: 0, suspend: false }, level: 1, deadlineMs: 60_000, maxCheckpoints: 2 },
});
process.stdout.write('ready\n');
