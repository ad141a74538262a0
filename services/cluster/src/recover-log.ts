// Making a lost log anew, so that nothing that anybody acknowledged meanwhile is lost: the old log is fenced
// (recovery-fence.ts), from where to carry on is decided by what nodes report after that, the old stream proves
// for a while that it takes nothing more, a stream of a later generation is made, and the topology names it. Until
// that last step nothing counts: whoever is interrupted anywhere begins again, and of several, compare-and-set
// lets one win. From which replica to carry on is decided elsewhere.
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { LogStreams } from './log-streams.ts';
import type { Fence, FencedLog } from './recovery-fence.ts';
import { elapsed, hasMore, isUnchanged, lookAt, namedLog, raiseFence, stepBack } from './recovery-fence.ts';
import type { TopologyStore } from './topology-store.ts';

/** What a log is to be carried on from. */
export interface RecoveryPoint {
  readonly partition: number;
  /** UUID of the log that the kept history is of: the lost one, or where nobody has anything of that, the one before it. */
  readonly incarnation: string;
  /** The last position that is to be kept, and its chain. */
  readonly position: bigint;
  /** 32 hexadecimal digits. */
  readonly chain: string;
}

export interface LostLog extends FencedLog {
  /**
   * From where to carry on, decided by nothing but reports of nodes that act on this epoch or a later one: they
   * were composed after the old log was sealed. Waits for them; asked again right before the new log is named.
   * Rejects, with `unavailable` where that may change, where it cannot be decided: then nothing is named.
   */
  readonly decide: (placement: PartitionPlacement, epoch: bigint) => Promise<RecoveryPoint>;
}

export interface RecoverySurroundings {
  readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'>;
  readonly logStreams: LogStreams;
  readonly clock?: Clock;
}

export interface RecoverLogOptions {
  /** Also where the old stream has more than is kept: that is given up then. */
  readonly force?: boolean;
  /** Rejects with its reason before the next step. */
  readonly signal?: AbortSignal;
}

interface Made {
  readonly log: PartitionLog;
  /** It was there: of an attempt that did not come to its end, or of somebody who tries at the same time. */
  readonly found: boolean;
}

/**
 * Resolves with the log that the topology names now, which carries on from where it was decided, also where somebody
 * else made it. Rejects with `data_format` where the topology names another log, or the old stream has more than
 * is to be kept, with what `decide` rejected with; with `unavailable`, `outcome_unknown` or `disk_full` it may be
 * tried again.
 */
export function recoverLog(
  surroundings: RecoverySurroundings,
  lost: LostLog,
  { force = false, signal = new AbortController().signal }: RecoverLogOptions = {},
): Promise<PartitionLog> {
  return new FencedRecovery(surroundings, lost, force, signal).run();
}

class FencedRecovery {
  readonly #surroundings: Required<RecoverySurroundings>;
  readonly #lost: LostLog;
  readonly #force: boolean;
  readonly #signal: AbortSignal;
  readonly #made: Made[] = [];
  /** Whether a change that names what was made may still be on its way. */
  #unsure = false;
  #point: RecoveryPoint | undefined;
  /** What came between, last. */
  #between = '';

  /* oxlint-disable-next-line max-params -- what recoverLog was given */
  constructor(
    { topologyStore, logStreams, clock = systemClock }: RecoverySurroundings,
    lost: LostLog,
    force: boolean,
    signal: AbortSignal,
  ) {
    this.#surroundings = { topologyStore, logStreams, clock };
    this.#lost = lost;
    this.#force = force;
    this.#signal = signal;
  }

  async run(): Promise<PartitionLog> {
    for (let attempt = 0; attempt < limits.recoverAttemptsMax; attempt++) {
      const log = await this.#attempt(attempt > 0);
      if (log !== undefined) return log;
    }
    throw new StateStoreError(
      'unavailable',
      `the log of partition ${this.#lost.partition} was fenced ${limits.recoverAttemptsMax} times, and each time ${this.#between}`,
      { retryAfterMs: 1000 },
    );
  }

  /** Undefined: something moved that was to stand still, so it is begun again. */
  async #attempt(again: boolean): Promise<PartitionLog | undefined> {
    const { clock } = this.#surroundings;
    const raised = await raiseFence(this.#surroundings, this.#lost, {
      force: this.#force || again,
      signal: this.#signal,
    });
    if (raised.kind === 'replaced') return this.#giveWay(raised.log);
    const { fence } = raised;
    // The fence took the place that the change would have had.
    this.#unsure = false;
    const point = await this.#decide(fence.placement, fence);
    this.#point = point;
    await elapsed(clock, fence.sealedAtMs + settleMs(fence), this.#signal);
    if (!(await this.#standsStill(fence, point))) return undefined;
    const { log } = await this.#make(fence, point);
    return this.#name(fence, point, log);
  }

  #decide(placement: PartitionPlacement, { epoch }: Fence): Promise<RecoveryPoint> {
    this.#signal.throwIfAborted();
    return this.#lost.decide(placement, epoch);
  }

  /** Whether the old stream is still as it was when it was sealed, with no more than is kept. */
  async #standsStill(fence: Fence, { position }: RecoveryPoint): Promise<boolean> {
    const { logStreams, clock } = this.#surroundings;
    this.#signal.throwIfAborted();
    const found = await lookAt(logStreams, this.#lost, fence.generation);
    if (!isUnchanged(fence.found, found)) {
      this.#between = 'its old stream was another one a while later';
      return false;
    }
    if (this.#force || !hasMore(found, position)) return true;
    this.#between = `its old stream had more (${found.last}) than any replica (${position})`;
    // A replica that waits may follow it to its end.
    await elapsed(clock, clock.elapsedMs() + limits.haltRecheckMs, this.#signal);
    return false;
  }

  async #make(fence: Fence, point: RecoveryPoint): Promise<Made> {
    this.#signal.throwIfAborted();
    const known = this.#made.find(({ log }) => continuesExactly(log, point));
    if (known !== undefined) return known;
    const made = await makeLog(this.#surroundings.logStreams, point, fence.generation, fence.logReplicas);
    this.#made.push(made);
    return made;
  }

  async #name(fence: Fence, point: RecoveryPoint, made: PartitionLog): Promise<PartitionLog | undefined> {
    const { topologyStore } = this.#surroundings;
    for (let attempt = 0; attempt < limits.topologyAttemptsMax; attempt++) {
      this.#signal.throwIfAborted();
      const { topology, placement, log } = await namedLog(topologyStore, this.#lost.partition);
      if (log.incarnation !== this.#lost.incarnation) return this.#giveWay(log);
      // By the same topology that is changed: whoever serves since then was asked as well.
      const now = await this.#decide(placement, fence);
      if (now.position !== point.position || now.chain !== point.chain) {
        this.#between = `the best replica moved, from ${point.position} to ${now.position}`;
        return undefined;
      }
      if (!(await this.#standsStill(fence, point))) return undefined;
      try {
        if ((await topologyStore.replace(withLog(topology, placement, made))) === 'replaced') {
          // What cannot be removed now is an empty stream that nobody knows.
          await this.#removeOthers(made).catch(() => undefined);
          return made;
        }
      } catch (error) {
        if (!(error instanceof StateStoreError) || error.code !== 'outcome_unknown') throw error;
        // Reading tells; and naming the same log once more does no harm.
        this.#unsure = true;
      }
      await stepBack(this.#surroundings.clock, this.#signal);
    }
    this.#between = `the topology changed ${limits.topologyAttemptsMax} times while the new log was to be named`;
    return undefined;
  }

  /** The topology names another log than the lost one. */
  async #giveWay(log: PartitionLog): Promise<PartitionLog> {
    if (!this.#unsure) await this.#removeOthers(log);
    const { incarnation, position } = this.#lost;
    const carriesOn =
      this.#point === undefined
        ? log.continues?.incarnation === incarnation && log.continues.position === position
        : continuesExactly(log, this.#point);
    if (carriesOn) return log;
    throw other(log, { ...this.#lost, position: this.#point?.position ?? position });
  }

  /** What was made here, and is not named, cannot be any more. */
  async #removeOthers({ incarnation }: PartitionLog): Promise<void> {
    for (const { log, found } of this.#made) {
      if (found || log.incarnation === incarnation) continue;
      await this.#surroundings.logStreams.remove(this.#lost.partition, log.generation, log.incarnation);
    }
  }
}

/** How long the old stream is to stand still. */
function settleMs({ found }: Fence): number {
  return found === undefined ? limits.recoverAbsentMs : limits.recoverSealedMs;
}

/* oxlint-disable-next-line max-params -- what it is made of */
async function makeLog(logStreams: LogStreams, from: RecoveryPoint, lost: number, replicas: number): Promise<Made> {
  const { partition, incarnation, position, chain } = from;
  const continues = { incarnation, position, chain };
  for (let generation = lost + 1; generation <= lost + limits.recoverGenerationsMax; generation++) {
    const there = await logStreams.describe(partition, generation);
    // One that nobody named is empty. Another one's maker may still name it: it is left alone.
    if (there !== undefined && continuesExactly(there.log, from) && there.last === position && there.sealed !== true) {
      return { log: there.log, found: true };
    }
    if (there !== undefined) continue;
    try {
      const log = await logStreams.create({ partition, generation, replicas, first: position + 1n, continues });
      return { log, found: false };
    } catch (error) {
      // Somebody made one meanwhile: theirs to name.
      if (!(error instanceof StateStoreError) || error.code !== 'data_format') throw error;
    }
  }
  throw new StateStoreError(
    'unavailable',
    `partition ${partition} has ${limits.recoverGenerationsMax} streams of later generations that no topology names`,
    { hint: 'remove those streams of NATS that are not named by `statestore status`' },
  );
}

function continuesExactly({ continues }: PartitionLog, { incarnation, position, chain }: RecoveryPoint): boolean {
  return continues?.incarnation === incarnation && continues.position === position && continues.chain === chain;
}

function other(
  { generation, incarnation, continues }: PartitionLog,
  from: Pick<RecoveryPoint, 'partition' | 'incarnation' | 'position'>,
): StateStoreError {
  const carried =
    continues === undefined
      ? 'which carries on none'
      : `which carries on ${continues.incarnation} after ${continues.position}`;
  return new StateStoreError(
    'data_format',
    `the log of partition ${from.partition} is ${incarnation} (generation ${generation}), ${carried}; it was to be recovered from ${from.incarnation} at ${from.position}`,
  );
}

function withLog(topology: Topology, placement: PartitionPlacement, log: PartitionLog): Topology {
  const partitions = topology.partitions.map((each) => (each === placement ? { ...placement, log } : each));
  return { ...topology, epoch: topology.epoch + 1n, partitions };
}
