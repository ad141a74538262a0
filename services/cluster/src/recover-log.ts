// Making a lost log anew: the old stream is sealed, a stream of a later generation begins after the last
// position that is kept, and the topology names it. Compare-and-set decides between several who try; whoever is
// interrupted anywhere may begin again. From which replica to carry on is decided elsewhere.
import type { PartitionLog, PartitionPlacement, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { LogStreams } from './log-streams.ts';
import type { TopologyStore } from './topology-store.ts';

/** What a log is to be carried on from. */
export interface RecoveryPoint {
  readonly partition: number;
  /** UUID of the log that was lost. */
  readonly incarnation: string;
  /** The last position that is to be kept, and its chain. */
  readonly position: bigint;
  /** 32 hexadecimal digits. */
  readonly chain: string;
}

export interface RecoverySurroundings {
  readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'>;
  readonly logStreams: LogStreams;
}

export interface RecoverLogOptions {
  /** Also where the old stream has more than is kept: that is given up then. */
  readonly force?: boolean;
}

interface Made {
  readonly log: PartitionLog;
  /** It was there: of an attempt that did not come to its end, or of somebody who tries at the same time. */
  readonly found: boolean;
}

/**
 * Resolves with the log that the topology names now, which carries on exactly from here, also where somebody
 * else made it. Rejects with `data_format` where the topology names another log, or the old stream has more than
 * is to be kept; with `unavailable`, `outcome_unknown` or `disk_full` it may be tried again.
 */
export async function recoverLog(
  { topologyStore, logStreams }: RecoverySurroundings,
  from: RecoveryPoint,
  { force = false }: RecoverLogOptions = {},
): Promise<PartitionLog> {
  let made: Made | undefined;
  // Whether a change that names what was made may still be on its way.
  let unsure = false;
  for (let attempt = 0; attempt < limits.recoverAttemptsMax; attempt++) {
    const topology = await topologyStore.read();
    const placement = topology?.partitions.find(({ partition }) => partition === from.partition);
    if (topology === undefined || placement?.log === undefined) {
      throw new StateStoreError('unavailable', `the topology names no log of partition ${from.partition}`);
    }
    const { log } = placement;
    if (log.incarnation !== from.incarnation) {
      // Somebody else was first, so what was made here cannot be named any more, and nobody knows it.
      if (made?.found === false && !unsure && made.log.incarnation !== log.incarnation) {
        await logStreams.remove(from.partition, made.log.generation);
      }
      if (continuesExactly(log, from)) return log;
      throw other(log, from);
    }
    await fence(logStreams, log.generation, from, force);
    made ??= await makeLog(logStreams, from, log.generation, topology.spec?.logReplicas ?? 1);
    try {
      if ((await topologyStore.replace(withLog(topology, placement, made.log))) === 'replaced') return made.log;
    } catch (error) {
      if (!(error instanceof StateStoreError) || error.code !== 'outcome_unknown') throw error;
      // Reading tells; and naming the same log once more does no harm.
      unsure = true;
    }
  }
  throw new StateStoreError(
    'unavailable',
    `the topology changed ${limits.recoverAttemptsMax} times while the log of partition ${from.partition} was to be named`,
    { retryAfterMs: 1000 },
  );
}

/**
 * Nothing is acknowledged by the old stream from here on. Before it is sealed it is looked at, so that a refusal
 * leaves it as it was; and afterwards, for what came between.
 */
/* oxlint-disable-next-line max-params -- what it is about */
async function fence(
  logStreams: LogStreams,
  generation: number,
  { partition, incarnation, position }: RecoveryPoint,
  force: boolean,
): Promise<void> {
  const check = async (): Promise<boolean> => {
    const old = await logStreams.describe(partition, generation);
    if (old?.log.incarnation !== incarnation) return false;
    if (old.last <= position || force) return true;
    throw new StateStoreError(
      'data_format',
      `the log ${incarnation} of partition ${partition} goes to position ${old.last}; it was to be carried on after ${position}`,
      { hint: 'let a replica follow it to its end, or give up what is after that position (force)' },
    );
  };
  if (!(await check())) return;
  await logStreams.seal(partition, generation, incarnation);
  await check();
}

/* oxlint-disable-next-line max-params -- what it is made of */
async function makeLog(logStreams: LogStreams, from: RecoveryPoint, lost: number, replicas: number): Promise<Made> {
  const { partition, incarnation, position, chain } = from;
  const continues = { incarnation, position, chain };
  for (let generation = lost + 1; generation <= lost + limits.recoverGenerationsMax; generation++) {
    const there = await logStreams.describe(partition, generation);
    // One that nobody named is empty. Another one's maker may still name it: it is left alone.
    if (there !== undefined && continuesExactly(there.log, from) && there.last === position) {
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

function other({ generation, incarnation, continues }: PartitionLog, from: RecoveryPoint): StateStoreError {
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
