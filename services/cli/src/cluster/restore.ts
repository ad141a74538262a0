// `statestore restore`: makes the topology of a new cluster whose partitions begin with the states of a checkpoint, or of
// any moment that a checkpoint and the archive lead to. Its nodes then restore themselves. With --data it makes the data
// folder of a node on its own instead (restore-data.ts).
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { Repository, RepositorySettings } from '@statestore/checkpoint';
import {
  intoFrom,
  intoTable,
  isCheckpointId,
  openRepository,
  repositoryFrom,
  repositoryTable,
} from '@statestore/checkpoint';
import { checkClusterName } from '@statestore/cluster';
import { limits, StateStoreError, type Topology } from '@statestore/core';
import type { BegunLogsOptions, BegunOptions, MaterialiseProgress, RestoreMoment } from '@statestore/node';
import {
  begunWith,
  describeBegunLogs,
  initialStateOf,
  momentForms,
  parseMoment,
  prepareRestore,
  reachLines,
  restoredGeneration,
} from '@statestore/node';
import { z } from 'zod';
import { accepted, clusterSettings } from '../cluster-settings.ts';
import { restoreData } from '../restore-data.ts';
import type { Setting, SettingsOf } from '../settings.ts';
import { readSettings, wholeNumber } from '../settings.ts';
import { version } from '../version.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import { coordinated } from './coordinate.ts';
import { placingSettings } from './placing-settings.ts';

const restoreSettings = {
  ...clusterSettings,
  data: {
    schema: z.string().min(1).optional(),
    allowed: 'a folder that is absent or empty',
    help: 'makes the data folder of a node on its own, and no cluster',
    fallback: 'none: a cluster',
    notWith: 'nats',
  } satisfies Setting<string | undefined>,
  ...repositoryTable,
  fromCluster: {
    schema: accepted(checkClusterName).optional(),
    allowed: 'the name of a cluster',
    help: 'whose checkpoints',
    fallback: 'those of the only cluster that has any there',
  } satisfies Setting<string | undefined>,
  checkpoint: {
    schema: z.string().refine(isCheckpointId).optional(),
    allowed: 'the id of a checkpoint, or leave it out',
    help: 'this checkpoint as it is',
    notWith: 'to',
  } satisfies Setting<string | undefined>,
  to: {
    schema: z
      .string()
      .refine((text) => parseMoment(text) !== undefined)
      .transform((text) => parseMoment(text)!)
      .optional(),
    allowed: momentForms,
    help: 'the moment to restore to, from a checkpoint before it and the archive',
    fallback: 'newest',
  } satisfies Setting<RestoreMoment | undefined>,
  into: {
    schema: z.string().min(1).optional(),
    allowed: 'file:///PATH or s3://BUCKET/PREFIX, as --repository',
    help: 'repository of the new cluster',
    fallback: 'the same',
    secret: true,
    notWith: 'data',
  } satisfies Setting<string | undefined>,
  ...intoTable,
  partitions: {
    schema: wholeNumber(1, limits.partitionsMax).optional(),
    allowed: `1 to ${limits.partitionsMax}`,
    help: 'how many partitions the new cluster has',
    fallback: 'as many as the checkpoint',
  } satisfies Setting<number | undefined>,
  ...placingSettings,
  scratch: {
    schema: z.string().min(1).default(tmpdir()),
    allowed: 'the path of a folder',
    help: 'where states are brought to the moment; it takes as much as the largest partition, or as all with --partitions',
    fallback: tmpdir(),
  } satisfies Setting<string>,
};

type RestoreSettings = SettingsOf<typeof restoreSettings>;

export async function restore(argv: readonly string[]): Promise<void> {
  const description = 'Makes the topology of a new cluster that begins with a checkpoint, or with any archived moment.';
  const settings = readSettings('statestore restore', description, restoreSettings, { argv, env: process.env });
  if (settings === undefined) return;
  const from = repositoryFrom(settings);
  if (from === undefined) {
    throw new StateStoreError('invalid_settings', '--repository is missing; it says where the checkpoint is', {
      hint: 'See statestore restore --help.',
    });
  }
  if (settings.data !== undefined) return ofOneNode(settings, settings.data, from);
  const into = intoFrom(settings.into, settings, from);
  const source = await openRepository(from);
  try {
    const target = into === undefined ? source : await openRepository(into);
    try {
      await withCluster(settings, 'restore', (connection, signal) =>
        run(settings, { source, target }, connection, signal),
      );
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/* oxlint-disable-next-line max-params -- what was asked for, where to, and where from */
async function ofOneNode(settings: RestoreSettings, data: string, from: RepositorySettings): Promise<void> {
  const { fromCluster: sourceCluster, partitions } = settings;
  const source = await openRepository(from);
  try {
    const moment = momentOf(settings);
    await restoreData({ data, source, sourceCluster, moment, partitions, tell, onProgress: teller() });
  } finally {
    await source.close();
  }
}

function momentOf({ checkpoint, to = { kind: 'newest' } }: RestoreSettings): RestoreMoment {
  if (to.kind === 'time' && to.nanos > BigInt(Date.now()) * 1_000_000n) {
    throw new StateStoreError('invalid_settings', '--to is a time that has not come yet', {
      hint: 'leave it out, or say newest, for everything that is archived',
    });
  }
  return checkpoint === undefined ? to : { kind: 'checkpoint', id: checkpoint };
}

/* oxlint-disable-next-line max-params -- what withCluster gives, and what was opened before */
async function run(
  settings: RestoreSettings,
  { source, target }: { readonly source: Repository; readonly target: Repository },
  connection: ClusterConnection,
  signal: AbortSignal,
): Promise<void> {
  const { cluster, fromCluster, partitions, replicas, logReplicas, waitNodes } = settings;
  if (await isMade(connection, settings.checkpoint)) return;
  await target.probe({ signal });
  // Of its own, also where another one has its name.
  const lineage = randomUUID();
  const prepared = await prepareRestore({
    source,
    into: target,
    sourceCluster: fromCluster,
    moment: momentOf(settings),
    cluster,
    lineage,
    partitions,
    scratchPath: settings.scratch,
    conductor: 'statestore restore',
    version,
    random: (bytes) => randomBytes(bytes),
    signal,
    onPlanned: ({ manifest, passedOver }) => {
      for (const why of passedOver) tell(`Passed over: ${why}`);
      tell(`Begins from checkpoint ${manifest.id} of ${manifest.cluster}.`);
    },
    onProgress: teller(),
  });
  const { manifest, isNew, clockNanos, reached } = prepared;
  for (const line of reachLines(reached)) tell(line);
  const what = isNew ? 'made' : 'as it is';
  tell(`The state is that of checkpoint ${manifest.id} (${what}), up to ${timeOf(clockNanos)}.`);
  // Sessions and cursors of before are of earlier logs.
  const generation = await restoredGeneration([source, target], signal);
  const from = initialStateOf(manifest, { generation, lineage });
  const options = { partitions: manifest.partitions.length, replicationFactor: replicas, logReplicas, from };
  const { timeout } = settings;
  const giveUp = timeout === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
  const wait = { signal: giveUp, ...(waitNodes === undefined ? {} : { nodes: waitNodes }) };
  const outcome = await coordinated(connection, undefined, (coordinator) =>
    coordinator.initialise(options, wait).catch(async (error: unknown) => {
      throw await begunOtherwise(error, { repository: target, cluster, connection, signal, generation });
    }),
  );
  if (outcome.kind === 'present' && outcome.topology.restoredFrom?.checkpoint !== manifest.id)
    throw present(outcome.topology.restoredFrom?.checkpoint);
  await tellLogs(connection, outcome.topology, { repository: target, cluster, checkpoint: manifest.id, signal });
  tell(
    `Made ${manifest.partitions.length} partitions of ${replicas} replicas. Nodes restore them now: statestore status.`,
  );
}

/** The cluster is there, whether that can be told now or not. */
async function tellLogs(
  { logStreams }: ClusterConnection,
  { partitions: placements, lineage }: Topology,
  where: Pick<BegunLogsOptions, 'repository' | 'cluster' | 'checkpoint' | 'signal'>,
): Promise<void> {
  const describe: BegunLogsOptions['describe'] = (partition) =>
    logStreams.describe(partition, placements.find((each) => each.partition === partition)?.log?.generation ?? 1);
  try {
    const partitions = placements.map(({ partition }) => partition);
    await describeBegunLogs({ ...where, lineage, partitions, describe, nowMs: Date.now });
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    tell(`The repository was not told of the new logs; nodes that archive them do it: ${error.message}`);
  }
}

/** Throws where there is a topology that begins with anything but this checkpoint. */
async function isMade({ topologyStore }: ClusterConnection, checkpoint: string | undefined): Promise<boolean> {
  const topology = await topologyStore.read();
  if (topology === undefined) return false;
  const from = topology.restoredFrom?.checkpoint;
  if (from === undefined || from !== checkpoint) throw present(from);
  tell(`The cluster begins with checkpoint ${from} already. Nodes restore it: statestore status.`);
  return true;
}

function present(from: string | undefined): StateStoreError {
  const what = from === undefined ? '' : `, which begins with checkpoint ${from}`;
  const done = from === undefined ? '' : '; if that is of this restore, it is done: statestore status';
  const message = `there is a topology already${what}; only a new cluster can be restored`;
  return new StateStoreError('invalid_settings', message, {
    hint: `nothing of it was changed; give the new cluster another name, or an empty NATS${done}`,
  });
}

/** The error; where an interrupted restore made logs that carry on another state, with how to go on with that one. */
async function begunOtherwise(
  error: unknown,
  where: Pick<BegunOptions, 'repository' | 'cluster' | 'signal'> & {
    readonly connection: ClusterConnection;
    /** The latest that the log may be of. */
    readonly generation: number;
  },
): Promise<unknown> {
  if (!(error instanceof StateStoreError) || error.code !== 'data_format') return error;
  const { logStreams } = where.connection;
  const describe: BegunOptions['describe'] = async (partition) => {
    for (let { generation } = where; generation > 0; generation--) {
      const described = await logStreams.describe(partition, generation);
      if (described !== undefined) return described;
    }
    return undefined;
  };
  const begun = await begunWith({ ...where, describe });
  if (begun === undefined) return error;
  const message = `${error.message}: an interrupted restore began with checkpoint ${begun}`;
  return new StateStoreError('data_format', message, {
    hint: `--checkpoint ${begun}, of ${where.repository.location}, goes on with it; or give the cluster another name`,
    cause: error,
  });
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Each step of each partition, and how far it is by tenths. */
function teller(): (progress: MaterialiseProgress) => void {
  let last = '';
  return ({ partition, step, part, position }) => {
    const far = part === undefined ? '' : ` ${Math.floor(part * 10) * 10}%`;
    const at = `partition ${partition}: ${step}${far}`;
    if (at === last) return;
    last = at;
    tell(position === undefined ? at : `${at}, at ${position}`);
  };
}

function timeOf(nanos: bigint): string {
  return nanos === 0n ? 'its beginning' : new Date(Number(nanos / 1_000_000n)).toISOString();
}
