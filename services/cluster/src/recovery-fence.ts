// The fence in front of a log that is to be carried on: its stream is sealed, and then the topology gets a new
// epoch without being changed otherwise. What a node reports that acts on this epoch it reports after the seal. What
// a replica applies after such a report can only be in the sealed stream, whose end is looked at once more later.
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Clock } from './clock.ts';
import type { LogDescription, LogStreams } from './log-streams.ts';
import type { TopologyStore } from './topology-store.ts';

export interface FencedLog {
  readonly partition: number;
  /** UUID of the log that was lost. */
  readonly incarnation: string;
  /** After which it is to be carried on, as far as is known before the fence: a stream that has more is left as it is. */
  readonly position: bigint;
}

export interface Fence {
  /** Of the topology of this epoch. */
  readonly placement: PartitionPlacement;
  readonly epoch: bigint;
  /** Of the log that was lost. */
  readonly generation: number;
  /** Copies that a log has inside NATS. */
  readonly logReplicas: number;
  /** The old stream when it was sealed; undefined: there was none, or another one in its place. */
  readonly found: LogDescription | undefined;
  readonly sealedAtMs: number;
}

export interface FenceOptions {
  /** Also where the stream has more. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

interface NamedLog {
  readonly topology: Topology;
  readonly placement: PartitionPlacement;
  readonly log: PartitionLog;
}

export async function raiseFence(
  {
    topologyStore,
    logStreams,
    clock,
  }: {
    readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'>;
    readonly logStreams: LogStreams;
    readonly clock: Clock;
  },
  lost: FencedLog,
  { force, signal }: FenceOptions,
): Promise<
  | { readonly kind: 'fenced'; readonly fence: Fence }
  /** The topology names another log already. */
  | { readonly kind: 'replaced'; readonly log: PartitionLog }
> {
  const { partition, incarnation } = lost;
  signal.throwIfAborted();
  const { log } = await namedLog(topologyStore, partition);
  if (log.incarnation !== incarnation) return { kind: 'replaced', log };
  const { generation } = log;
  // A refusal leaves it as it was. What comes between is seen when it is looked at again.
  if (!force) refuseMore(await lookAt(logStreams, lost, generation), lost);
  // Also where none was found: whoever answered may not know.
  await logStreams.seal(partition, generation, incarnation);
  const sealedAtMs = clock.elapsedMs();
  const found = await lookAt(logStreams, lost, generation);
  for (let attempt = 0; attempt < limits.topologyAttemptsMax; attempt++) {
    signal.throwIfAborted();
    const { topology, placement, log: named } = await namedLog(topologyStore, partition);
    if (named.incarnation !== incarnation) return { kind: 'replaced', log: named };
    // Only an epoch that is given out here is surely later than the seal: what was read may be old.
    const epoch = topology.epoch + 1n;
    if (await touched(topologyStore, { ...topology, epoch })) {
      const logReplicas = topology.spec?.logReplicas ?? 1;
      return { kind: 'fenced', fence: { placement, epoch, generation, logReplicas, found, sealedAtMs } };
    }
    await stepBack(clock, signal);
  }
  throw new StateStoreError(
    'unavailable',
    `the topology changed ${limits.topologyAttemptsMax} times while the log of partition ${partition} was fenced`,
    { retryAfterMs: 1000 },
  );
}

/** Others change the topology as well, perhaps for a partition each: not all of them again at once. */
export function stepBack(clock: Clock, signal: AbortSignal): Promise<void> {
  return elapsed(clock, clock.elapsedMs() + Math.random() * limits.recoverStepBackMs, signal);
}

async function touched(topologyStore: Pick<TopologyStore, 'replace'>, next: Topology): Promise<boolean> {
  try {
    return (await topologyStore.replace(next)) === 'replaced';
  } catch (error) {
    if (error instanceof StateStoreError && error.code === 'outcome_unknown') return false;
    throw error;
  }
}

/** Rejects with `unavailable` where the topology names none. */
export async function namedLog(topologyStore: Pick<TopologyStore, 'read'>, partition: number): Promise<NamedLog> {
  const topology = await topologyStore.read();
  const placement = topology?.partitions.find((each) => each.partition === partition);
  if (topology !== undefined && placement?.log !== undefined) return { topology, placement, log: placement.log };
  throw new StateStoreError('unavailable', `the topology names no log of partition ${partition}`);
}

/** The stream of the lost log; undefined: it is gone, or another one is in its place. */
export async function lookAt(
  logStreams: Pick<LogStreams, 'describe'>,
  { partition, incarnation }: FencedLog,
  generation: number,
): Promise<LogDescription | undefined> {
  const found = await logStreams.describe(partition, generation);
  return found?.log.incarnation === incarnation ? found : undefined;
}

/** Whether a stream that was sealed, or gone, is so still and has taken nothing. */
export function isUnchanged(before: LogDescription | undefined, now: LogDescription | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  return before.sealed === true && now.sealed === true && before.last === now.last;
}

export function hasMore(found: LogDescription | undefined, position: bigint): found is LogDescription {
  return found !== undefined && found.last > position;
}

function refuseMore(found: LogDescription | undefined, { partition, incarnation, position }: FencedLog): void {
  if (!hasMore(found, position)) return;
  throw new StateStoreError(
    'data_format',
    `the log ${incarnation} of partition ${partition} goes to position ${found.last}; it was to be carried on after ${position}`,
    { hint: 'let a replica follow it to its end, or give up what is after that position (force)' },
  );
}

/** Resolves at that time of the clock. Rejects with the signal's reason as soon as it aborts. */
export function elapsed(clock: Clock, atMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const abort = (): void => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = clock.after(Math.max(0, atMs - clock.elapsedMs()), () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}
