// The whole cluster as one NodeService: each request goes to the replicas of its partition. What is asked
// of one replica goes through the dispatcher; what concerns all of them is asked of all that are there.
import { type BinaryString, type Command, StateStoreError } from '@statestore/core';
import type {
  ChangeBatch,
  CheckpointItem,
  CheckpointOrder,
  Found,
  FoundMany,
  MaybePromise,
  NodeService,
  NodeStatus,
  Place,
  Proposed,
  ReadOptions,
  Scan,
  ScanPage,
  StatePart,
  StoreInfo,
  WatchOptions,
} from '@statestore/link';
import type { Dispatcher } from './dispatcher.ts';
import { follow } from './follow.ts';
import type { Lane } from './health.ts';
import type { PartitionReplicas } from './replicas.ts';
import { leavesOpen } from './rules.ts';

export interface ClusterServiceOptions {
  readonly dispatcher: Dispatcher;
  readonly replicasOf: (partition: number) => PartitionReplicas;
  readonly nodes: () => readonly Pick<NodeService, 'status'>[];
}

const says = (): false => false;
const sessionRead: ReadOptions = { consistency: 'session' };
const placeOf = (answer: Place): Place => answer;
const answerLeavesOpen = ({ code }: Proposed): boolean => leavesOpen(code);

/** What a node of an earlier version answers names no log: it is of the one that it was asked for. */
function named<T extends Place>(answer: MaybePromise<T>, generation: number | undefined): MaybePromise<T> {
  if (generation === undefined) return answer;
  const nameIt = (it: T): T => (it.generation === undefined ? { ...it, generation } : it);
  return answer instanceof Promise ? answer.then(nameIt) : nameIt(answer);
}

export class ClusterService implements NodeService {
  readonly #dispatcher: Dispatcher;
  readonly #options: ClusterServiceOptions;

  constructor(options: ClusterServiceOptions) {
    this.#dispatcher = options.dispatcher;
    this.#options = options;
  }

  propose(partition: number, command: Command): Promise<Proposed> {
    const replicas = this.#options.replicasOf(partition);
    return this.#dispatcher.run<Proposed>({
      kind: 'write',
      lane: 'log',
      patient: false,
      replicas,
      repeatable: command.stamp !== undefined || command.idempotency !== undefined,
      timeoutMs: this.#dispatcher.timing.proposeMs,
      call(node) {
        const { generation } = replicas;
        return named(node.propose(partition, command, generation), generation);
      },
      leavesOpen: answerLeavesOpen,
      // Where it was sent it is asked after, also when the partition was merged away.
      isMoot: () => replicas.gone,
      placeOf,
    });
  }

  get(partition: number, store: string, key: BinaryString, options: ReadOptions): Promise<Found> {
    return this.#read(partition, options, (node, at) => node.get(partition, store, key, at));
  }

  getMany(partition: number, store: string, keys: readonly BinaryString[], options: ReadOptions): Promise<FoundMany> {
    return this.#read(partition, options, (node, at) => node.getMany(partition, store, keys, at));
  }

  scan(partition: number, scan: Scan, options: ReadOptions): Promise<ScanPage> {
    return this.#read(partition, options, (node, at) => node.scan(partition, scan, at));
  }

  #read<T extends Place>(
    partition: number,
    options: ReadOptions,
    read: (node: NodeService, options: ReadOptions) => MaybePromise<T>,
  ): Promise<T> {
    const replicas = this.#options.replicasOf(partition);
    const { consistency } = options;
    // This gateway may be the last one to hear of a newer log.
    if (replicas.isOutdatedFor(options)) this.#dispatcher.outdated();
    return this.#dispatcher.run<T>({
      kind: 'read',
      lane: consistency === 'strong' ? 'log' : 'local',
      patient: replicas.asksForMore(options),
      replicas,
      first: consistency === 'eventual' ? replicas.reader() : undefined,
      repeatable: true,
      timeoutMs: this.#dispatcher.timing.readMs,
      call(node) {
        const asked = replicas.asked(options);
        return named(read(node, asked), asked.generation);
      },
      leavesOpen: says,
      isMoot: () => replicas.isMoot(options.slotsEpoch),
      placeOf,
    });
  }

  store(partition: number, store: string, slotsEpoch?: bigint): Promise<StoreInfo | undefined> {
    return this.#look(partition, slotsEpoch, (node) => node.store(partition, store));
  }

  stores(partition: number, slotsEpoch?: bigint): Promise<readonly StoreInfo[]> {
    return this.#look(partition, slotsEpoch, (node) => node.stores(partition));
  }

  /** A read that cannot ask for a position itself, nor for a layout: it lies between two that can, of the same replica. */
  #look<T>(partition: number, slotsEpoch: bigint | undefined, look: (node: NodeService) => T | Promise<T>): Promise<T> {
    const layout = slotsEpoch === undefined ? {} : { slotsEpoch };
    const replicas = this.#options.replicasOf(partition);
    return this.#dispatcher.run<T>({
      kind: 'read',
      lane: 'local',
      patient: false,
      replicas,
      repeatable: true,
      timeoutMs: this.#dispatcher.timing.readMs,
      async call(node) {
        if (replicas.seen > 0n || slotsEpoch !== undefined) {
          await node.getMany(partition, '', [], replicas.asked({ ...sessionRead, ...layout }));
        }
        const found = await look(node);
        if (slotsEpoch !== undefined) {
          await node.getMany(partition, '', [], replicas.asked({ consistency: 'eventual', ...layout }));
        }
        return found;
      },
      leavesOpen: says,
      isMoot: () => replicas.isMoot(slotsEpoch),
      placeOf: undefined,
    });
  }

  async *watch(partition: number, options: WatchOptions): AsyncGenerator<ChangeBatch, void> {
    const replicas = this.#options.replicasOf(partition);
    const { from, generation } = options;
    if (from !== undefined)
      return yield* follow(this.#dispatcher, replicas, { ...options, from: { position: from, generation } });
    const now = await this.getMany(partition, '', [], sessionRead);
    yield* follow(this.#dispatcher, replicas, { ...options, from: { ...now, position: now.position + 1n } });
  }

  /**
   * Everything that was written before is in the engine and on disk of every replica that is there. A replica
   * that goes away meanwhile does not count.
   */
  async sync(partition: number): Promise<void> {
    await this.#everywhere(partition, 'log', async (node) => {
      // It has applied what was written before.
      await node.getMany(partition, '', [], { consistency: 'strong' });
      await node.sync(partition);
    });
  }

  /** On every replica that is there, one after the other: each is a copy of a file. Sizes are those of all. */
  async compact(partition: number): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    const sum = { beforeBytes: 0, afterBytes: 0 };
    let before: Promise<unknown> = Promise.resolve();
    await this.#everywhere(partition, 'local', (node) => {
      const mine = before.then(() => node.compact(partition));
      before = mine.catch(() => undefined);
      return mine.then(({ beforeBytes, afterBytes }) => {
        sum.beforeBytes += beforeBytes;
        sum.afterBytes += afterBytes;
      });
    });
    return sum;
  }

  async #everywhere(partition: number, lane: Lane, run: (node: NodeService) => Promise<void>): Promise<void> {
    const replicas = this.#options.replicasOf(partition);
    const present = replicas.order(lane).filter((replica) => replicas.mayHelp(replica, lane));
    const outcomes = await Promise.allSettled(present.map((replica) => run(replicas.member(replica)!.link)));
    let failure: unknown = new StateStoreError('unavailable', `no replica of partition ${partition} is there`, {
      retryAfterMs: 1000,
    });
    let done = 0;
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') done++;
      else if (replicas.mayHelp(present[i]!, lane)) throw outcome.reason;
      else failure = outcome.reason;
    }
    if (done === 0) throw failure;
  }

  /** Of all nodes together; of a partition, one status for each replica. */
  async status(): Promise<NodeStatus> {
    const all = await Promise.all(this.#options.nodes().map((node) => node.status()));
    const operations: Record<string, number> = {};
    for (const { counts } of all) {
      for (const [name, count] of Object.entries(counts.operations)) operations[name] = (operations[name] ?? 0) + count;
    }
    return {
      version: all.find(({ version }) => version !== '')?.version ?? '',
      partitions: all.flatMap(({ partitions }) => partitions),
      counts: {
        operations,
        hits: all.reduce((sum, { counts }) => sum + counts.hits, 0),
        misses: all.reduce((sum, { counts }) => sum + counts.misses, 0),
      },
    };
  }

  async *copyState(partition: number, options: { readonly signal: AbortSignal }): AsyncGenerator<StatePart, void> {
    const replicas = this.#options.replicasOf(partition);
    const best = replicas.order('local')[0];
    const link = best === undefined ? undefined : replicas.member(best)?.link;
    if (link === undefined) throw new StateStoreError('unavailable', `no node holds partition ${partition}`);
    yield* link.copyState(partition, options);
  }

  async *writeCheckpoint(
    partition: number,
    options: CheckpointOrder & { readonly signal: AbortSignal },
  ): AsyncGenerator<CheckpointItem, void> {
    const replicas = this.#options.replicasOf(partition);
    const best = replicas.order('local')[0];
    const link = best === undefined ? undefined : replicas.member(best)?.link;
    if (link === undefined) throw new StateStoreError('unavailable', `no node holds partition ${partition}`);
    yield* link.writeCheckpoint(partition, options);
  }
}
