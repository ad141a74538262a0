// Opening a replica: its data and the log that the topology names are looked at, and it is said what follows.
import { randomBytes } from 'node:crypto';
import type { PartitionLog, StateStoreError } from '@statestore/core';
import { binaryFromBytes, limits } from '@statestore/core';
import type { HaltCause } from '@statestore/link';
import { type ChainAt, notedChains } from '../chain-notes.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log, LogRecord } from '../log/log.ts';
import { slotsChange } from './ended-slots.ts';
import type { FoundLog, HeldState, Judgement } from './judge-log.ts';
import { judgeLog, judgeSame } from './judge-log.ts';
import { holdsLast } from './holds-last.ts';
import { findLogEnd } from './log-end.ts';
import { unlessAborted } from './pause.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';
import type { ReplicaFacts, ReplicaStore } from './replica-store.ts';
import { isOf } from './replica-store.ts';
import type { ReplicaHalt, RunningReplicaOptions } from './running-replica-options.ts';
import { RunningReplica } from './running-replica.ts';

export interface OpeningJob {
  readonly partition: number;
  readonly store: ReplicaStore;
  readonly log: PartitionLog;
  /** As it is now. */
  readonly wanted: () => Assignment | undefined;
  readonly context: ReplicaContext;
  readonly signal: AbortSignal;
  /** Whether a log that is long is to be followed from its beginning on: nothing else was to be had. */
  readonly replays: boolean;
  /** What the data are; each time that is known better. */
  readonly onFacts: (facts: ReplicaFacts) => void;
  /** Its own chains, where what it has is not opened further. */
  readonly onChains: (chainAt: ChainAt) => void;
  /** Of the replica that was opened, later. */
  readonly onHalted: (halt: ReplicaHalt, reason: StateStoreError) => void;
}

export type Opening =
  /** To be started; engine and log are its own. */
  | { readonly kind: 'following'; readonly running: RunningReplica }
  /** `orFollow`: the log has everything, too; it is only long. */
  | {
      readonly kind: 'copy';
      readonly cause: HaltCause;
      readonly why: string;
      readonly kept?: boolean;
      readonly orFollow?: boolean;
    }
  | { readonly kind: 'halt'; readonly cause: HaltCause; readonly why: string; readonly ahead?: boolean };

export async function openReplica(job: OpeningJob): Promise<Opening> {
  const { store, onFacts, onChains } = job;
  const { engine, facts, condemned } = await store.open();
  let opening: Opening | undefined;
  const why = condemned === undefined ? await whyOver(store, facts, job.log) : undefined;
  if (why !== undefined) {
    await engine.close();
    await store.remove();
    job.context.onNotice('data of a partition that is over make way', { partition: job.partition, why });
    return openReplica(job);
  }
  try {
    onFacts(facts);
    if (condemned !== undefined) return { kind: 'copy', ...condemned };
    const { judgement, present, found } = await judge(job, engine, facts);
    onFacts(present);
    if (judgement.kind === 'copy' || judgement.kind === 'halt') {
      onChains(notedChains(engine));
      return judgement;
    }
    if (isLong(job, facts, found)) {
      const why = `the log has ${found!.last} batches, and nothing of them is here`;
      return { kind: 'copy', cause: 'log_trimmed', why, orFollow: true };
    }
    const opened = await openLog(job);
    const running: RunningReplica = new RunningReplica(
      runningOptions(job, () => running),
      opened,
      engine,
      present,
    );
    opening = { kind: 'following', running };
    guard(running, job.context);
    return opening;
  } finally {
    if (opening === undefined) await engine.close();
  }
}

/** Of an earlier partition of this number, or of one that did not come to be: nothing leads from there to this log. */
async function whyOver(
  { folder }: ReplicaStore,
  { incarnation, ownsNothing }: ReplicaFacts,
  log: PartitionLog,
): Promise<string | undefined> {
  if (incarnation === undefined || incarnation === log.incarnation || incarnation === log.continues?.incarnation)
    return undefined;
  const isPrepared = isOf(await folder.prepared(), incarnation);
  if (ownsNothing !== true && !isPrepared) return undefined;
  return `these data are of ${incarnation}: of a partition that ${isPrepared ? 'did not come to be' : 'was merged into another one'}`;
}

/** Whether a checkpoint is worth looking for, though the log has everything. */
function isLong({ replays, context }: OpeningJob, { position, incarnation }: HeldState, found?: FoundLog): boolean {
  if (replays || context.options.repository === undefined) return false;
  return position === 0n && incarnation === undefined && (found?.last ?? 0n) >= limits.restoreWorthBatches;
}

/** As judgeLog, on what the log is now; a log that carries on from exactly here is adopted and judged again. */
async function judge(
  job: OpeningJob,
  engine: Engine,
  facts: ReplicaFacts,
): Promise<{
  readonly judgement: Exclude<Judgement, { readonly kind: 'adopt' }>;
  readonly present: ReplicaFacts;
  readonly found?: FoundLog | undefined;
}> {
  const { partition, store, log, context, signal } = job;
  const heard = (): bigint => context.peers.highest(partition, log.incarnation);
  const own = facts.incarnation === log.incarnation ? facts.position : 0n;
  const { kind, found } = await findLogEnd({
    find: () => findLog(context, partition, log),
    incarnation: log.incarnation,
    heard: () => (own > heard() ? own : heard()),
    time: context.time,
    signal,
  });
  // Others went on since it was asked: what it was asked for is what counts.
  const missing = kind === 'regressed' ? heard() : 0n;
  const judgement = judgeLog(facts, log, found, { heard: missing, holdsLast: await isHeld(job, facts, found) });
  if (judgement.kind !== 'adopt') return { judgement, present: facts, found };
  await store.adopt(engine, log.incarnation);
  const present = { ...facts, incarnation: log.incarnation };
  return { judgement: judgeSame(present, log, found, { heard: missing }), present };
}

/** As holdsLast, of a log that is opened for that. */
export async function isHeld(
  job: Pick<OpeningJob, 'partition' | 'log' | 'context' | 'signal'>,
  facts: HeldState,
  found: FoundLog | undefined,
): Promise<boolean | undefined> {
  const { incarnation } = job.log;
  if (facts.incarnation !== incarnation || found?.incarnation !== incarnation) return undefined;
  if (facts.lastNanos === undefined) return undefined;
  const log = await openLog(job);
  try {
    return await holdsLast(log, facts, found, job.signal);
  } finally {
    await log.close();
  }
}

/** What the log's stream says of itself. Rejects where nobody can be asked. */
export async function findLog(
  { options }: Pick<ReplicaContext, 'options'>,
  partition: number,
  { generation }: PartitionLog,
): Promise<FoundLog | undefined> {
  const found = await options.logStreams.describe(partition, generation);
  if (found === undefined) return undefined;
  const { first, last, sealed } = found;
  return { incarnation: found.log.incarnation, first, last, ...(sealed === true ? { sealed } : {}) };
}

async function openLog({
  partition,
  log,
  context,
  signal,
}: Pick<OpeningJob, 'partition' | 'log' | 'context' | 'signal'>): Promise<Log> {
  const opening = context.options.openLog(partition, log);
  try {
    return await unlessAborted(opening, signal);
  } catch (error) {
    // It may still come, and nobody else would close it.
    void opening.then((late) => late.close()).catch(() => undefined);
    throw error;
  }
}

function guard(running: RunningReplica, { diskLevel, connected }: ReplicaContext): void {
  if (diskLevel() === 'critical') running.log.hold('disk');
  if (!connected()) running.away();
}

function runningOptions(job: OpeningJob, running: () => RunningReplica): RunningReplicaOptions {
  const { partition, log, wanted, context, onHalted } = job;
  const { options, peers, time, exchange, recorder, onNotice, reshapes } = context;
  return {
    partition,
    node: options.name,
    log,
    time,
    // What an earlier opening left under way may still arrive: it must not be taken for a batch of this one.
    proposer: binaryFromBytes(randomBytes(16)),
    exchange,
    openLog: () => options.openLog(partition, log),
    findLog: () => findLog(context, partition, log),
    replicas: () => wanted()?.placement.replicas ?? [],
    expected: () => livePeers(wanted(), context),
    heard: () => peers.highest(partition, log.incarnation),
    onHeard: (position) => peers.heard(partition, log.incarnation, position),
    sweeps: () => sweeps(wanted(), context),
    // By the topology alone: who runs is not known where all begin at once.
    asksTime: () => wanted()?.placement.replicas[0] === options.name,
    gate: {
      isFor: ({ bytes }) => slotsChange(bytes) !== undefined,
      pass: (record, signal) => passSlots(job, running(), record, signal),
    },
    onApplied: (state) => reshapes.applied(partition, state),
    keepsForeign: () => reshapes.keepsForeign(partition, running().present.state),
    ...(options.flushIntervalMs === undefined ? {} : { flushIntervalMs: options.flushIntervalMs }),
    ...(options.proofInterval === undefined ? {} : { proofInterval: options.proofInterval }),
    onAppended: (outcome, bytes, durationMs) => recorder.appended(outcome, bytes, durationMs),
    onMismatch: (details) => {
      recorder.mismatched(partition);
      onNotice('the hashes of replicas differ', { partition, ...details });
    },
    onHalted,
  };
}

/** Where what is to be applied cannot be had here, the replica is built from one that has it. */
/* oxlint-disable-next-line max-params -- what passes, and where */
async function passSlots(
  { store, context }: OpeningJob,
  running: RunningReplica,
  { bytes }: LogRecord,
  signal: AbortSignal,
): Promise<void> {
  const why = await context.reshapes.pass(running, slotsChange(bytes)!, signal);
  if (why === undefined || signal.aborted) return;
  await store.condemn({ cause: 'log_trimmed', why });
  if (signal.aborted) return;
  const closed = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  running.halt('log_trimmed', why);
  await closed;
}

function livePeers(wanted: Assignment | undefined, { peers }: ReplicaContext): readonly string[] {
  if (wanted === undefined) return [];
  return peers
    .replicasOf(wanted.placement)
    .flatMap(({ live, report, replica }) => (live && replica.state === 'running' ? [report.name] : []));
}

/** The first replica that runs does it for all. */
function sweeps(wanted: Assignment | undefined, { peers, options: { name } }: ReplicaContext): boolean {
  if (wanted?.serving !== true) return false;
  const others = peers.replicasOf(wanted.placement);
  const runs = (node: string): boolean =>
    others.some(({ live, report, replica }) => report.name === node && live && replica.state === 'running');
  return wanted.placement.replicas.find((node) => node === name || runs(node)) === name;
}
