// Building a replica from another node's: from whoever has one that runs, again and again until it succeeds.
import { limits } from '@statestore/core';
import type { HeldState } from './judge-log.ts';
import type { Peer } from './node-options.ts';
import { Backoff, pause } from './pause.ts';
import type { CopySourceNode } from './peers.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';
import type { ReplicaStore } from './replica-store.ts';

export interface CopyJob {
  readonly partition: number;
  readonly store: ReplicaStore;
  /** What the copy takes the place of. */
  readonly held: HeldState;
  /** As it is now: nodes come and go meanwhile. */
  readonly wanted: () => Assignment;
  readonly context: ReplicaContext;
  readonly signal: AbortSignal;
}

/** Resolves when the store has a peer's state. Rejects only with the signal's reason. */
export async function copyFromAny(job: CopyJob): Promise<void> {
  const { wanted, context, signal } = job;
  const backoff = new Backoff(limits.replicaRetryMinMs, limits.replicaRetryMaxMs);
  for (;;) {
    for (const source of context.peers.sourcesOf(wanted().placement)) {
      if (await copyFrom(source, job)) return;
    }
    await changeOrPause(job, backoff.nextMs());
    signal.throwIfAborted();
  }
}

async function copyFrom({ node, address }: CopySourceNode, job: CopyJob): Promise<boolean> {
  const { partition, store, held, wanted, context, signal } = job;
  const { onNotice } = context;
  const { log } = wanted();
  let peer: Peer | undefined;
  try {
    peer = context.options.connectPeer(address);
    onNotice('a replica is copied from another node', { partition, node });
    const positionMin = log.continues?.position ?? 0n;
    const { position, kept } = await store.build({ peer, incarnation: log.incarnation, positionMin, held, signal });
    onNotice('a replica was copied', { partition, node, position: position.toString() });
    if (kept !== undefined) onNotice('data of a replica were set aside, and are kept', { partition, why: kept });
    return true;
  } catch (error) {
    signal.throwIfAborted();
    onNotice('a replica could not be copied', { partition, node, error: String(error) });
    return false;
  } finally {
    await peer?.close?.().catch(() => undefined);
  }
}

/** No sooner than after that time; and where nobody is there to copy from, when somebody is. */
async function changeOrPause({ wanted, context, signal }: CopyJob, ms: number): Promise<void> {
  const { time, peers } = context;
  await pause(time, ms, signal);
  while (peers.sourcesOf(wanted().placement).length === 0) await pause(time, limits.haltRecheckMs, signal);
}
