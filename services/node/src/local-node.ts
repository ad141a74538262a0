// The node as a gateway in the same process sees it, and as the link server serves it: it finds the
// partition, refuses what no replica should ever be given, and counts.
import type { BinaryString, Command } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type {
  ChangeBatch,
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
import type { Partition } from './partition.ts';

const storeName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export class LocalNode implements NodeService {
  readonly #partitions: ReadonlyMap<number, Partition>;
  readonly #version: string;
  readonly #operations: Record<string, number> = {};
  #hits = 0;
  #misses = 0;

  constructor(partitions: Iterable<Partition>, version: string) {
    this.#partitions = new Map([...partitions].map((partition) => [partition.number, partition]));
    this.#version = version;
  }

  #partition(number: number): Partition {
    const partition = this.#partitions.get(number);
    if (partition === undefined) {
      const held = [...this.#partitions.keys()].join(', ');
      throw new StateStoreError('moved', `partition ${number} is not on this node, which holds ${held}`, {
        retryAfterMs: 100,
      });
    }
    return partition;
  }

  async propose(partition: number, command: Command): Promise<Proposed> {
    checkCommand(command);
    this.#countCommand(command);
    return this.#partition(partition).propose(command);
  }

  get(partition: number, store: string, key: BinaryString, options: ReadOptions): MaybePromise<Found> {
    const at = this.#partition(partition);
    const wait = at.ready(options);
    if (wait !== undefined) return wait.then(() => this.#get(at, store, key));
    return this.#get(at, store, key);
  }

  getMany(
    partition: number,
    store: string,
    keys: readonly BinaryString[],
    options: ReadOptions,
  ): MaybePromise<FoundMany> {
    const at = this.#partition(partition);
    const wait = at.ready(options);
    const read = (): FoundMany => {
      const entries = keys.map((key) => at.get(store, key));
      this.#countMany(entries);
      return { entries, position: at.position };
    };
    return wait === undefined ? read() : wait.then(read);
  }

  scan(partition: number, scan: Scan, options: ReadOptions): MaybePromise<ScanPage> {
    const at = this.#partition(partition);
    this.#count('scan', 1);
    const wait = at.ready(options);
    return wait === undefined ? at.scan(scan) : wait.then(() => at.scan(scan));
  }

  store(partition: number, store: string): StoreInfo | undefined {
    return this.#partition(partition).store(store);
  }

  stores(partition: number): readonly StoreInfo[] {
    return this.#partition(partition).stores();
  }

  watch(partition: number, options: WatchOptions): AsyncIterable<ChangeBatch> {
    this.#count('watch', 1);
    return this.#partition(partition).watch(options);
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

  // oxlint-disable-next-line require-yield -- there is no copying yet
  async *copyState(partition: number): AsyncGenerator<StatePart, void> {
    throw new StateStoreError('internal', `partition ${partition} cannot be copied`);
  }

  #get(at: Partition, store: string, key: BinaryString): Found {
    const entry = at.get(store, key);
    this.#count('get', 1);
    if (entry === undefined) this.#misses++;
    else this.#hits++;
    return { entry, position: at.position };
  }

  #countMany(entries: readonly (Entry | undefined)[]): void {
    let hits = 0;
    for (const entry of entries) if (entry !== undefined) hits++;
    this.#count('get', entries.length);
    this.#hits += hits;
    this.#misses += entries.length - hits;
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

/** The last look before something goes into the log for ever: gateways have said it more kindly before. */
function checkCommand({ body, stamp, idempotency }: Command): void {
  if (stamp !== undefined) checkId('session', stamp.session);
  if (idempotency !== undefined) {
    checkId('idempotency id', idempotency.id);
    checkId('idempotency fingerprint', idempotency.fingerprint);
  }
  if ('store' in body && (body.store.length > limits.storeNameCharsMax || !storeName.test(body.store))) {
    throw new StateStoreError(
      'invalid_store_name',
      `the store name ${JSON.stringify(body.store)} is not of the form ${storeName.source}, up to ${limits.storeNameCharsMax} characters`,
    );
  }
  if (body.kind !== 'mutate') return;
  for (const { key } of body.checks) checkKey(key);
  for (const operation of body.operations) {
    checkKey(operation.key);
    if ('value' in operation && operation.value.length > limits.valueBytesMax) {
      throw new StateStoreError(
        'value_too_large',
        `the value has ${operation.value.length} bytes; it may have ${limits.valueBytesMax}`,
      );
    }
    if ('contentType' in operation) checkContentType(operation.contentType);
  }
}

/** In bytes: an entry writes its length into one. */
function checkContentType(contentType: string): void {
  const length = Buffer.byteLength(contentType);
  if (length <= limits.contentTypeBytesMax) return;
  throw new StateStoreError(
    'invalid_parameter',
    `the content type has ${length} bytes; it may have ${limits.contentTypeBytesMax}`,
  );
}

/** They become parts of the engine's keys, whose length has a bound. */
function checkId(what: string, id: BinaryString): void {
  if (id.length !== 16) throw new StateStoreError('invalid_parameter', `the ${what} has ${id.length} bytes; it has 16`);
}

function checkKey(key: BinaryString): void {
  if (key.length < 1 || key.length > limits.keyBytesMax) {
    throw new StateStoreError('invalid_key', `the key has ${key.length} bytes; it may have 1 to ${limits.keyBytesMax}`);
  }
}
