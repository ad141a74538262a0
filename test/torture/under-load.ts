// A cluster under load while something is done to it, then healed, read, compared and judged. What torture
// and every cluster test have in common.
import type { LocalCluster } from '@statestore/cli';
import { checkReplicas } from '../history/checker/replicas.ts';
import type { Violation } from '../history/checker/violation.ts';
import { checkHistory, describeViolations } from '../history/history-checker.ts';
import type { AttemptLine, History, HistoryEvent, PlacementLine, ReplicaLine, RunLine } from '../history/history.ts';
import { HistoryFile } from '../history/history.ts';
import { Load } from '../load/load.ts';
import type { RecorderCounts } from '../load/recorder.ts';
import type { Eye } from './eye.ts';
import { resizedMsMax } from './faults.ts';
import { Scene } from './scene.ts';

export interface UnderLoadOptions {
  readonly cluster: LocalCluster;
  readonly eye: Eye;
  readonly seed: number;
  /** One that holds nothing yet. Default: torture. */
  readonly store?: string;
  readonly historyPath: string;
  readonly faults?: readonly string[];
  readonly smallDisks?: ReadonlySet<string>;
  readonly recoversItself?: boolean;
  /** Whether partitions become more or fewer meanwhile. */
  readonly resizes?: boolean;
  readonly thinkMsMax?: number;
  readonly print?: (text: string) => void;
}

export interface LoadReport {
  readonly history: History;
  readonly historyPath: string;
  readonly counts: RecorderCounts;
  /** What the history proves against the cluster, and answers that nothing explains. Empty: it kept its promises. */
  readonly violations: readonly Violation[];
  /**
   * Problems that gateways answered with, whatever became of the operation afterwards, while nothing was
   * done to the gateway itself: one that starts says that it is not ready.
   */
  readonly problems: readonly AttemptLine[];
  /** How long replicas took to meet after everything was healed. */
  readonly convergenceMs: number;
}

const readyTimeoutMs = 60_000;
const convergenceTimeoutMs = 30_000;

/** `work` may throw: then the cluster is healed all the same, and its error is thrown. */
export async function underLoad(
  options: UnderLoadOptions,
  work: (scene: Scene, load: Load) => Promise<void>,
): Promise<LoadReport> {
  const { cluster, eye, seed, historyPath, faults = [], store = 'torture', thinkMsMax, print = () => {} } = options;
  const history = new HistoryFile(historyPath);
  const scene = new Scene({ ...options, history });
  const endWatch = eye.watch(history);
  let load: Load | undefined;
  const resizes = options.resizes ?? faults.includes('resize');
  try {
    const { gateways } = cluster;
    const pace = thinkMsMax === undefined ? {} : { thinkMsMax };
    load = await Load.start({ seed, store, gateways, history, faults, resizes, ...pace });
    try {
      await work(scene, load);
    } finally {
      await scene.heal();
    }
    await cluster.ready(readyTimeoutMs);
    if (resizes) await eye.resized(resizedMsMax);
    await load.stop();
    await load.readEverything();
    const convergenceMs = await eye.convergence(history, convergenceTimeoutMs);
    print(`replicas met after ${Math.round(convergenceMs)} ms`);
    history.note({ type: 'end', atMs: performance.now() });
    const { counts, unexplained } = load.recorder;
    const violations = [...unexplained.map(asViolation), ...judge(history)];
    return { history, historyPath, counts, violations, problems: problemsIn(history), convergenceMs };
  } finally {
    await load?.close();
    await endWatch();
    history.close();
  }
}

function asViolation(message: string): Violation {
  return { rule: 'unexplained answer', key: '', message, events: [] };
}

function problemsIn({ others }: History): AttemptLine[] {
  const lines = others.filter((line) => line.type === 'fault');
  const isInTrouble = ({ gateway, invokedMs }: AttemptLine): boolean => {
    const ofGateway = lines.filter(({ targets, atMs }) => targets.includes(gateway) && atMs <= invokedMs);
    return ofGateway.at(-1)?.phase === 'begin';
  };
  return others
    .filter((line) => line.type === 'attempt')
    .filter((attempt) => attempt.status !== 0 && !isInTrouble(attempt));
}

/** Of a whole history, from wherever it comes. */
export function judge(history: History): Violation[] {
  const { events, others } = history;
  const head = others.find((line): line is RunLine => line.type === 'run');
  const replicas = others.filter((line): line is ReplicaLine => line.type === 'replica');
  const placements = others.filter((line): line is PlacementLine => line.type === 'placement');
  const initial = head?.initial ?? { accounts: {} };
  const violations = [...checkHistory(events, initial), ...checkReplicas(replicas, placements)];
  if (others.some(({ type }) => type === 'end')) return violations;
  return [...violations, asViolation('the history has no end: whoever made it did not get there')];
}

/** For people: what came of it. */
export function describe({ history, counts, violations, problems }: LoadReport): string {
  const outcomes = Map.groupBy(history.events, ({ outcome }) => outcome);
  const counted = [...outcomes].map(([outcome, events]) => `${events.length} ${outcome}`).join(', ');
  const lines = [
    `${history.events.length} operations (${counted}) in ${counts.attempts} attempts`,
    `${counts.refusedAttempts} attempts refused, ${counts.unknownAttempts} without a known outcome`,
    `problems answered: ${summary(problems.map(({ status, code }) => `${status} ${code}`))}`,
    `longest wait for a result: ${longestMs(history.events)} ms`,
    `operations: ${summary(history.events.filter(isOk).map(kindOf))}`,
    violations.length === 0 ? 'no violations' : `${violations.length} VIOLATIONS\n${describeViolations(violations)}`,
  ];
  return lines.join('\n');
}

function longestMs(events: readonly HistoryEvent[]): number {
  const waits = events.filter(isOk).map(({ invokedMs, returnedMs }) => returnedMs - invokedMs);
  return Math.round(waits.reduce((a, b) => Math.max(a, b), 0));
}

function isOk({ outcome }: HistoryEvent): boolean {
  return outcome === 'ok';
}

function kindOf({ operation, consistency, maxLagMs }: HistoryEvent): string {
  if (consistency === undefined) return operation.kind;
  return `${maxLagMs === undefined ? consistency : 'bounded'} ${operation.kind}`;
}

function summary(all: readonly string[]): string {
  const counts = [...Map.groupBy(all, (one) => one)].map(([one, { length }]) => [one, length] as const);
  const sorted = counts.toSorted(([, a], [, b]) => b - a);
  return sorted.length === 0 ? 'none' : sorted.map(([one, count]) => `${count} ${one}`).join(', ');
}
