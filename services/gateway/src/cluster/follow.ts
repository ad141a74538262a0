// One watch over all replicas of a partition: it follows one of them, and goes on at another one from the
// next position when that one fails, falls behind or leaves. Positions are the same on all replicas.
import { StateStoreError } from '@statestore/core';
import type { ChangeBatch, WatchOptions } from '@statestore/link';
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

/** `from`: where it begins; the caller has found out what "from now on" is. */
export async function* follow(
  host: FollowHost,
  replicas: PartitionReplicas,
  options: WatchOptions & { readonly from: bigint },
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
      next = batch.position + 1n;
      tried = [replica];
      round = 0;
      trouble = undefined;
      yield batch;
    }
    if (options.signal.aborted) return;
    metrics.watchesMoved++;
    if (end.error === undefined) continue;
    const verdict = judge(host, replica, end.error);
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

function judge(host: FollowHost, replica: Replica, error: unknown): Verdict {
  const code = error instanceof StateStoreError ? error.code : 'internal';
  host.metrics.failed('read', code);
  if (code === 'invalid_cursor') return 'behind';
  const rule = rules.read[code];
  if (rule.avoid && replica.health.local.failed(host.time.elapsedMs())) host.changed();
  if (code === 'moved') host.outdated();
  return rule.next;
}

/** How following one replica ended; without an error: it was left. */
interface End {
  error: unknown;
}

/* oxlint-disable-next-line max-params -- one part of the loop above */
async function* followOne(
  host: FollowHost,
  replicas: PartitionReplicas,
  replica: Replica,
  options: WatchOptions,
  end: End,
): AsyncGenerator<ChangeBatch, void> {
  const link = replicas.member(replica)?.link;
  if (link === undefined) {
    end.error = new StateStoreError('unavailable', `nothing is known of node ${replica.node}`);
    return;
  }
  const left = new AbortController();
  const follower: Follower = { replica, leave: () => left.abort() };
  replicas.followers.add(follower);
  host.needTicks();
  const stop = (): void => left.abort();
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    yield* link.watch(replicas.partition, { ...options, signal: left.signal });
  } catch (error) {
    if (!left.signal.aborted) end.error = error;
  } finally {
    options.signal.removeEventListener('abort', stop);
    replicas.followers.delete(follower);
    left.abort();
  }
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
