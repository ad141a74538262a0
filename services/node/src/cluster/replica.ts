// One replica on this node, from the wish of the topology to a running partition and back: it goes through
// the states of replica-states.ts, one step at a time, and whatever comes meanwhile interrupts the step.
import { limits, type PartitionLog, StateStoreError } from '@statestore/core';
import type { ReplicaReport } from '@statestore/cluster';
import type { HaltCause } from '@statestore/link';
import type { ChainAt } from '../chain-notes.ts';
import { AbsentTasks } from './absent-tasks.ts';
import { Backoff, pause, unlessAborted } from './pause.ts';
import type { Assignment, ReplicaContext } from './replica-context.ts';
import { type Building, ReplicaSources } from './replica-copy.ts';
import { isMendable } from './replica-mending.ts';
import { findLog, isHeld, openReplica } from './replica-opening.ts';
import { replicaReport } from './replica-report.ts';
import { nextState, type ReplicaEvent, type ReplicaState } from './replica-states.ts';
import { noFacts, type ReplicaStore, replicaStore } from './replica-store.ts';
import { Serving } from './serving.ts';
import type { RunningReplica } from './running-replica.ts';
import type { ReplicaHalt } from './running-replica-options.ts';

export class Replica {
  readonly partition: number;
  readonly store: ReplicaStore;
  readonly #context: ReplicaContext;
  readonly #sources: ReplicaSources;
  readonly #life: Promise<void>;
  readonly #retry = new Backoff(limits.replicaRetryMinMs, limits.replicaRetryMaxMs);
  #state: ReplicaState = 'absent';
  #wanted: Assignment | undefined;
  /** The log that is opened, followed or waited for. */
  #acting: PartitionLog | undefined;
  #running: RunningReplica | undefined;
  #facts = noFacts;
  #chains: ChainAt | undefined;
  /** Why it is built anew. */
  #building: Building | undefined;
  /** Nothing but its log was to be had, which is long. */
  #replays = false;
  readonly #serving: Serving;
  /** Times in a row that its data could not be read. */
  #unreadable = 0;
  #halt: ReplicaHalt | undefined;
  #haltReason: StateStoreError | undefined;
  #step = new AbortController();
  #wake: (() => void) | undefined;
  #whenHalted: (() => void) | undefined;
  readonly #tasks = new AbsentTasks();
  #closing = false;

  constructor(partition: number, context: ReplicaContext) {
    this.partition = partition;
    this.#context = context;
    this.store = replicaStore(partition, context, (error) =>
      this.#tell('the snapshot of a replica in memory failed', error),
    );
    const { store } = this;
    this.#serving = new Serving(partition, store.folder, context);
    this.#sources = new ReplicaSources({ partition, store, wanted: () => this.#wanted!, context });
    this.#life = this.#live();
  }

  #tell(notice: string, error: unknown): void {
    this.#context.onNotice(notice, { partition: this.partition, error: String(error) });
  }

  get state(): ReplicaState {
    return this.#state;
  }

  get assignment(): Assignment | undefined {
    return this.#wanted;
  }

  get running(): RunningReplica | undefined {
    return this.#running;
  }

  get halt(): ReplicaHalt | undefined {
    return this.#state === 'halted' ? this.#halt : undefined;
  }

  /** Whether it runs, or need not: one that only joins serves nobody. */
  get ready(): boolean {
    return this.#wanted?.serving !== true || this.#wanted.retired === true || this.#state === 'running';
  }

  /** Undefined: the topology wants no replica here. */
  assign(assignment: Assignment | undefined): void {
    const before = this.#wanted;
    this.#wanted = assignment;
    this.#wake?.();
    this.#interrupt();
    if (this.#state === 'running' && before?.serving !== assignment?.serving) this.#serve();
  }

  /** Runs this as soon as nothing of the replica is open, unless it is wanted then. */
  whileAbsent(run: () => Promise<void>): void {
    this.#tasks.once(run);
    this.#wake?.();
  }

  /** The folder is the caller's as soon as nothing of the replica is open, and until it is given back, whatever is wanted. */
  claim(signal: AbortSignal): Promise<() => void> {
    const claimed = this.#tasks.claim(signal);
    this.#wake?.();
    return claimed;
  }

  /** Resolves when nothing is open. Idempotent. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    this.#interrupt();
    await this.#life;
  }

  report(): ReplicaReport | undefined {
    if (this.#wanted === undefined && this.#state === 'absent') return undefined;
    const { partition, store } = this;
    const { peers } = this.#context;
    return replicaReport(partition, {
      facts: this.#running?.facts ?? this.#facts,
      running: this.#running,
      state: this.#state,
      log: this.#acting ?? this.#wanted?.log,
      halt: this.halt,
      sources: this.#sources,
      operations: this.#running === undefined ? undefined : this.#context.node.served(partition),
      durable: store.durable,
      peers,
    });
  }

  /**
   * Its chain at a position that it has applied, 32 hexadecimal digits: another replica that reports this one there is an
   * earlier part of the same history, one that reports another is not. Undefined where that is too long ago, or it has
   * not come so far: then nobody can tell.
   */
  chainAt(position: bigint): string | undefined {
    if (this.#running !== undefined) return this.#running.chainAt(position);
    return position === this.#facts.position ? this.#facts.chain : this.#chains?.(position);
  }

  // From state to state.
  async #live(): Promise<void> {
    try {
      while (!(this.#closing && this.#state === 'absent')) {
        this.#step = new AbortController();
        this.#interrupt();
        const event = await this.#take(this.#step.signal);
        const next = nextState(this.#state, event);
        if (next === this.#state) continue;
        this.#state = next;
        this.#context.changed();
      }
      await this.store.close();
    } catch (cause) {
      const message = `partition ${this.partition}: the replica's steps went wrong`;
      this.#context.onFatal(new StateStoreError('internal', message, { cause }));
    }
  }

  async #take(signal: AbortSignal): Promise<ReplicaEvent> {
    try {
      return await this.#steps[this.#state](signal);
    } catch (error) {
      const outside = this.#outside();
      // Interrupted, and all is as it was again: the step is begun anew.
      if (signal.aborted) return outside ?? 'wanted';
      return this.#failed(error);
    }
  }

  /** What the world wants otherwise than this replica does. */
  #outside(): ReplicaEvent | undefined {
    if (this.#state === 'absent' || this.#state === 'closing') return undefined;
    if (this.#closing || this.#wanted === undefined) return 'unwanted';
    const { generation, incarnation } = this.#wanted.log;
    const same = this.#acting?.generation === generation && this.#acting.incarnation === incarnation;
    return same || this.#acting === undefined ? undefined : 'relogged';
  }

  #interrupt(): void {
    if (this.#outside() !== undefined)
      this.#step.abort(new StateStoreError('shutting_down', 'the replica is wanted otherwise'));
  }

  readonly #steps: Readonly<Record<ReplicaState, (signal: AbortSignal) => Promise<ReplicaEvent>>> = {
    absent: () => this.#stayAbsent(),
    opening: (signal) => this.#open(signal),
    copying: (signal) => this.#copy(signal),
    starting: (signal) => this.#start(signal),
    running: (signal) => this.#run(signal),
    halted: (signal) => this.#stayHalted(signal),
    waiting: (signal) => this.#wait(signal),
    closing: () => this.#close(),
  };

  #failed(error: unknown): ReplicaEvent {
    const code = error instanceof StateStoreError ? error.code : undefined;
    const why = error instanceof Error ? error.message : String(error);
    // What the machine was short of for a moment looks alike.
    if (this.#state === 'opening' && code === 'data_corrupt' && ++this.#unreadable >= limits.replicaUnreadableMax) {
      // What they would have said of their history, nobody knows.
      return this.#haltFor('diverged', `its data cannot be used: ${why}`, true);
    }
    if (this.#state === 'opening' && code === 'data_format') return this.#haltFor('log_corrupt', why);
    const details = { partition: this.partition, state: this.#state, error: why };
    this.#context.onNotice('a step of a replica failed and is tried again', details);
    return 'failed';
  }

  #haltFor(cause: HaltCause, why: string, kept = false): ReplicaEvent {
    this.#halt = { cause, why: `partition ${this.partition}: ${why}`, decided: true, kept };
    return 'halted';
  }

  // What is done in each state. Each step ends with the event that leads on, or throws when it is interrupted.

  async #stayAbsent(): Promise<ReplicaEvent> {
    for (;;) {
      const claimed = this.#tasks.claimed;
      if (claimed !== undefined) {
        await claimed();
        continue;
      }
      if (this.#closing) return 'unwanted';
      if (this.#wanted !== undefined) return 'wanted';
      const run = this.#tasks.take();
      if (run === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else await run();
    }
  }

  async #open(signal: AbortSignal): Promise<ReplicaEvent> {
    const { log } = this.#wanted!;
    this.#acting = log;
    this.#halt = undefined;
    this.#chains = undefined;
    const opened = await openReplica({
      partition: this.partition,
      store: this.store,
      log,
      wanted: () => this.#wanted,
      context: this.#context,
      signal,
      replays: this.#replays,
      onFacts: (facts) => {
        this.#facts = facts;
        this.#unreadable = 0;
      },
      onChains: (chainAt) => (this.#chains = chainAt),
      onHalted: (halt, reason) => {
        this.#halt = halt;
        this.#haltReason = reason;
        this.#whenHalted?.();
      },
    });
    switch (opened.kind) {
      case 'following':
        this.#running = opened.running;
        this.#replays = false;
        await this.#serving.opened(this.#wanted?.prepared === true);
        return 'ready';
      case 'halt':
        if (opened.ahead === true && !this.#wanted!.serving) return this.#beginAnew(opened.why, signal);
        return this.#haltFor(opened.cause, opened.why);
      case 'copy':
        return this.#copyOrHalt(opened, signal);
    }
  }

  /** One that only joins was not asked when the log was recovered. What it has is kept aside all the same. */
  async #beginAnew(why: string, signal: AbortSignal): Promise<ReplicaEvent> {
    const condemned = { cause: 'log_trimmed', why, kept: true } as const;
    await this.store.condemn(condemned);
    return this.#copyOrHalt(condemned, signal);
  }

  /** One with data of its own waits until there is something to be rebuilt from; a new one has nothing to lose. */
  async #copyOrHalt(building: Building, signal: AbortSignal): Promise<ReplicaEvent> {
    const { cause, why, kept } = (this.#building = building);
    const fresh = this.#facts.position === 0n && this.#facts.incarnation === undefined;
    if (fresh || this.#sources.peers.length > 0) return 'needsCopy';
    const leads = await this.#sources.leads(signal);
    if (leads === true) return 'needsCopy';
    return this.#haltFor(cause, `${why}; no other replica runs that it could be rebuilt from; ${leads}`, kept);
  }

  async #copy(signal: AbortSignal): Promise<ReplicaEvent> {
    const { cause, kept, orFollow } = this.#building!;
    const job = { held: this.#facts, cause, signal };
    this.#replays = orFollow === true;
    const missing = await (orFollow === true ? this.#sources.restore(job) : this.#sources.build(job));
    return missing === undefined ? 'copied' : this.#haltFor(cause, missing, kept);
  }

  async #start(signal: AbortSignal): Promise<ReplicaEvent> {
    try {
      await this.#running!.start(signal);
      return 'caughtUp';
    } catch (error) {
      signal.throwIfAborted();
      if (this.#halt !== undefined) return 'halted';
      throw error;
    }
  }

  async #run(signal: AbortSignal): Promise<ReplicaEvent> {
    this.#serve();
    this.store.folder.removeAsides().catch((error: unknown) => {
      this.#tell('old data of a replica could not be removed', error);
    });
    const stable = this.#context.time.after(limits.replicaStableMs, () => this.#retry.reset());
    try {
      if (this.#halt === undefined) {
        const halted = new Promise<void>((resolve) => (this.#whenHalted = resolve));
        await unlessAborted(halted, signal);
      }
      return 'halted';
    } finally {
      stable.cancel();
      this.#whenHalted = undefined;
    }
  }

  /** Whether gateways find it here. */
  #serve(): void {
    this.#serving.serve(this.#wanted?.serving === true ? this.#running?.partition : undefined);
  }

  async #stayHalted(signal: AbortSignal): Promise<ReplicaEvent> {
    const halt = this.#halt!;
    const { onNotice, onFatal, time } = this.#context;
    onNotice('a replica halted', { partition: this.partition, cause: halt.cause, reason: halt.why });
    if (halt.cause === 'diverged' && halt.decided) await this.#condemn(halt);
    if (halt.cause === 'engine_failed' && this.#running !== undefined) onFatal(this.#haltReason!);
    const undecided = halt.cause === 'diverged' && !halt.decided;
    try {
      // One that halts again and again does so ever more seldom.
      await pause(time, this.#retry.nextMs(), signal);
      while (!(await this.#mendable(halt, signal))) await pause(time, limits.haltRecheckMs, signal);
    } finally {
      // Also where it is moved away before anybody could say whether it is right: its data are not to go as if it were.
      const left = undecided && this.#wanted === undefined && !this.#closing;
      if (signal.aborted ? left : undecided || halt.cause === 'log_corrupt') await this.#condemn(halt);
    }
    return 'mendable';
  }

  #mendable({ cause, decided }: ReplicaHalt, signal: AbortSignal): Promise<boolean> {
    const { log, placement } = this.#wanted!;
    const { peers } = this.#context;
    const facts = this.#running?.facts ?? this.#facts;
    return isMendable({
      cause,
      sources: this.#sources.peers.length,
      // One that did not get as far as to follow the log did not stop at a batch of it.
      passed: this.#running !== undefined && peers.isPassed(placement, facts.position),
      reason: this.#haltReason,
      // Where nobody could say which replica is wrong, a checkpoint does not say it either.
      mayRestore: async () => (cause !== 'diverged' || decided) && (await this.#sources.mayLead(signal)),
      facts,
      log,
      heard: peers.highest(this.partition, log.incarnation),
      findLog: () => findLog(this.#context, this.partition, log),
      holdsLast: async (found) =>
        (await this.#running?.holdsLast(signal)) ??
        (await isHeld({ partition: this.partition, log, context: this.#context, signal }, facts, found)),
      signal,
    });
  }

  /** Also one that stopped at a batch that others have applied: from now on it only waits to be built anew. */
  async #condemn({ why, kept }: ReplicaHalt): Promise<void> {
    const tell = (error: unknown): void => this.#tell('it could not be noted that a replica diverged', error);
    await this.store.condemn({ cause: 'diverged', why, kept }).catch(tell);
  }

  async #wait(signal: AbortSignal): Promise<ReplicaEvent> {
    await pause(this.#context.time, this.#retry.nextMs(), signal);
    return 'retry';
  }

  async #close(): Promise<ReplicaEvent> {
    this.#serving.serve(undefined);
    const running = this.#running;
    if (running !== undefined) {
      this.#facts = running.facts;
      try {
        await running.close();
      } catch (error) {
        this.#tell('a replica could not be closed cleanly', error);
      }
    }
    this.#running = undefined;
    this.#acting = undefined;
    this.#halt = undefined;
    return 'closed';
  }
}
