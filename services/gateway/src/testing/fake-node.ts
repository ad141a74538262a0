// A node in memory, for tests of the gateway: the real apply over a Map for each partition, with no log
// and no disk behind it, a clock that tests move, and faults that they inject. Its partitions split and merge as
// fake-reshapes.ts has it.
import {
  applyBatch,
  changeKey,
  commandResult,
  decodeChanges,
  encodeBatch,
  hashToHex,
  loadState,
  newState,
  ownsKey,
  readEntry,
  readRange,
  StateStoreError,
  type BinaryString,
  type Command,
  type CommandResult,
  type PartitionState,
  type StateRange,
  type StateReader,
} from '@statestore/core';
import type {
  ChangeBatch,
  CheckpointItem,
  Found,
  FoundMany,
  KeyedEntry,
  NodeService,
  NodeStatus,
  Place,
  PartitionState as RunState,
  Proposed,
  ReadOptions,
  Scan,
  ScanPage,
  StatePart,
  StoreInfo,
  WatchOptions,
} from '@statestore/link';

export class MapReader implements StateReader {
  readonly map = new Map<BinaryString, Uint8Array>();
  #sorted: BinaryString[] | undefined;

  write(writes: ReadonlyMap<BinaryString, Uint8Array | undefined>): void {
    for (const [key, value] of writes) {
      if (value === undefined) {
        if (this.map.delete(key)) this.#sorted = undefined;
      } else {
        if (!this.map.has(key)) this.#sorted = undefined;
        this.map.set(key, value);
      }
    }
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.map.get(key);
  }

  *keys(range: StateRange): IterableIterator<BinaryString> {
    this.#sorted ??= [...this.map.keys()].toSorted();
    const from = range.start === undefined ? 0 : lowerBound(this.#sorted, range.start);
    const to = range.end === undefined ? this.#sorted.length : lowerBound(this.#sorted, range.end);
    const keys = this.#sorted;
    if (range.reverse === true) for (let i = to - 1; i >= from; i--) yield keys[i]!;
    else for (let i = from; i < to; i++) yield keys[i]!;
  }

  *range(range: StateRange): IterableIterator<{ key: BinaryString; value: Uint8Array }> {
    for (const key of this.keys(range)) yield { key, value: this.map.get(key)! };
  }
}

function lowerBound(keys: readonly BinaryString[], key: BinaryString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface FakePartition {
  readonly state: PartitionState;
  readonly reader: MapReader;
  /** Of its log; undefined: it has none. */
  readonly generation: number | undefined;
  /** Called after each batch. */
  readonly listeners: Set<() => void>;
}

function placeOf({ state: { position }, generation }: FakePartition): Place {
  return generation === undefined ? { position } : { position, generation };
}

/** What a test makes of one propose: an error before it, one after it, or none. */
export type Fault = {
  readonly before?: StateStoreError;
  readonly after?: StateStoreError;
  readonly wait?: Promise<void>;
};

export class FakeNode implements NodeService {
  readonly #partitions = new Map<number, FakePartition>();
  /** Added to the wall clock. */
  aheadMs = 0;
  /** Asked before each propose. */
  fault: ((partition: number, command: Command) => Fault | undefined) | undefined;
  /** What reads were asked for, the last one last. */
  readonly reads: ReadOptions[] = [];
  /** Every read waits for it. */
  readGate: Promise<void> | undefined;
  readonly states = new Map<number, { state: RunState; reason: string }>();
  /** Before each batch of changes that is told. */
  beforeChanges: ((partition: number) => Promise<void> | undefined) | undefined;
  /** Positions below this have no changes any more. */
  changesFrom = 1n;
  /** A replica that is behind: reads that it may answer are answered as of then. */
  readonly #behind = new Map<number, FakePartition>();
  proposed = 0;
  hits = 0;
  misses = 0;

  constructor(partitions: number) {
    for (let partition = 0; partition < partitions; partition++) this.add(partition, newState(), new MapReader());
  }

  add(partition: number, state: PartitionState, reader: MapReader, generation?: number): void {
    this.#partitions.set(partition, { state, reader, generation, listeners: new Set() });
  }

  remove(partition: number): void {
    this.#partitions.delete(partition);
    this.#behind.delete(partition);
  }

  /** From now on there is a replica of each partition that goes no further than this. */
  fallBehind(): void {
    this.#behind.clear();
    for (const [partition, { reader, generation }] of this.#partitions) {
      const old = new MapReader();
      old.write(reader.map);
      this.#behind.set(partition, { state: loadState(old), reader: old, generation, listeners: new Set() });
    }
  }

  /** Whoever answers a read: one that is behind, where what it has is enough. */
  #reading(partition: number, { consistency, atLeast = 0n, generation, slotsEpoch = 0n }: ReadOptions): FakePartition {
    const newest = this.#of(partition);
    const old = this.#behind.get(partition);
    if (old === undefined || consistency === 'strong' || atLeast > old.state.position) return newest;
    if (generation !== undefined && generation !== old.generation) return newest;
    return old.generation === newest.generation && slotsEpoch <= old.state.slotsEpoch ? old : newest;
  }

  /** Throws `moved` where it is not here. */
  partition(partition: number): FakePartition {
    return this.#of(partition);
  }

  #now(): number {
    return Date.now() + this.aheadMs;
  }

  #of(partition: number): FakePartition {
    const found = this.#partitions.get(partition);
    if (found === undefined) throw new StateStoreError('moved', `partition ${partition} is not here`);
    return found;
  }

  async propose(partition: number, command: Command): Promise<Proposed> {
    const fault = this.fault?.(partition, command);
    if (fault?.wait !== undefined) await fault.wait;
    if (fault?.before !== undefined) throw fault.before;
    this.proposed++;
    const result = this.apply(partition, command);
    if (fault?.after !== undefined) throw fault.after;
    return { ...result, ...placeOf(this.#of(partition)) };
  }

  apply(partition: number, command: Command): CommandResult {
    const { state, reader, listeners } = this.#of(partition);
    const bytes = encodeBatch({ partition, proposer: '\0'.repeat(16), number: 1, commands: [command] });
    const timestampNanos = BigInt(this.#now()) * 1_000_000n;
    const { results, writes } = applyBatch(state, reader, { position: state.position + 1n, timestampNanos, bytes });
    reader.write(writes);
    for (const listener of listeners) listener();
    return results[0] ?? commandResult('done');
  }

  #check({ state }: FakePartition, slotsEpoch: bigint | undefined): void {
    if (slotsEpoch === undefined || slotsEpoch === state.slotsEpoch) return;
    throw new StateStoreError('moved', `slots as of ${state.slotsEpoch} were asked by those of ${slotsEpoch}`);
  }

  get(partition: number, store: string, key: BinaryString, options: ReadOptions): Found | Promise<Found> {
    this.reads.push(options);
    const read = (): Found => {
      const from = this.#reading(partition, options);
      this.#check(from, options.slotsEpoch);
      return this.#get(from, store, key);
    };
    return this.readGate === undefined ? read() : this.readGate.then(read);
  }

  #get(from: FakePartition, store: string, key: BinaryString): Found {
    const { state, reader } = from;
    if (!ownsKey(state, store, key)) throw new StateStoreError('moved', 'the key is not of the partition');
    const entry = readEntry(state, reader, store, key, this.#now());
    if (entry === undefined) this.misses++;
    else this.hits++;
    return { entry, ...placeOf(from) };
  }

  getMany(partition: number, store: string, keys: readonly BinaryString[], options: ReadOptions): FoundMany {
    this.reads.push(options);
    const from = this.#reading(partition, options);
    this.#check(from, options.slotsEpoch);
    const entries = keys.map((key) => this.#get(from, store, key).entry);
    return { entries, ...placeOf(from) };
  }

  scan(
    partition: number,
    { store, start, end, reverse, limit, bytesMax, values }: Scan,
    options: ReadOptions,
  ): ScanPage {
    this.reads.push(options);
    const from = this.#reading(partition, options);
    this.#check(from, options.slotsEpoch);
    const { state, reader } = from;
    const place = placeOf(from);
    const entries: KeyedEntry[] = [];
    let bytes = 0;
    const range = { reverse, ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
    for (const entry of readRange(state, reader, store, range, this.#now())) {
      if (entries.length >= limit || bytes > bytesMax) return { entries, more: true, ...place };
      entries.push(values ? entry : { ...entry, value: new Uint8Array(0) });
      bytes += entry.key.length + entry.value.length;
    }
    return { entries, more: false, ...place };
  }

  store(partition: number, store: string, slotsEpoch?: bigint): StoreInfo | undefined {
    return this.stores(partition, slotsEpoch).find((info) => info.store === store);
  }

  stores(partition: number, slotsEpoch?: bigint): readonly StoreInfo[] {
    this.#check(this.#of(partition), slotsEpoch);
    return [...this.#of(partition).state.stores.values()].map((store) => ({
      store: store.name,
      entries: store.entries,
      bytes: store.bytes,
      expired: store.expired,
      settings: store.settings,
      settingsVersion: store.settingsVersion,
      allowanceEntries: store.allowanceEntries,
      allowanceBytes: store.allowanceBytes,
    }));
  }

  async *watch(partition: number, { store, prefix, from, signal }: WatchOptions): AsyncIterable<ChangeBatch> {
    const { state, reader, listeners, generation } = this.#of(partition);
    let next = from ?? state.position + 1n;
    if (next < this.changesFrom || next < state.changesFrom)
      throw new StateStoreError('cursor_expired', `changes before ${this.changesFrom} are gone`);
    if (next > state.position + 1n) throw new StateStoreError('invalid_cursor', `position ${next} lies in the future`);
    while (!signal.aborted) {
      for (; next <= state.position && !signal.aborted; next++) {
        const bytes = reader.get(changeKey(next));
        const { changes, clockNanos } = bytes === undefined ? { changes: [], clockNanos: 0n } : decodeChanges(bytes);
        const wanted = changes.filter(
          (change) => change.store === store && (change.kind === 'clear' || change.key.startsWith(prefix)),
        );
        const { slotsEpoch } = state;
        const wait = this.beforeChanges?.(partition);
        if (wait !== undefined) await wait;
        yield { position: next, generation, timeMs: Number(clockNanos / 1_000_000n), changes: wanted, slotsEpoch };
      }
      if (signal.aborted || next <= state.position) continue;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          listeners.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        listeners.add(done);
        signal.addEventListener('abort', done);
      });
    }
  }

  async sync(partition: number): Promise<void> {
    this.#of(partition);
  }

  async compact(partition: number): Promise<{ beforeBytes: number; afterBytes: number }> {
    this.#of(partition);
    return { beforeBytes: 0, afterBytes: 0 };
  }

  // oxlint-disable-next-line require-yield -- gateways do not ask for it
  async *copyState(partition: number): AsyncGenerator<StatePart, void> {
    throw new StateStoreError('internal', `partition ${partition} cannot be copied`);
  }

  // oxlint-disable-next-line require-yield -- gateways do not ask for it
  async *writeCheckpoint(partition: number): AsyncGenerator<CheckpointItem, void> {
    throw new StateStoreError('checkpoints_not_configured', `partition ${partition} has no repository`);
  }

  status(): NodeStatus {
    const partitions = [...this.#partitions].map(([partition, { state, reader }]) => ({
      partition,
      ...(this.states.get(partition) ?? { state: 'running' as const, reason: '' }),
      engine: 'memory',
      incarnation: '',
      appliedPosition: state.position,
      storedPosition: state.position,
      revision: state.revision,
      clockMs: Number(state.clockNanos / 1_000_000n),
      chain: hashToHex(state.chain),
      stateHash: hashToHex(state.stateHash),
      entries: state.entries,
      bytes: state.bytes,
      expired: state.expired,
      stores: state.stores.size,
      engineBytes: reader.map.size,
      logBytes: 0,
      queuedCommands: 0,
      writeBufferBytes: 0,
    }));
    return {
      version: 'fake',
      partitions,
      counts: { operations: { propose: this.proposed }, hits: this.hits, misses: this.misses },
    };
  }
}
