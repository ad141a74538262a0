// A log that is to be recovered, over any streams and any topology store: what the contracts of recovering it begin
// with, and look at it by.
import type { Clock, LogStreams, LostLog, RecoveryPoint, TopologyStore } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { evenTopology } from '@statestore/core';
import type { Log } from '../../services/node/src/log/log.ts';

/** Of one test: nothing is in it. */
export interface RecoveryWorld {
  readonly topologyStore: TopologyStore;
  readonly logStreams: LogStreams;
  readonly clock: Clock;
  openLog(partition: number, log: PartitionLog): Promise<Log>;
}

/** A hundred times as fast as the real one: an old stream is looked at for long. */
export const hurriedClock: Clock = {
  elapsedMs: () => performance.now() * 100,
  after(ms, run) {
    const timer = setTimeout(run, ms / 100);
    return { cancel: () => clearTimeout(timer) };
  },
};

export const chain = 'ab'.repeat(16);
export const bytes = Buffer.from('record');

/** Partition 0 has a log of generation 1, which nothing was written to. */
export class LostLogWorld {
  readonly world: RecoveryWorld;
  readonly lost: PartitionLog;

  private constructor(world: RecoveryWorld, lost: PartitionLog) {
    this.world = world;
    this.lost = lost;
  }

  static async make(world: RecoveryWorld, replicas: number): Promise<LostLogWorld> {
    const lost = await world.logStreams.create({ partition: 0, generation: 1, replicas });
    const [placement] = evenTopology(1, ['a']).partitions;
    const spec = { replicationFactor: 1, logReplicas: replicas, drained: [] };
    await world.topologyStore.replace({ epoch: 1n, spec, partitions: [{ ...placement!, log: lost }] });
    return new LostLogWorld(world, lost);
  }

  point(position: bigint, { incarnation } = this.lost): RecoveryPoint {
    return { partition: 0, incarnation, position, chain };
  }

  /** `then`: what is decided, each time that it is asked; the last of them from then on. */
  at(position: bigint, log = this.lost, then: readonly bigint[] = [position]): LostLog {
    let asked = 0;
    return {
      partition: 0,
      incarnation: log.incarnation,
      position,
      decide: () => Promise.resolve(this.point(then[Math.min(asked++, then.length - 1)]!, log)),
    };
  }

  async named(): Promise<PartitionLog> {
    return (await this.world.topologyStore.read())!.partitions[0]!.log!;
  }

  async append(log: PartitionLog, count = 1): Promise<string[]> {
    const opened = await this.world.openLog(0, log);
    const kinds: string[] = [];
    for (let i = 0; i < count; i++) kinds.push((await opened.append(bytes)).kind);
    await opened.close();
    return kinds;
  }

  /** Streams of later generations. */
  async later(): Promise<number[]> {
    const found = [];
    for (let generation = 2; generation < 8; generation++) {
      if ((await this.world.logStreams.describe(0, generation)) !== undefined) found.push(generation);
    }
    return found;
  }
}

export function bound(logStreams: LogStreams): LogStreams {
  return {
    create: (log) => logStreams.create(log),
    startAt: (...args) => logStreams.startAt(...args),
    describe: (...args) => logStreams.describe(...args),
    seal: (...args) => logStreams.seal(...args),
    remove: (...args) => logStreams.remove(...args),
  };
}
