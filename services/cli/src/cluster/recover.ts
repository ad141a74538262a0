// `statestore recover`: when NATS lost its topology or logs, puts them back from what the nodes have. Without
// --yes it only says what it found and would do. Ends with 3 where something is left to be done. What it would do
// for a log is decided and said in recovery-verdict.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogDescription, RecoveryPoint, TopologyDecision } from '@statestore/cluster';
import { checkNodeName, decideTopology, recoverLog } from '@statestore/cluster';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { accepted, clusterSettings } from '../cluster-settings.ts';
import type { Setting, SettingsOf } from '../settings.ts';
import { flag, readSettings, wholeNumber } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import { ClusterObserver } from './observer.ts';
import type { RecoveringFrom } from './recovery-verdict.ts';
import { findings, isUnsettled, judgePartition, objectionsTo, verdictLines } from './recovery-verdict.ts';
import { problemsExitCode } from './status.ts';

const recoverSettings = {
  ...clusterSettings,
  partition: {
    schema: wholeNumber(0, limits.partitionsMax - 1).optional(),
    allowed: `0 to ${limits.partitionsMax - 1}`,
    help: 'only this partition',
    fallback: 'all',
  } satisfies Setting<number | undefined>,
  from: {
    schema: accepted(checkNodeName).optional(),
    allowed: 'the name of a node',
    help: 'carry on from the replica of this node',
    fallback: 'the one that has most',
    onlyWith: 'partition',
  } satisfies Setting<string | undefined>,
  yes: flag('do it; without, nothing is changed'),
  force: flag('also where something acknowledged may be lost'),
};

/** Nodes find out within this time that the topology is gone, or what became of a log. */
const settleMs = limits.topologyCheckMs + limits.logAbsentConfirmMs + 30_000;
const pollMs = 250;

export async function recover(argv: readonly string[]): Promise<void> {
  const description = 'Puts back what NATS lost, topology and logs, from what the nodes have.';
  const settings = readSettings('statestore recover', description, recoverSettings, { argv, env: process.env });
  if (settings === undefined) return;
  await withCluster(settings, 'recover', async (connection, signal) => {
    const observer = await ClusterObserver.open(connection);
    try {
      const isWhole = await new Recoverer(connection, observer, settings, signal).run();
      process.exitCode = isWhole ? 0 : problemsExitCode;
    } finally {
      await observer.close();
    }
  });
}

class Recoverer {
  readonly #connection: ClusterConnection;
  readonly #observer: ClusterObserver;
  readonly #settings: SettingsOf<typeof recoverSettings>;
  readonly #signal: AbortSignal;

  /* oxlint-disable-next-line max-params -- what it works with */
  constructor(
    connection: ClusterConnection,
    observer: ClusterObserver,
    settings: SettingsOf<typeof recoverSettings>,
    signal: AbortSignal,
  ) {
    this.#connection = connection;
    this.#observer = observer;
    this.#settings = settings;
    this.#signal = signal;
  }

  /** Whether nothing is left to be done. */
  async run(): Promise<boolean> {
    const { yes, partition } = this.#settings;
    await this.#observer.settled((ms) => this.#pause(ms));
    const topology = await this.#topology();
    if (topology === undefined) return false;
    const placements = topology.partitions.filter((each) => partition === undefined || each.partition === partition);
    if (placements.length === 0) {
      const have = topology.partitions.map((each) => each.partition).join(', ');
      throw new StateStoreError('invalid_settings', `there is no partition ${partition}; there are ${have}`);
    }
    const isWhole = await this.#sideBySide(placements);
    if (!isWhole && !yes) print('Nothing was changed. Do it with --yes.');
    return isWhole;
  }

  /** Whether nothing is left to be done. Each one waits for others most of the time. Where one fails, no more are begun. */
  async #sideBySide(placements: readonly PartitionPlacement[]): Promise<boolean> {
    const left = [...placements];
    let isWhole = true;
    const one = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        try {
          if (!(await this.#partition(next))) isWhole = false;
        } catch (error) {
          left.length = 0;
          throw error;
        }
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: limits.recoverPartitionsMax }, one));
    const failed = ends.filter((end) => end.status === 'rejected').map(({ reason }) => reason as unknown);
    // All but one are told here; that one ends the command.
    for (const error of failed.slice(1)) print(`  ${error instanceof Error ? error.message : String(error)}`);
    if (failed.length > 0) throw failed[0];
    return isWhole;
  }

  /** The present one, or the one that is put in its place. */
  async #topology(): Promise<Topology | undefined> {
    const { topologyStore } = this.#connection;
    const { yes, force } = this.#settings;
    const present = await this.#patiently(() => topologyStore.read());
    if (present !== undefined) {
      print(`topology: epoch ${present.epoch}; nothing to do`);
      return present;
    }
    await this.#until(() => this.#decideTopology(false).kind === 'restore', settleMs);
    const careful = this.#decideTopology(false);
    const decision = careful.kind === 'restore' ? careful : this.#decideTopology(true);
    if (decision.kind === 'refused') {
      print('topology: there is none, and none can be put back:', ...indented(decision.why));
      print('  A new cluster is made with `statestore init`.');
      return undefined;
    }
    const { topology, lastEpoch, from, despite } = decision;
    const what = `epoch ${lastEpoch}, as ${from.toSorted().join(', ')} saw it, is put back as epoch ${topology.epoch}`;
    const isAllowed = despite.length === 0 || force;
    print(`topology: lost; ${isAllowed ? '' : 'only with --force: '}${what}`, ...indented(despite));
    if (!isAllowed) return undefined;
    if (!yes) {
      // Nodes look at their logs only when there is a topology.
      print('  What became of the logs is seen when it is back.', 'Nothing was changed. Do it with --yes.');
      return undefined;
    }
    // Called again after an unknown outcome it finds its own there, or another one's.
    const outcome = await this.#patiently(() => topologyStore.restore(topology));
    const now = await this.#patiently(() => topologyStore.read());
    print(outcome === 'replaced' ? '  done' : `  there is one of epoch ${now?.epoch} now`);
    if (now !== undefined) await this.#until(() => this.#isFollowed(now), settleMs);
    return now;
  }

  #decideTopology(force: boolean): TopologyDecision {
    const reports = [...this.#observer.nodes.values()].map(({ report }) => report);
    return decideTopology(reports, { force });
  }

  #isFollowed({ epoch }: Topology): boolean {
    const live = [...this.#observer.nodes.values()].filter(({ confirmed }) => confirmed);
    return live.every(({ report }) => BigInt(report.epoch) >= epoch);
  }

  async #partition(placement: PartitionPlacement): Promise<boolean> {
    const { partition } = placement;
    const { yes, force, from } = this.#settings;
    // Nodes may be recovering it by themselves.
    const named = (): PartitionPlacement =>
      this.#observer.topology?.partitions.find((each) => each.partition === partition) ?? placement;
    const { now, stream } = await this.#settled(named);
    const { nodes } = this.#observer;
    const verdict = judgePartition(now, nodes, stream, { from });
    print(...findings(now, nodes, stream), ...verdictLines(verdict, force));
    if (verdict.kind === 'sound') return true;
    if (verdict.kind === 'refused' || !yes || (verdict.against.length > 0 && !force)) return false;
    const { decision } = verdict;
    const { position } = decision.point;
    const incarnation = now.log!.incarnation;
    const decide = (fenced: PartitionPlacement, epoch: bigint): Promise<RecoveryPoint> =>
      this.#decideAgain(fenced, epoch, decision);
    const log = await this.#patiently(async () => {
      const there = await this.#describe(named());
      // It may be well again since it was judged, or since the last attempt.
      if (judgePartition(named(), this.#observer.nodes, there, { from }).kind === 'sound') return undefined;
      return recoverLog(
        this.#connection,
        { partition, incarnation, position, decide },
        { force, signal: this.#signal },
      );
    });
    if (log === undefined) {
      print(`partition ${partition}: nothing to do: the log is well again`);
      return true;
    }
    print(
      `partition ${partition}: done: log ${log.incarnation} (generation ${log.generation}), after position ${log.continues?.position}`,
    );
    return true;
  }

  /** When nodes have nothing new to say of a partition, or after a while. `epoch`: that they are to have heard of. */
  async #settled(
    named: () => PartitionPlacement,
    epoch = 0n,
  ): Promise<{ readonly now: PartitionPlacement; readonly stream: LogDescription | undefined }> {
    let stream: LogDescription | undefined;
    let now = named();
    const isSettled = async (): Promise<boolean> => {
      now = named();
      stream = await this.#patiently(() => this.#describe(now));
      return !isUnsettled(now, this.#observer.nodes, stream, epoch);
    };
    await this.#until(isSettled, settleMs);
    return { now, stream };
  }

  async #describe({ partition, log }: PartitionPlacement): Promise<LogDescription | undefined> {
    return log === undefined ? undefined : this.#connection.logStreams.describe(partition, log.generation);
  }

  /** By what nodes say since the log was fenced. Nothing more may be lost than was told when it was decided first. */
  async #decideAgain(fenced: PartitionPlacement, epoch: bigint, first: RecoveringFrom): Promise<RecoveryPoint> {
    const { force, from } = this.#settings;
    const { stream } = await this.#settled(() => fenced, epoch);
    const verdict = judgePartition(fenced, this.#observer.nodes, stream, { from, epoch });
    const objections = objectionsTo(verdict, first, force);
    if (verdict.kind === 'recover' && objections.length === 0) return verdict.decision.point;
    print(...findings(fenced, this.#observer.nodes, stream), ...verdictLines(verdict, force));
    throw new StateStoreError('data_format', `it is not as it was when it was decided: ${objections.join('; ')}`, {
      hint: 'its log takes nothing any more; the same command tells what can be done now',
    });
  }

  async #until(isSo: () => boolean | Promise<boolean>, ms: number): Promise<void> {
    const untilMs = performance.now() + ms;
    while (!(await isSo()) && performance.now() < untilMs) await this.#pause(pollMs);
  }

  /** Again, for as long as NATS has no leader. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const untilMs = performance.now() + settleMs;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (this.#signal.aborted) await this.#pause(0);
        if (!(error instanceof StateStoreError) || !error.retryable || performance.now() > untilMs) throw error;
      }
      await this.#pause(pollMs);
    }
  }

  /** Rejects when interrupted: every step can be begun again. */
  async #pause(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: this.#signal });
    } catch (cause) {
      const hint = 'what was done stays; the same command goes on from there';
      throw new StateStoreError('unavailable', 'interrupted', { hint, cause });
    }
  }
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `    ${line}`);
}

function print(...lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}
