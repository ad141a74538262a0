// What a replica is built from that cannot have its state from the log: the newest good checkpoint that the log can be
// followed on from, or another node's replica, again and again until it succeeds. A checkpoint comes first where little is
// left to replay after it: that burdens no other node. One that is far behind is for when nobody runs.
import { dirname, join } from 'node:path';
import type { BuildReport } from '@statestore/cluster';
import { binaryFromBytes, incarnationKey, limits, StateStoreError } from '@statestore/core';
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { HaltCause } from '@statestore/link';
import type { FindCheckpointOptions, RestoreReplicaOptions } from '../checkpoint/restore-replica.ts';
import { findCheckpoint, restoreReplica } from '../checkpoint/restore-replica.ts';
import { openScratchState } from '../checkpoint/scratch-engine.ts';
import { copyFromPeer } from '../copy/copy-from-peer.ts';
import type { Engine } from '../engine/engine.ts';
import { BuildProgress } from './build-progress.ts';
import type { HeldState } from './judge-log.ts';
import type { Peer } from './node-options.ts';
import { BuildRoom } from './build-room.ts';
import { Backoff, pause, unlessAborted } from './pause.ts';
import type { CopySourceNode } from './peers.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';
import type { Condemned } from './replica-folder.ts';
import { findLog } from './replica-opening.ts';
import type { Built, FilledState, ReplicaStore } from './replica-store.ts';

/** Why a replica is built anew. */
export interface Building extends Condemned {
  /** It could follow the log from its beginning as well. */
  readonly orFollow?: boolean;
}

export interface BuildJob {
  /** What takes its place is replaced. */
  readonly held: HeldState;
  /** What it has halted for, or would. */
  readonly cause: HaltCause;
  readonly signal: AbortSignal;
}

/** Why nothing could be built from the checkpoints. `final`: they, and all nodes, have nothing that leads there. */
interface NotBuilt {
  readonly why: string;
  readonly final?: boolean;
}

export interface ReplicaSourcesOptions {
  readonly partition: number;
  readonly store: ReplicaStore;
  /** As it is now: nodes come and go meanwhile. */
  readonly wanted: () => Assignment;
  readonly context: ReplicaContext;
}

export class ReplicaSources {
  readonly #options: ReplicaSourcesOptions;
  #progress: BuildProgress | undefined;
  #waitsFor = '';
  #askedMs: number | undefined;

  constructor(options: ReplicaSourcesOptions) {
    this.#options = options;
  }

  get reported(): { readonly build?: BuildReport } {
    return this.#progress === undefined ? {} : { build: this.#progress.report() };
  }

  /** Why nothing comes at the moment. */
  get waitsFor(): string {
    return this.#waitsFor;
  }

  get peers(): readonly CopySourceNode[] {
    const { context, wanted } = this.#options;
    return context.peers.sourcesOf(wanted().placement);
  }

  /**
   * Resolves when the store has the state, or with why neither a checkpoint nor any replica has what the log lacks.
   * Rejects only with the signal's reason.
   */
  async build(job: BuildJob): Promise<string | undefined> {
    const backoff = new Backoff(limits.replicaRetryMinMs, limits.replicaRetryMaxMs);
    try {
      for (;;) {
        const not = await this.#once(job);
        if (not === undefined) return undefined;
        if (not.final === true) return not.why;
        this.#waitsFor = not.why;
        await this.#changeOrPause(backoff.nextMs(), job.signal);
        job.signal.throwIfAborted();
      }
    } finally {
      this.#waitsFor = '';
    }
  }

  /** Of a replica that can do without, once: from a checkpoint, where there is one and it is answered soon. */
  async restore(job: BuildJob): Promise<undefined> {
    await this.#restore(job, limits.restoreReplayMax, limits.restoreLookMs);
    this.#waitsFor = '';
  }

  async #once(job: BuildJob): Promise<NotBuilt | undefined> {
    const { peers } = this;
    // Of a replica that others found to be wrong, one of those is the better source.
    if (peers.length > 0 && job.cause !== 'diverged') {
      const not = await this.#restore(job, limits.restoreReplayMax);
      if (not === undefined) return undefined;
    }
    for (const source of peers) if (await this.#copy(source, job)) return undefined;
    return this.#restore(job);
  }

  /** Whether a checkpoint leads to the log; else why not. Rejects only with the signal's reason. */
  async leads(signal: AbortSignal): Promise<true | string> {
    this.#askedMs = this.#options.context.time.elapsedMs();
    try {
      return await this.#looking(signal, this.#lookMs, async (looking) => {
        const question = await this.#question(looking);
        if (typeof question === 'string') return question;
        const found = await findCheckpoint(question);
        return found.kind === 'found' ? true : found.why;
      });
    } catch (error) {
      signal.throwIfAborted();
      return `its checkpoints cannot be looked at: ${messageOf(error)}`;
    }
  }

  /** As leads, for who asks again and again. */
  async mayLead(signal: AbortSignal): Promise<boolean> {
    const { options, time } = this.#options.context;
    if (options.repository === undefined) return false;
    if (this.#askedMs !== undefined && time.elapsedMs() - this.#askedMs < limits.restoreRecheckMs) return false;
    return (await this.leads(signal)) === true;
  }

  /** Whoever has somebody else to turn to does not wait for long. */
  get #lookMs(): number {
    return this.peers.length > 0 ? limits.restoreLookMs : limits.restoreLookAloneMs;
  }

  /* oxlint-disable-next-line max-params -- what is done, and how long */
  async #looking<T>(signal: AbortSignal, ms: number, look: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const timer = this.#options.context.time.after(ms, () => {
      late.abort(new StateStoreError('unavailable', `no answer within ${ms} ms`));
    });
    try {
      const either = AbortSignal.any([signal, late.signal]);
      return await unlessAborted(look(either), either);
    } finally {
      timer.cancel();
    }
  }

  /** What is asked of the repository; else why there is nothing to ask. Rejects where the log does not answer. */
  async #question(signal: AbortSignal): Promise<FindCheckpointOptions | string> {
    const { partition, context, wanted } = this.#options;
    const { repository, cluster } = context.options;
    if (repository === undefined) return 'no repository of checkpoints is set';
    const { log, placement, restoredFrom } = wanted();
    const found = await unlessAborted(findLog(context, partition, log), signal);
    if (found?.incarnation !== log.incarnation) return `the log ${log.incarnation} is not there`;
    return {
      repository,
      cluster,
      partition,
      log,
      bounds: { first: found.first, last: found.last },
      restoredFrom,
      reshaped: placement,
      archive: true,
      signal,
    };
  }

  async #boundsNow(signal: AbortSignal): Promise<FindCheckpointOptions['bounds']> {
    const asked = await this.#looking(signal, this.#lookMs, (looking) => this.#question(looking));
    if (typeof asked === 'string') throw new StateStoreError('unavailable', asked);
    return asked.bounds;
  }

  /** Which checkpoints are not used although they lead to the log. */
  #others(): Pick<RestoreReplicaOptions, 'onDamaged' | 'onUnreadable' | 'onDeleted'> {
    const { partition, context } = this.#options;
    const passedOver = (notice: string) => (checkpoint: string, why: string) => {
      context.recorder.passedOver(partition);
      context.onNotice(notice, { partition, checkpoint, why });
    };
    return {
      onDamaged: passedOver('a damaged checkpoint is passed over'),
      onUnreadable: passedOver('a checkpoint that cannot be read is passed over'),
      onDeleted: (checkpoint) =>
        context.onNotice('a checkpoint was deleted while it was restored from', { partition, checkpoint }),
    };
  }

  /** Undefined: it is there. */
  async #restore(job: BuildJob, replayMax?: bigint, lookMs = this.#lookMs): Promise<NotBuilt | undefined> {
    const { partition, context } = this.#options;
    const { repository } = context.options;
    if (repository === undefined) return { why: 'no other replica of the partition runs that it could be copied from' };
    if (context.restores.full) this.#waitsFor = 'other replicas of this node are restored first';
    const free = await context.restores.take(job.signal);
    this.#waitsFor = '';
    try {
      const question = await this.#looking(job.signal, lookMs, async (signal) => {
        const asked = await this.#question(signal);
        if (typeof asked === 'string') return asked;
        const found = await findCheckpoint({ ...asked, replayMax });
        return found.kind === 'found' ? asked : this.#noneLeads(asked, found.why);
      });
      if (typeof question === 'string') return { why: question };
      if ('why' in question) return question;
      return await this.#restoreFound({ ...question, replayMax, signal: job.signal }, job);
    } catch (error) {
      job.signal.throwIfAborted();
      context.onNotice('a replica could not be restored from a checkpoint', { partition, error: String(error) });
      context.recorder.restoreFailed(partition);
      return { why: `it could not be restored from a checkpoint: ${messageOf(error)}` };
    } finally {
      this.#progress = undefined;
      free();
    }
  }

  async #restoreFound(question: FindCheckpointOptions, job: BuildJob): Promise<NotBuilt | undefined> {
    const { partition, store, context } = this.#options;
    const { onNotice, time, recorder } = context;
    const { signal, held } = job;
    const beganMs = time.elapsedMs();
    let checkpoint = '';
    let none: string | undefined;
    let records = 0;
    let bytes = 0;
    const room = new BuildRoom(context);
    const counted = async function* <R>(parts: AsyncIterable<readonly R[]>): AsyncGenerator<readonly R[], void> {
      for await (const part of parts) {
        records += part.length;
        yield part;
      }
    };
    const fill = async (engine: Engine): Promise<FilledState> => {
      const restored = await restoreReplica({
        ...question,
        ...this.#others(),
        boundsNow: () => this.#boundsNow(signal),
        time,
        engine,
        openScratch: () => openScratchState(join(dirname(dirname(context.partitionPath(partition))), 'scratch')),
        target: {
          restore: (parts, position, accept) =>
            room.over(engine, () => bytes).restore(room.guard(counted(parts)), position, accept),
        },
        onBegin: (manifest) => {
          records = 0;
          bytes = contentBytes(manifest);
          this.#progress = new BuildProgress(time, { source: 'checkpoint', from: manifest.checkpoint });
          const position = manifest.summary!.position.toString();
          const from = { partition, checkpoint: manifest.checkpoint, position };
          onNotice('a replica is restored from a checkpoint', from);
        },
        onProgress: (progress) => {
          room.came(progress.part);
          this.#progress?.came(records, progress.bytes, progress.part);
        },
      });
      if (restored.kind === 'none') throw new StateStoreError('unavailable', (none = restored.why));
      checkpoint = restored.checkpoint;
      checkIncarnation(engine, restored.incarnation);
      return { ...restored.state, incarnation: restored.incarnation };
    };
    let built: Built;
    try {
      built = await store.build({ fill, held, signal });
    } catch (error) {
      if (none === undefined) throw error;
      return this.#noneLeads(question, none);
    }
    const { position, kept } = built;
    const ms = time.elapsedMs() - beganMs;
    recorder.restored(partition, ms);
    onNotice('a replica was restored', { partition, checkpoint, position: position.toString(), ms: Math.round(ms) });
    this.#tellKept(kept);
    return undefined;
  }

  /** All that there is has been looked at. A replica that is about to run may still have it. */
  #noneLeads({ bounds, partition }: FindCheckpointOptions, why: string): NotBuilt {
    const { context, wanted } = this.#options;
    const others = context.peers.replicasOf(wanted().placement);
    const mayCome = others.some(
      ({ live, replica: { state } }) => live && (state === 'starting' || state === 'running'),
    );
    const what = `the log of partition ${partition} begins at ${bounds.first}, no other replica runs, and ${why}`;
    return { why: what, final: !mayCome };
  }

  async #copy({ node, address }: CopySourceNode, { held, signal }: BuildJob): Promise<boolean> {
    const { partition, store, wanted, context } = this.#options;
    const { onNotice, time } = context;
    const { log } = wanted();
    const { incarnation } = log;
    const room = new BuildRoom(context);
    const bytes = context.peers.bytesOf(wanted().placement, node);
    const progress = (this.#progress = new BuildProgress(time, { source: 'peer', from: node }));
    let peer: Peer | undefined;
    try {
      peer = context.options.connectPeer(address);
      onNotice('a replica is copied from another node', { partition, node });
      const expect = { positionMin: log.continues?.position ?? 0n, incarnation };
      const from = peer;
      const fill = async (engine: Engine): Promise<FilledState> => ({
        ...(await copyFromPeer({
          source: room.guard(from.copyState(partition, { signal })),
          engine: room.over(engine, () => bytes),
          expect,
          signal,
          time,
          onProgress: ({ records, bytes }) => progress.came(records, bytes),
        })),
        incarnation,
      });
      const { position, kept } = await store.build({ fill, held, signal });
      context.recorder.rebuilt(partition);
      onNotice('a replica was copied', { partition, node, position: position.toString() });
      this.#tellKept(kept);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      onNotice('a replica could not be copied', { partition, node, error: String(error) });
      return false;
    } finally {
      this.#progress = undefined;
      await peer?.close?.().catch(() => undefined);
    }
  }

  #tellKept(why: string | undefined): void {
    const { partition, context } = this.#options;
    if (why !== undefined) context.onNotice('data of a replica were set aside, and are kept', { partition, why });
  }

  /** Until that time is over, or somebody is there to copy from; where nothing else is to be asked, until somebody is. */
  async #changeOrPause(ms: number, signal: AbortSignal): Promise<void> {
    const { time, options } = this.#options.context;
    const hadPeers = this.peers.length > 0;
    for (let leftMs = ms; leftMs > 0; leftMs -= limits.haltRecheckMs) {
      await pause(time, Math.min(leftMs, limits.haltRecheckMs), signal);
      if (!hadPeers && this.peers.length > 0) return;
    }
    if (options.repository !== undefined) return;
    while (this.peers.length === 0) await pause(time, limits.haltRecheckMs, signal);
  }
}

/** What is followed next must be the log that the manifest names. */
function checkIncarnation(engine: Engine, incarnation: string): void {
  const kept = engine.get(incarnationKey);
  const found = kept === undefined ? '' : binaryFromBytes(kept);
  if (found === incarnation) return;
  throw new StateStoreError(
    'data_corrupt',
    `the checkpoint says that it is of log ${incarnation}; its records say ${found}`,
  );
}

/** Of all that is read: of a state that was changed much a little more than it comes to. */
function contentBytes({ layers }: PartitionManifest): number {
  return layers.flatMap(({ blocks }) => blocks).reduce((sum, { bytes }) => sum + Number(bytes), 0);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
