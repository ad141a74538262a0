// One watch over all replicas of a partition: it follows one of them, and goes on at another one from the
// next position when that one fails, falls behind or leaves. Positions are the same on all replicas.
import { limits, StateStoreError } from '@statestore/core';
import type { ChangeBatch, Place, WatchOptions } from '@statestore/link';
import type { ClusterMetrics } from './metrics.ts';
import type { Follower, PartitionReplicas, Replica } from './replicas.ts';
import { type Next, rules } from './rules.ts';
import type { RoutingTime } from './time.ts';
import type { RoutingTiming } from './timing.ts';

export interface FollowHost {
  readonly timing: RoutingTiming;
  readonly time: RoutingTime;
  readonly metrics: ClusterMetrics;
  changed(): void;
  outdated(): void;
  /** Followers are looked after at each tick from now on. */
  needTicks(): void;
}

/** What a failure says; `behind`: the replica has not reached the position yet, or nobody ever will. */
type Verdict = Next | 'behind';

/** Failures since the last batch. */
interface Trouble {
  readonly sinceMs: number;
  readonly verdicts: Set<Verdict>;
}

export interface FollowOptions extends Omit<WatchOptions, 'from' | 'generation'> {
  /** Where it begins; the caller has found out what "from now on" is. */
  readonly from: Place;
}

/** Throws `cursor_expired` also where nobody can tell any more what became of the log that the place is of. */
export async function* follow(
  host: FollowHost,
  replicas: PartitionReplicas,
  options: FollowOptions,
): AsyncGenerator<ChangeBatch, void> {
  const { timing, time, metrics } = host;
  let next = options.from;
  /** Of this round. */
  let tried: Replica[] = [];
  let round = 0;
  let trouble: Trouble | undefined;
  while (!options.signal.aborted) {
    const replica = replicas.order('local').find((candidate) => !tried.includes(candidate));
    if (replica === undefined) {
      trouble ??= { sinceMs: time.elapsedMs(), verdicts: new Set(['again']) };
      if (tried.length === 0) giveUpLate(host, trouble, nowhere(replicas.partition));
      tried = [];
      await pause(time, Math.min(timing.retryMinMs * 2 ** round++, timing.retryMaxMs), options.signal);
      continue;
    }
    tried.push(replica);
    const end: End = { error: undefined };
    for await (const batch of followOne(host, replicas, replica, { ...options, from: next }, end)) {
      next = { position: batch.position + 1n, generation: batch.generation };
      tried = [replica];
      round = 0;
      trouble = undefined;
      yield batch;
    }
    if (options.signal.aborted) return;
    metrics.watchesMoved++;
    if (end.error === undefined) continue;
    const verdict = judge(host, replica, end);
    if (verdict === 'final') throw end.error;
    trouble ??= { sinceMs: time.elapsedMs(), verdicts: new Set() };
    trouble.verdicts.add(verdict);
    if (replicas.order('local').every((candidate) => tried.includes(candidate))) giveUpLate(host, trouble, end.error);
  }
}

/** All replicas have failed: throws where another round promises nothing. */
function giveUpLate({ timing, time }: FollowHost, { sinceMs, verdicts }: Trouble, error: unknown): void {
  const behindMs = verdicts.has('behind') ? timing.watchBehindMs : 0;
  const patienceMs = verdicts.has('again') ? timing.readMs : behindMs;
  if (time.elapsedMs() - sinceMs < patienceMs) return;
  // Whether the position is one that there will never be, those that are missing would have to say.
  const missing = verdicts.has('again') && error instanceof StateStoreError && error.code === 'invalid_cursor';
  if (!missing) throw error;
  throw new StateStoreError('unavailable', 'the replicas that answer are behind the position of the watch', {
    retryAfterMs: 1000,
    cause: error,
  });
}

function nowhere(partition: number): StateStoreError {
  return new StateStoreError('unavailable', `no node holds partition ${partition}`, { retryAfterMs: 1000 });
}

function judge(host: FollowHost, replica: Replica, { error, blameless = false }: End): Verdict {
  const code = error instanceof StateStoreError ? error.code : 'internal';
  host.metrics.failed('read', code);
  if (code === 'invalid_cursor') return 'behind';
  const rule = rules.read[code];
  if (rule.avoid && !blameless && replica.health.local.failed(host.time.elapsedMs())) host.changed();
  if (code === 'moved') host.outdated();
  return rule.next;
}

/** How following one replica ended; without an error: it was left. */
interface End {
  error: unknown;
  /** It is this gateway that knows too little. */
  blameless?: boolean;
}

/* oxlint-disable-next-line max-params -- one part of the loop above */
async function* followOne(
  host: FollowHost,
  replicas: PartitionReplicas,
  replica: Replica,
  options: FollowOptions,
  end: End,
): AsyncGenerator<ChangeBatch, void> {
  const link = replicas.member(replica)?.link;
  if (link === undefined) {
    end.error = new StateStoreError('unavailable', `nothing is known of node ${replica.node}`);
    return;
  }
  let place: Place;
  try {
    place = placeIn(replicas, options.from);
  } catch (error) {
    end.error = error;
    end.blameless = true;
    return;
  }
  const left = new AbortController();
  const follower: Follower = { replica, leave: () => left.abort() };
  replicas.followers.add(follower);
  host.needTicks();
  const stop = (): void => left.abort();
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    const { position, generation } = place;
    const { signal } = left;
    for await (const batch of link.watch(replicas.partition, { ...options, from: position, generation, signal })) {
      // A node of an earlier version names no log: it is the one that was asked for.
      yield batch.generation === undefined ? { ...batch, generation } : batch;
    }
  } catch (error) {
    if (!left.signal.aborted) end.error = error;
  } finally {
    options.signal.removeEventListener('abort', stop);
    replicas.followers.delete(follower);
    left.abort();
  }
}

/** Where to go on in the log that the topology names now. Positions of a log that carries another one on follow those that were kept of that one. */
function placeIn({ log, partition }: PartitionReplicas, { position, generation = 1 }: Place): Place {
  if (log === undefined || generation === log.generation) return { position, generation: log?.generation };
  if (generation > log.generation) {
    const message = `the watch is of the log of generation ${generation} of partition ${partition}; the topology known here names that of ${log.generation}`;
    throw new StateStoreError('moved', message, { retryAfterMs: limits.sessionTopologyRetryMs });
  }
  const kept = log.continues?.position;
  if (generation !== log.generation - 1 || kept === undefined) {
    const message = `the cursor is of the log of generation ${generation} of partition ${partition}; that of ${log.generation} is followed, and does not tell what was kept of it`;
    throw new StateStoreError('cursor_expired', message, { hint: 'read the store again and watch from now on' });
  }
  return { position: position > kept ? kept + 1n : position, generation: log.generation };
}

function pause(time: RoutingTime, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = time.after(ms, done);
    signal.addEventListener('abort', done);
  });
}
