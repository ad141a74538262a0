// A replica that follows its log: the partition, the guard in front of its log, and its proof, which live and
// end together. What its halting leads to is the replica's (replica.ts).
import type { PartitionLog, PartitionState } from '@statestore/core';
import { extendChain, hashToHex, limits, loadState, StateStoreError } from '@statestore/core';
import type { ReplicaReport } from '@statestore/cluster';
import type { HaltCause } from '@statestore/link';
import { notedChain } from '../chain-notes.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log } from '../log/log.ts';
import { Partition } from '../partition.ts';
import { ForeignCleaner } from '../reshape/foreign-cleaner.ts';
import type { ReshapeSource } from '../reshape/reshape-work.ts';
import type { Timer } from '../time.ts';
import { GuardedLog } from './guarded-log.ts';
import { holdsLast } from './holds-last.ts';
import { isSpent } from './judge-log.ts';
import { findLogEnd } from './log-end.ts';
import { pause, unlessAborted } from './pause.ts';
import { ReplicaProof } from './replica-proof.ts';
import type { ReplicaFacts } from './replica-store.ts';
import type { ReplicaHalt, RunningReplicaOptions } from './running-replica-options.ts';
import { verifyReplica } from './verify-replica.ts';

export class RunningReplica {
  readonly log: GuardedLog;
  readonly #options: RunningReplicaOptions;
  readonly #engine: Engine;
  readonly #opened: ReplicaFacts;
  readonly #proof: ReplicaProof;
  readonly #closing = new AbortController();
  #partition: Partition | undefined;
  /** The partition's own, once it applied anything. */
  #state: Readonly<PartitionState> | undefined;
  #stored: bigint;
  #divergence: Pick<ReplicaHalt, 'decided' | 'kept'> = { decided: true, kept: false };
  /** Halted from outside while it was still starting. */
  #early: ReplicaHalt | undefined;
  #told = false;
  #check: AbortController | undefined;
  #answers = new Set<string>();
  #answered: (() => void) | undefined;
  #poll: Timer | undefined;
  #cleaner: ForeignCleaner | undefined;
  #behindSinceMs: number | undefined;

  /** Log and engine are its own from now on. */
  constructor(options: RunningReplicaOptions, log: Log, engine: Engine, facts: ReplicaFacts) {
    const { partition, node, time, exchange, replicas, heard, onAppended, onMismatch, proofInterval, gate } = options;
    this.#options = options;
    this.#engine = engine;
    this.#opened = facts;
    this.#stored = facts.position;
    this.log = new GuardedLog({
      log,
      time,
      onAppended,
      heard,
      ...(gate === undefined ? {} : { gate }),
      onRegressed: (position, taken) =>
        this.halt('log_regressed', `the log gave position ${position} away again, which was taken up to ${taken}`),
    });
    this.#proof = new ReplicaProof(
      {
        partition,
        node,
        incarnation: options.log.incarnation,
        replicas,
        exchange,
        time,
        ...(proofInterval === undefined ? {} : { interval: proofInterval }),
        verify: () => this.#verify(),
        onDiverged: (why, { decided, otherHistory }) => {
          this.#divergence = { decided, kept: !decided || otherHistory };
          this.halt('diverged', why);
        },
        onMismatch,
        onHeard: (from, position) => this.#heard(from, position),
      },
      facts,
    );
  }

  /** Resolves when everything that the log had is applied. Rejects with `partition_halted` after onHalted, and where the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const { partition, time, proposer, sweeps, asksTime, flushIntervalMs, keepsForeign } = this.#options;
    const stop = (): void => this.log.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      signal.throwIfAborted();
      this.#partition = await Partition.open({
        partition,
        log: this.log,
        generation: this.#options.log.generation,
        engine: this.#engine,
        time,
        proposer,
        sweeps,
        asksTime,
        ...(keepsForeign === undefined ? {} : { keepsForeign }),
        ...(flushIntervalMs === undefined ? {} : { flushIntervalMs }),
        onApplied: (state) => this.#applied(state),
        onStored: (position) => (this.#stored = position),
        onHalted: (reason, cause) => this.#halted(cause, reason, signal),
      });
    } catch (error) {
      // Before there was a partition that could have told.
      if (this.#early !== undefined && error instanceof StateStoreError) this.#halted(this.#early.cause, error, signal);
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    this.#pollLater();
    const replica = this.#partition;
    const mayClean = (): boolean => !this.#told && keepsForeign?.() === false;
    this.#cleaner = new ForeignCleaner({ replica, time, mayClean });
    this.#cleaner.start();
  }

  #halted(cause: HaltCause, reason: StateStoreError, signal: AbortSignal): void {
    this.#poll?.cancel();
    this.#proof.close();
    if (this.#told || signal.aborted) return;
    this.#told = true;
    const { onHalted } = this.#options;
    onHalted(this.#early ?? { cause, why: reason.message, ...this.#divergence }, reason);
  }

  /** As applied, also before it has started; of one that applied nothing yet, as it was opened. */
  get present(): ReshapeSource {
    const { partition, log } = this.#options;
    const state = this.#partition?.state ?? this.#state ?? loadState(this.#engine);
    return { partition, generation: log.generation, state, reader: this.#partition?.reader ?? this.#engine };
  }

  /** Undefined until it has started. */
  get partition(): Partition | undefined {
    return this.#partition;
  }

  #applied(state: Readonly<PartitionState>): void {
    this.#state = state;
    this.#proof.applied(state);
    this.#options.onApplied?.(state);
    if (state.position >= this.log.end) this.#behindSinceMs = undefined;
  }

  get facts(): ReplicaFacts {
    const state = this.#state;
    // Also `lastNanos`: nothing was applied since.
    if (state === undefined) return { ...this.#opened, incarnation: this.#options.log.incarnation };
    return {
      position: state.position,
      incarnation: this.#options.log.incarnation,
      chain: hashToHex(state.chain),
      stateHash: hashToHex(state.stateHash),
      entries: state.entries,
      bytes: state.bytes,
    };
  }

  /** Own chain at a position passed not long ago, as it is applied. */
  chainAt(position: bigint): string | undefined {
    if (position > this.applied) return undefined;
    if (position === this.applied) return this.facts.chain;
    return this.#partition === undefined ? notedChain(this.#engine, position) : this.#partition.chainAt(position);
  }

  /** Which log it follows. */
  get follows(): PartitionLog {
    return this.#options.log;
  }

  /** Whether it does what one of the partition's replicas does for all. */
  get isFirst(): boolean {
    return this.#options.sweeps();
  }

  get applied(): bigint {
    return this.#state?.position ?? this.#opened.position;
  }

  get stored(): bigint {
    return this.#stored;
  }

  /** Batches that the log has and this replica has not applied. */
  get lag(): number {
    const { end } = this.log;
    if (end <= this.applied) return 0;
    this.#behindSinceMs ??= this.#options.time.elapsedMs();
    return Number(end - this.applied);
  }

  /** How long it has been behind, as far as anybody looked. */
  get lagMs(): number {
    if (this.lag === 0 || this.#behindSinceMs === undefined) return 0;
    return this.#options.time.elapsedMs() - this.#behindSinceMs;
  }

  halt(cause: HaltCause, why: string): void {
    if (this.#partition !== undefined) return this.#partition.halt(cause, why);
    this.#early ??= { cause, why: `partition ${this.#options.partition}: ${why}`, ...this.#divergence };
    this.log.stop();
  }

  /** What another node reports of its replica. */
  sawReport(node: string, { incarnation, appliedPosition, chain, stateHash }: ReplicaReport): void {
    if (chain.length !== 32) return;
    this.#proof.heard({ node, incarnation, position: BigInt(appliedPosition), chain, stateHash });
  }

  #heard(node: string, position: bigint): void {
    this.#options.onHeard(position);
    this.log.reaches(position);
    this.#answers.add(node);
    this.#answered?.();
  }

  async #verify(): Promise<readonly string[]> {
    await this.#partition!.sync();
    return verifyReplica(this.#engine, this.#options.time, this.#closing.signal);
  }

  // Whether the log still has what it had.

  /** The connection was lost: nothing is taken until it is back and the log was looked at. */
  away(): void {
    this.log.hold('away');
  }

  /** Holds back what is new until it is sure that the log has what any replica is known to have applied; else halts. */
  async checkEnd(): Promise<void> {
    this.#check?.abort();
    const check = new AbortController();
    this.#check = check;
    this.log.hold('unsure');
    this.log.release('away');
    try {
      await this.#askPeers(check.signal);
      const end = await this.#findEnd(check.signal);
      check.signal.throwIfAborted();
      this.log.release('away');
      if (end === undefined) this.log.release('unsure');
      else this.halt('log_regressed', end);
    } catch {
      // Begun anew, or closed.
    }
  }

  /** Why the log is not whole; undefined: it is. For as long as it takes until somebody answers. */
  async #findEnd(signal: AbortSignal): Promise<string | undefined> {
    const { log, time, findLog } = this.#options;
    for (;;) {
      try {
        const heard = (): bigint => this.#least();
        const end = await findLogEnd({ find: findLog, incarnation: log.incarnation, heard, time, signal });
        const { kind, found } = end;
        if (kind !== 'regressed') {
          this.log.reaches(found.last);
          const last = this.#last();
          if ((await holdsLast(this.log, last, found, signal)) === false) {
            return `at ${last.position} the log has another batch than the one that was applied here`;
          }
          return isSpent(found, this.applied)
            ? `the log ${log.incarnation} is sealed, and ends at ${found.last}`
            : undefined;
        }
        if (found === undefined) return `the log ${log.incarnation} is gone`;
        if (found.incarnation !== log.incarnation) return `the log is now ${found.incarnation}`;
        return `the log ends at ${found.last}, position ${this.#least()} was applied`;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof StateStoreError)) throw error;
        // Nobody knows how long that takes: what is new is refused, and need not wait.
        this.log.hold('away');
        await pause(time, limits.logRegressedCheckMs, signal);
      }
    }
  }

  /** What the partition was given last. */
  #last(): Pick<ReplicaFacts, 'position' | 'lastNanos'> {
    const { delivered, deliveredNanos } = this.log;
    return deliveredNanos === undefined ? this.#opened : { position: delivered, lastNanos: deliveredNanos };
  }

  #least(): bigint {
    const heard = this.#options.heard();
    return heard > this.applied ? heard : this.applied;
  }

  async #askPeers(signal: AbortSignal): Promise<void> {
    const { time, expected } = this.#options;
    this.#answers = new Set();
    const all = Promise.withResolvers<void>();
    this.#answered = () => {
      if (expected().every((node) => this.#answers.has(node))) all.resolve();
    };
    this.#proof.inquire();
    this.#answered();
    const enough = new AbortController();
    const waiting = pause(time, limits.peerAnswerMs, enough.signal).catch(() => undefined);
    try {
      await unlessAborted(Promise.race([all.promise, waiting]), signal);
    } finally {
      enough.abort();
      this.#answered = undefined;
    }
  }

  #pollLater(): void {
    if (this.#closing.signal.aborted) return;
    this.#poll = this.#options.time.after(limits.logEndPollMs, () => {
      void this.#pollEnd().finally(() => this.#pollLater());
    });
  }

  async #pollEnd(): Promise<void> {
    const { log, findLog } = this.#options;
    // A look that is under way will tell.
    if (this.log.held) return;
    const least = this.#least();
    try {
      const found = await findLog();
      const isWhole = found?.incarnation === log.incarnation && found.last >= least && !isSpent(found, least);
      if (isWhole) this.log.reaches(found.last);
      else if (!this.#closing.signal.aborted) void this.checkEnd();
    } catch {
      // Nobody can be asked now: the next time will do.
    }
  }

  /**
   * Whether the log at this replica's position has the very batch that was applied here: then it was not the
   * log that lost something. Undefined where this process never applied one. Rejects where it cannot be read.
   */
  async holdsLast(signal: AbortSignal): Promise<boolean | undefined> {
    const { position, chain } = this.facts;
    const before = this.#proof.chainAt(position - 1n);
    if (before === undefined) return undefined;
    const log = await this.#options.openLog();
    const read = Promise.withResolvers<boolean>();
    const enough = Promise.withResolvers<void>();
    try {
      const subscription = log.subscribe({
        from: position,
        incarnation: this.#options.log.incarnation,
        onRecords: ([record]) => {
          if (record?.position === position) {
            extendChain(before, record);
            read.resolve(hashToHex(before) === chain);
          }
          // The others are not wanted.
          return enough.promise;
        },
      });
      void subscription.ended.then(() => read.resolve(false));
      return await unlessAborted(read.promise, signal);
    } finally {
      enough.resolve();
      await log.close();
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#check?.abort();
    this.#poll?.cancel();
    this.#proof.close();
    // What is held back would be waited for.
    if (this.log.held) this.log.stop();
    await this.#cleaner?.close();
    if (this.#partition !== undefined) return this.#partition.close();
    try {
      await this.log.close();
    } finally {
      await this.#engine.close();
    }
  }
}
