// The node as a gateway in the same process sees it, and as the link server serves it: it finds the
// partition, refuses what no replica should ever be given, and counts. Which partitions it has, and
// opening and closing them, is its owner's.
import type { BinaryString, Command } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type {
  ChangeBatch,
  CheckpointItem,
  CheckpointOrder,
  Entry,
  Found,
  FoundMany,
  MaybePromise,
  NodeService,
  NodeStatus,
  Proposed,
  ReadOptions,
  Scan,
  ScanPage,
  StatePart,
  StoreInfo,
  WatchOptions,
} from '@statestore/link';
import type { CheckpointDesk } from './checkpoint/checkpoint-desk.ts';
import { checkCommand } from './command-check.ts';
import { CopyDesk } from './copy/serve-copy.ts';
import type { Partition } from './partition.ts';
import { moved } from './readiness.ts';

export interface LocalNodeOptions {
  /** Asked before each command goes to its partition: undefined, or why it is not taken now. */
  readonly admission?: (command: Command) => StateStoreError | undefined;
  /** Told of each command that was not taken, or whose outcome is not known. */
  readonly onRefused?: (error: unknown) => void;
  /** Of a node on its own whose data were restored: of all its logs. What clients were told of before is of earlier ones. */
  readonly generation?: number | undefined;
}

export class LocalNode implements NodeService {
  readonly #partitions = new Map<number, Partition>();
  readonly #version: string;
  readonly #admission: LocalNodeOptions['admission'];
  readonly #onRefused: LocalNodeOptions['onRefused'];
  readonly #generation: number | undefined;
  readonly #copies = new CopyDesk();
  /** Where parts of checkpoints are written; undefined: the node has no repository. */
  checkpoints: CheckpointDesk | undefined;
  readonly #operations: Record<string, number> = {};
  /** Keys read and commands taken, by partition, since the process began. */
  readonly #served = new Map<number, number>();
  #hits = 0;
  #misses = 0;

  constructor(version: string, { admission, onRefused, generation }: LocalNodeOptions = {}) {
    this.#version = version;
    this.#admission = admission;
    this.#onRefused = onRefused;
    this.#generation = generation;
  }

  /** In the place of an earlier one of the same number, if there is one. */
  add(partition: Partition): void {
    this.#partitions.set(partition.number, partition);
  }

  /** Whoever asks for it from now on is sent away. What it was asked before, it still answers. */
  remove(number: number): void {
    this.#partitions.delete(number);
  }

  /** Keys read and commands taken of this partition since the process began: how much of the load is its. */
  served(number: number): number {
    return this.#served.get(number) ?? 0;
  }

  /** `generation`: of the log that the caller knows; undefined: whatever one. */
  #partition(number: number, generation?: number): Partition {
    const partition = this.#partitions.get(number);
    if (partition === undefined) {
      const held = this.#partitions.size === 0 ? 'none' : [...this.#partitions.keys()].join(', ');
      throw moved(`partition ${number} is not on this node, which holds ${held}`);
    }
    const { generation: own } = partition;
    if (generation !== undefined && own !== undefined && generation !== own) {
      throw moved(
        `partition ${number} follows its log of generation ${own} here, and was asked of that of ${generation}`,
      );
    }
    return partition;
  }

  /** As decision 10 has it, where no gateway can: of a log before the restore nothing is left to wait for. */
  #asked(options: ReadOptions): ReadOptions {
    const own = this.#generation;
    const { atLeast, generation = 1, ...rest } = options;
    if (own === undefined || atLeast === undefined || generation === own) return options;
    if (generation < own) return rest;
    throw new StateStoreError(
      'unavailable',
      `the session tells of a log of generation ${generation}; that of this node is of ${own}`,
      { hint: 'If the token is of another cluster, leave it out.', retryAfterMs: limits.sessionTopologyRetryMs },
    );
  }

  async propose(partition: number, command: Command, generation?: number): Promise<Proposed> {
    try {
      checkCommand(command);
      this.#countCommand(command);
      const at = this.#partition(partition, generation);
      const refusal = this.#admission?.(command);
      if (refusal !== undefined) throw refusal;
      this.#serves(partition, command.body.kind === 'mutate' ? command.body.operations.length : 1);
      return await at.propose(command);
    } catch (error) {
      this.#onRefused?.(error);
      throw error;
    }
  }

  get(partition: number, store: string, key: BinaryString, asked: ReadOptions): MaybePromise<Found> {
    const options = this.#asked(asked);
    const at = this.#partition(partition, options.generation);
    const wait = at.ready(options);
    if (wait !== undefined) return wait.then(() => this.#get(at, store, key));
    return this.#get(at, store, key);
  }

  getMany(
    partition: number,
    store: string,
    keys: readonly BinaryString[],
    asked: ReadOptions,
  ): MaybePromise<FoundMany> {
    const options = this.#asked(asked);
    const at = this.#partition(partition, options.generation);
    const wait = at.ready(options);
    const read = (): FoundMany => {
      const entries = keys.map((key) => at.get(store, key));
      this.#countMany(entries);
      this.#serves(partition, entries.length);
      return { entries, position: at.position, generation: at.generation };
    };
    return wait === undefined ? read() : wait.then(read);
  }

  scan(partition: number, scan: Scan, asked: ReadOptions): MaybePromise<ScanPage> {
    const options = this.#asked(asked);
    const at = this.#partition(partition, options.generation);
    this.#count('scan', 1);
    this.#serves(partition, 1);
    const wait = at.ready(options);
    const { slotsEpoch } = options;
    return wait === undefined ? at.scan(scan, slotsEpoch) : wait.then(() => at.scan(scan, slotsEpoch));
  }

  store(partition: number, store: string): StoreInfo | undefined {
    return this.#partition(partition).store(store);
  }

  stores(partition: number): readonly StoreInfo[] {
    return this.#partition(partition).stores();
  }

  watch(partition: number, options: WatchOptions): AsyncIterable<ChangeBatch> {
    this.#count('watch', 1);
    const own = this.#generation;
    const { generation = 1 } = options;
    if (own !== undefined && generation < own) {
      const message = `the watch is of a log before a restore, of generation ${generation}; this one is of ${own}`;
      throw new StateStoreError('cursor_expired', message, { hint: 'read the store again and watch from now on' });
    }
    return this.#partition(partition, options.generation).watch(options);
  }

  async sync(partition: number): Promise<void> {
    this.#count('sync', 1);
    await this.#partition(partition).sync();
  }

  async compact(partition: number): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    this.#count('compact', 1);
    return this.#partition(partition).compact();
  }

  async status(): Promise<NodeStatus> {
    const partitions = await Promise.all([...this.#partitions.values()].map((partition) => partition.status()));
    return {
      version: this.#version,
      partitions,
      counts: { operations: { ...this.#operations }, hits: this.#hits, misses: this.#misses },
    };
  }

  copyState(partition: number, { signal }: { readonly signal: AbortSignal }): AsyncIterable<StatePart> {
    this.#count('copyState', 1);
    return this.#copies.serve(this.#partition(partition), signal);
  }

  writeCheckpoint(
    partition: number,
    order: CheckpointOrder & { readonly signal: AbortSignal },
  ): AsyncIterable<CheckpointItem> {
    const source = this.#partition(partition);
    if (this.checkpoints === undefined)
      throw new StateStoreError('checkpoints_not_configured', 'this node has no repository of checkpoints');
    this.#count('writeCheckpoint', 1);
    return this.checkpoints.write(source, order);
  }

  #get(at: Partition, store: string, key: BinaryString): Found {
    const entry = at.get(store, key);
    this.#count('get', 1);
    this.#serves(at.number, 1);
    if (entry === undefined) this.#misses++;
    else this.#hits++;
    return { entry, position: at.position, generation: at.generation };
  }

  #countMany(entries: readonly (Entry | undefined)[]): void {
    let hits = 0;
    for (const entry of entries) if (entry !== undefined) hits++;
    this.#count('get', entries.length);
    this.#hits += hits;
    this.#misses += entries.length - hits;
  }

  #serves(partition: number, by: number): void {
    this.#served.set(partition, (this.#served.get(partition) ?? 0) + by);
  }

  #count(operation: string, by: number): void {
    this.#operations[operation] = (this.#operations[operation] ?? 0) + by;
  }

  #countCommand({ body }: Command): void {
    if (body.kind !== 'mutate') return this.#count(body.kind, 1);
    if (body.atomic) this.#count('transaction', 1);
    for (const { kind } of body.operations) this.#count(kind, 1);
  }
}
