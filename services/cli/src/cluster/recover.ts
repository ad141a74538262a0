// `statestore recover`: after NATS lost something. It says what it found and what it would do; `--yes` does it.
// A topology that is gone is made again from what nodes saw last; a log that is gone or too short is carried on
// from the replica that has most. What speaks against that is told, and `--force` goes on all the same.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Coordinator, LogDecision, TopologyDecision } from '@statestore/cluster';
import { checkNodeName, decideLogRecovery, decideTopology } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { accepted, clusterSettings } from '../cluster-settings.ts';
import type { Setting, SettingsOf } from '../settings.ts';
import { flag, readSettings, wholeNumber } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import { coordinated, nodesSettled } from './coordinate.ts';
import { problemsExitCode } from './status.ts';

const recoverSettings = {
  ...clusterSettings,
  partition: {
    schema: wholeNumber(0, limits.partitionsMax - 1).optional(),
    allowed: 'the number of a partition',
    help: 'look at this one alone',
    fallback: 'all',
  } satisfies Setting<number | undefined>,
  from: {
    schema: accepted(checkNodeName).optional(),
    allowed: 'the name of a node',
    help: 'carry on from the replica of this node',
    fallback: 'the one that has most',
    onlyWith: 'partition',
  } satisfies Setting<string | undefined>,
  force: flag('go on despite what speaks against it; what only other replicas have is lost'),
  yes: flag('do it'),
};

type Settings = SettingsOf<typeof recoverSettings>;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

export async function recover(argv: readonly string[]): Promise<void> {
  const settings = readSettings(
    'statestore recover',
    'Looks for what NATS has lost, and makes it anew from what nodes have.',
    recoverSettings,
    { argv, env: process.env },
  );
  if (settings === undefined) return;
  await withCluster(settings, 'recover', (connection, signal) =>
    coordinated(connection, undefined, async (coordinator) => {
      await nodesSettled(coordinator, signal);
      const present = await connection.topologyStore.read();
      const topology = present ?? (await topologyAnew(connection, coordinator, settings, signal));
      if (topology !== undefined) await logsAnew(connection, coordinator, topology, settings);
    }),
  );
}

/** Undefined: it was not made. */
/* oxlint-disable-next-line max-params -- where, by whom, how, and until when */
async function topologyAnew(
  { topologyStore, registry }: ClusterConnection,
  coordinator: Coordinator,
  { force, yes }: Settings,
  signal: AbortSignal,
): Promise<Topology | undefined> {
  print(topologyText(decideTopology(await registry.list(), { force }), force));
  process.exitCode = problemsExitCode;
  if (!yes) return undefined;
  const outcome = await coordinator.recoverTopology({ force });
  if (outcome.kind === 'refused') return undefined;
  const { epoch } = outcome.topology;
  print(`The topology is there again, of epoch ${epoch}.`);
  process.exitCode = 0;
  await nodesFollow(coordinator, epoch, signal);
  return topologyStore.read();
}

export function topologyText(decision: TopologyDecision, force: boolean): string {
  if (decision.kind === 'refused') return `There is no topology, and none can be made: ${whyText(decision.why, force)}`;
  const { lastEpoch, from, topology, despite } = decision;
  const what = `There is no topology. The newest that nodes saw is of epoch ${lastEpoch} (${from.join(', ')}): ${topology.partitions.length} partitions; it becomes epoch ${topology.epoch}.`;
  return despite.length === 0 ? what : `${what}\nDespite: ${despite.join('; ')}.`;
}

const followTimeoutMs = 30_000;

/** What nodes report of their replicas is of use once they know the topology. */
async function nodesFollow(coordinator: Coordinator, epoch: bigint, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + followTimeoutMs;
  while (!signal.aborted && performance.now() < deadlineMs) {
    const live = [...(coordinator.nodes?.values() ?? [])].filter((node) => node.live);
    if (live.length > 0 && live.every(({ report }) => BigInt(report.epoch) >= epoch)) return;
    await sleep(200, undefined, { signal }).catch(() => {});
  }
}

/* oxlint-disable-next-line max-params -- where, by whom, of what, how */
async function logsAnew(
  { logStreams }: ClusterConnection,
  coordinator: Coordinator,
  { partitions }: Topology,
  settings: Settings,
): Promise<void> {
  const { partition, force, from, yes } = settings;
  const wish = { force, ...(from === undefined ? {} : { from }) };
  const chosen = partitions.filter((placement) => partition === undefined || placement.partition === partition);
  if (chosen.length === 0) throw new StateStoreError('invalid_parameter', `there is no partition ${partition}`);
  let sound = 0;
  for (const placement of chosen) {
    const found = placement.log && (await logStreams.describe(placement.partition, placement.log.generation));
    const decision = decideLogRecovery(placement, coordinator.nodes ?? new Map(), found, wish);
    if (decision.kind === 'sound') {
      sound++;
      if (partition !== undefined) print(`partition ${partition}: nothing is to be done: ${decision.why}`);
      continue;
    }
    print(decisionText(placement, decision, force));
    if (!yes || decision.kind === 'refused') process.exitCode = problemsExitCode;
    else await carryOn(coordinator, placement, wish);
  }
  if (partition === undefined) print(`${sound} of ${chosen.length} logs have all that any replica has.`);
  if (!yes && process.exitCode === problemsExitCode) print('Nothing was changed. --yes does what can be done.');
}

async function carryOn(
  coordinator: Coordinator,
  { partition }: PartitionPlacement,
  wish: { readonly force: boolean; readonly from?: string },
): Promise<void> {
  const outcome = await coordinator.recoverLog(partition, wish);
  if (outcome.kind === 'recovered') {
    const { generation, incarnation } = outcome.log;
    print(`partition ${partition}: its log is now ${incarnation}, generation ${generation}.`);
    return;
  }
  // It changed between the two looks: most often the nodes did it themselves.
  const why = outcome.kind === 'sound' ? outcome.why : outcome.why.join('; ');
  print(`partition ${partition}: nothing was done: ${why}`);
  if (outcome.kind === 'refused') process.exitCode = problemsExitCode;
}

export function decisionText(
  { partition, log }: PartitionPlacement,
  decision: Exclude<LogDecision, { readonly kind: 'sound' }>,
  force: boolean,
): string {
  if (decision.kind === 'refused') {
    return `partition ${partition}: its log is to be carried on, and cannot be: ${whyText(decision.why, force)}`;
  }
  const { from, point, behind, lost, despite } = decision;
  return [
    `partition ${partition}: its log (generation ${log?.generation}) has lost something; it is to be carried on after position ${point.position}, from ${from}.`,
    ...(behind.length === 0 ? [] : [`  behind, and made anew from others: ${behind.join(', ')}`]),
    ...(lost.length === 0 ? [] : [`  LOST is what only these have: ${lost.join(', ')}`]),
    ...(despite.length === 0 ? [] : [`  despite: ${despite.join('; ')}`]),
  ].join('\n');
}

function whyText(why: readonly string[], force: boolean): string {
  return `${why.join('; ')}.${force ? '' : ' (--force goes on where that is possible.)'}`;
}
