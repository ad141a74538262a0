// All splits and merges that a node takes part in, by the topology; and what they have to do with the replicas that run:
// batches by which slots change hands wait for what they need, foreign entries stay while anybody needs them, and a
// fence of which the topology knows nothing is lifted.
import type { ReshapeReport } from '@statestore/cluster';
import type { Absorb, HandOver, PartitionState, Reshape, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import { pause, unlessAborted } from '../cluster/pause.ts';
import { Repeated } from '../cluster/repeated.ts';
import type { Reshapes } from '../cluster/replica-context.ts';
import type { RunningReplica } from '../cluster/running-replica.ts';
import { isStaged } from './merge-work.ts';
import type { ReshapeContext } from './reshape-context.ts';
import { runningPartition } from './reshape-context.ts';
import { reshapeIdOf } from './reshape-id.ts';
import { MergeJob } from './reshape-job.ts';
import { ReshapeRun } from './reshape-run.ts';
import { sourcePhase, targetPhase } from './reshape-sight.ts';
import type { ReshapeTarget, StagedMerge } from './reshape-work.ts';
import { StrayFences } from './stray-fences.ts';

/** What of a state is looked at: new objects where it is different. */
interface Seen {
  readonly fenced: PartitionState['fenced'];
  readonly ended: PartitionState['ended'];
}

export class ReshapeSet implements Reshapes {
  readonly #context: ReshapeContext;
  readonly #runs = new Map<string, ReshapeRun>();
  /** Of which the topology says that they are over, and this node is not. */
  readonly #lingering = new Map<ReshapeRun, number>();
  readonly #seen = new Map<number, Seen>();
  readonly #strays: StrayFences;
  readonly #checking: Repeated;
  readonly #leave: () => void;
  readonly #closings = new Set<Promise<void>>();
  #closed = false;
  #topology: Topology | undefined;

  constructor(context: ReshapeContext) {
    this.#context = context;
    this.#strays = new StrayFences(context);
    this.#leave = context.peers.onChange(() => this.wake());
    this.#checking = new Repeated(context.time, limits.reshapeLookMs, () => {
      this.#endLingering();
      return this.#strays.look();
    });
  }

  /** Before the replicas do: what is built in a folder is to be out of the way of who takes its place. */
  follow(topology: Topology): void {
    if (this.#closed) return;
    this.#topology = topology;
    const { reshapes = [], partitions } = topology;
    const { name } = this.#context;
    const own = reshapes.filter(({ source }) =>
      partitions.some(({ partition, replicas }) => partition === source && replicas.includes(name)),
    );
    const named = new Map(own.map((reshape) => [reshape.id, reshape]));
    for (const [id, run] of this.#runs) {
      if (named.has(id)) continue;
      this.#runs.delete(id);
      if (this.#isNeeded(run)) this.#lingering.set(run, this.#context.time.elapsedMs());
      else this.#end(run);
    }
    for (const [id, reshape] of named) {
      const run = this.#runs.get(id);
      if (run === undefined) this.#runs.set(id, new ReshapeRun(reshape, this.#context));
      else run.update(reshape);
    }
    this.wake();
  }

  /** Replicas of this node, or what others say, are different. */
  wake(): void {
    for (const run of this.#all()) run.wake();
  }

  *#all(): Generator<ReshapeRun> {
    yield* this.#runs.values();
    yield* this.#lingering.keys();
  }

  /** Its child is about to be complete, or its target has not come as far as to take the slots. */
  #isNeeded({ reshape, job }: ReshapeRun): boolean {
    const { replicaOf } = this.#context;
    const phase = sourcePhase(runningPartition(replicaOf(reshape.source))?.partition.state, reshape);
    if (reshape.kind === 'split') return phase === 'fenced' && job.phase === 'near';
    const target = targetPhase(runningPartition(replicaOf(reshape.target))?.partition.state, reshape);
    // Also where the source is behind here: its target waits for it.
    return target === 'open' && (phase === 'handedOver' || (phase !== 'away' && this.#isDone(reshape)));
  }

  /** A merge, by the topology. */
  #isDone({ source, slotsEpoch }: Reshape): boolean {
    const { retired = [] } = this.#topology ?? {};
    return retired.some(({ placement, slotsEpoch: of }) => placement.partition === source && of === slotsEpoch);
  }

  #endLingering(): void {
    const nowMs = this.#context.time.elapsedMs();
    for (const [run, sinceMs] of this.#lingering) {
      if (this.#isNeeded(run) && nowMs - sinceMs < limits.reshapeCatchUpMs) continue;
      this.#lingering.delete(run);
      this.#end(run);
    }
  }

  #end(run: ReshapeRun): void {
    const closing = run.close().finally(() => this.#closings.delete(closing));
    this.#closings.add(closing);
  }

  reports(): readonly ReshapeReport[] {
    return [...this.#runs.values()].map((run) => run.report());
  }

  get reshapes(): readonly Reshape[] {
    return [...this.#runs.values()].map(({ reshape }) => reshape);
  }

  applied(partition: number, { fenced, ended }: Readonly<PartitionState>): void {
    const before = this.#seen.get(partition);
    if (before?.fenced === fenced && before?.ended === ended) return;
    this.#seen.set(partition, { fenced, ended });
    for (const run of this.#all()) {
      if (run.reshape.source === partition || run.reshape.target === partition) run.wake();
    }
    if (this.#lingering.size > 0) this.#endLingering();
  }

  async pass(running: RunningReplica, change: HandOver | Absorb, signal: AbortSignal): Promise<string | undefined> {
    try {
      if (change.kind === 'absorb') return await this.#passAbsorb(running, change, signal);
      await this.#passHandOver(change, signal);
    } catch (error) {
      if (!signal.aborted) return `what it is to take cannot be looked at: ${String(error)}`;
    }
    return undefined;
  }

  /** A child that is near is completed first: what comes after it is not of what it was split off from. */
  async #passHandOver({ reshape }: HandOver, signal: AbortSignal): Promise<void> {
    const run = this.#runOf(reshape);
    if (run?.reshape.kind !== 'split') return;
    await this.#while(run, () => run.job.phase === 'near', limits.reshapeHoldMs, signal);
  }

  /** What it says is staged must be so here. */
  async #passAbsorb(running: RunningReplica, absorb: Absorb, signal: AbortSignal): Promise<string | undefined> {
    if (!mayTake(running.present.state, absorb)) return undefined;
    const run = this.#runOf(absorb.reshape);
    // One that only starts has nothing to stage in yet.
    if (run !== undefined && running.partition !== undefined) {
      const isMissing = (): boolean => {
        const { job } = run;
        return !(job instanceof MergeJob && job.result !== undefined && isSame(job.result, absorb));
      };
      await this.#while(run, isMissing, limits.reshapeCatchUpMs, signal);
      if (!isMissing()) return undefined;
    }
    if (await isStaged(readOnly(running), absorb, signal, this.#context.time)) return undefined;
    return `the entries of the slots that partition ${running.present.partition} takes are not here`;
  }

  #runOf(reshape: string): ReshapeRun | undefined {
    for (const run of this.#all()) if (reshapeIdOf(run.id) === reshape) return run;
    return undefined;
  }

  #isThere(run: ReshapeRun): boolean {
    return this.#runs.get(run.id) === run || this.#lingering.has(run);
  }

  /** Resolves when it does not hold any more, or the run is over, or after that time, or when the signal aborts. */
  /* oxlint-disable-next-line max-params -- what is waited for, and how long */
  async #while(run: ReshapeRun, holds: () => boolean, ms: number, signal: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    const look = (): void => {
      if (!holds() || this.#closed || !this.#isThere(run)) over.resolve();
    };
    const leave = run.onStep(look);
    const enough = new AbortController();
    const waiting = pause(this.#context.time, ms, enough.signal).catch(() => undefined);
    try {
      look();
      await unlessAborted(Promise.race([over.promise, waiting]), signal);
    } finally {
      enough.abort();
      leave();
    }
  }

  keepsForeign(partition: number, { slotsEpoch, fenced }: Readonly<PartitionState>): boolean {
    const topology = this.#context.topology();
    const placement = topology?.partitions.find((each) => each.partition === partition);
    if (placement === undefined || fenced !== undefined || slotsEpoch !== (placement.slotsEpoch ?? 0n)) return true;
    const concerns = ({ source, target }: Reshape): boolean => source === partition || target === partition;
    if (topology?.reshapes?.some(concerns) === true) return true;
    if ([...this.#all()].some(({ reshape }) => concerns(reshape))) return true;
    return topology!.partitions.some((child) => {
      if (child.origin?.partition !== partition || !child.replicas.includes(this.#context.name)) return false;
      return runningPartition(this.#context.replicaOf(child.partition)) === undefined;
    });
  }

  /** Resolves when nothing is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#leave();
    this.#checking.close();
    for (const run of this.#all()) this.#end(run);
    this.#runs.clear();
    this.#lingering.clear();
    await Promise.all(this.#closings);
    await this.#strays.close();
  }
}

/** Also of one that only starts: nothing is written. */
function readOnly(running: RunningReplica): ReshapeTarget {
  const never = (): never => {
    throw new StateStoreError('internal', 'nothing is staged in a replica that is only looked at');
  };
  return { ...running.present, stage: never, sync: never };
}

/** As apply judges it: what is refused, or was done, needs nothing. */
function mayTake(state: Readonly<PartitionState>, { slotsEpoch, stores }: Absorb): boolean {
  const { ended, fenced } = state;
  if (fenced !== undefined || slotsEpoch <= state.slotsEpoch) return false;
  if (ended !== undefined && slotsEpoch <= ended.slotsEpoch) return false;
  return stores.every(({ name, ordinal, entries }) => entries === 0 || state.stores.get(name)?.ordinal === ordinal);
}

function isSame(staged: StagedMerge, absorb: Absorb): boolean {
  const taken = absorb.stores.filter(({ entries }) => entries > 0);
  const own = new Map(staged.stores.filter(({ entries }) => entries > 0).map((store) => [store.name, store]));
  return (
    taken.length === own.size &&
    taken.every(({ name, ordinal, entries, bytes, hash }) => {
      const store = own.get(name);
      return store?.ordinal === ordinal && store.entries === entries && store.bytes === bytes && store.hash === hash;
    })
  );
}
