// The engine that forgets at exit: a Map for reads (a get costs a tenth of a microsecond) beside a
// B-tree for order, whose copy-on-write clone is what a snapshot is. Both hold the same values.
//
// Values that go in are copied into blocks (value-blocks.ts); values that come out are those very
// bytes, never written to again: nobody may write into a value that an engine gave.
import type { BinaryString } from '@statestore/core';
import type {
  Acceptance,
  Engine,
  EngineEntries,
  EngineEntry,
  EngineRange,
  EngineReader,
  EngineSnapshot,
  EngineStatistics,
  EngineWrites,
} from './engine.ts';
import { asPart, checkKey, checkOrder, checkPosition, closedError } from './engine-rules.ts';
import type { KeyTree } from './sorted-keys.ts';
import { newKeyTree, walk } from './sorted-keys.ts';
import { ValueBlocks } from './value-blocks.ts';

/** One content: replaced as a whole by restore and clear, so that both are all or nothing. */
class Content {
  readonly values = new Map<BinaryString, Uint8Array>();
  readonly tree: KeyTree<Uint8Array> = newKeyTree();
  readonly #blocks = new ValueBlocks();
  /** Of keys and values. */
  bytes = 0;

  set(key: BinaryString, value: Uint8Array): void {
    const old = this.values.get(key);
    this.#keep(key, value);
    this.bytes += old === undefined ? key.length + value.length : value.length - old.length;
    if (old !== undefined) this.#blocks.release(old);
    this.#tidy();
  }

  /** A key greater than all that are there. */
  append(key: BinaryString, value: Uint8Array): void {
    this.#keep(key, value);
    this.bytes += key.length + value.length;
  }

  delete(key: BinaryString): boolean {
    const old = this.values.get(key);
    if (old === undefined) return false;
    this.values.delete(key);
    this.tree.delete(key);
    this.bytes -= key.length + old.length;
    this.#blocks.release(old);
    this.#tidy();
    return true;
  }

  #keep(key: BinaryString, value: Uint8Array): void {
    const kept = this.#blocks.place(key, value);
    this.values.set(key, kept);
    this.tree.set(key, kept);
  }

  #tidy(): void {
    for (let poor = this.#blocks.takePoor(); poor !== undefined; poor = this.#blocks.takePoor()) {
      for (const key of poor.keys) {
        const value = this.values.get(key);
        if (value !== undefined && poor.isIn(value)) this.#keep(key, value);
      }
    }
  }
}

class TreeReader implements EngineReader {
  readonly #tree: () => KeyTree<Uint8Array>;

  constructor(tree: () => KeyTree<Uint8Array>) {
    this.#tree = tree;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#tree().get(key);
  }

  has(key: BinaryString): boolean {
    return this.#tree().has(key);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    return mapSteps(walk(this.#tree(), range), ([key, value]) => ({ key, value }));
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    return mapSteps(walk(this.#tree(), range), ([key]) => key);
  }
}

class MemorySnapshot extends TreeReader implements EngineSnapshot {
  readonly position: bigint;
  readonly #close: () => void;

  constructor(tree: KeyTree<Uint8Array>, position: bigint) {
    let held: KeyTree<Uint8Array> | undefined = tree;
    super(() => {
      if (held === undefined) throw closedError();
      return held;
    });
    this.position = position;
    this.#close = () => (held = undefined);
  }

  close(): void {
    this.#close();
  }
}

export class MemoryEngine implements Engine {
  readonly kind = 'memory';
  readonly durable = false;
  #content = new Content();
  #position = 0n;
  #closed = false;
  readonly #reader = new TreeReader(() => this.#open().tree);

  get position(): bigint {
    return this.#position;
  }

  get(key: BinaryString): Uint8Array | undefined {
    return this.#open().values.get(key);
  }

  has(key: BinaryString): boolean {
    return this.#open().values.has(key);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    return this.#reader.range(range);
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    return this.#reader.keys(range);
  }

  async commit(writes: EngineWrites, position: bigint): Promise<void> {
    const content = this.#open();
    checkPosition(position, this.#position);
    for (const key of writes.keys()) checkKey(key);
    for (const [key, value] of writes) {
      if (value === undefined) content.delete(key);
      else content.set(key, value);
    }
    this.#position = position;
  }

  async put(key: BinaryString, value: Uint8Array): Promise<void> {
    checkKey(key);
    this.#open().set(key, value);
  }

  async delete(key: BinaryString): Promise<boolean> {
    checkKey(key);
    return this.#open().delete(key);
  }

  snapshot(): EngineSnapshot {
    return new MemorySnapshot(this.#open().tree.clone(), this.#position);
  }

  async restore(entries: EngineEntries, position: bigint, accept?: Acceptance): Promise<void> {
    this.#open();
    const content = new Content();
    let last: BinaryString | undefined;
    for await (const item of entries) {
      for (const { key, value } of asPart(item)) {
        checkOrder(key, last);
        content.append(key, value);
        last = key;
      }
    }
    await accept?.(new TreeReader(() => content.tree));
    this.#open();
    this.#content = content;
    this.#position = position;
  }

  async clear(): Promise<void> {
    this.#open();
    this.#content = new Content();
    this.#position = 0n;
  }

  statistics(): EngineStatistics {
    const { bytes, values } = this.#open();
    return { sizeBytes: bytes, length: values.size };
  }

  /** There is no file; memory is given back as values are replaced. */
  async compact(): Promise<{ readonly beforeBytes: number; readonly afterBytes: number }> {
    const { bytes } = this.#open();
    return { beforeBytes: bytes, afterBytes: bytes };
  }

  async sync(): Promise<void> {
    this.#open();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#content = new Content();
  }

  #open(): Content {
    if (this.#closed) throw closedError();
    return this.#content;
  }
}

/** As Iterator.prototype.map, at a third of its cost. */
function mapSteps<A, B>(steps: IterableIterator<A>, as: (value: A) => B): IterableIterator<B> {
  return {
    next() {
      const step = steps.next();
      return step.done === true ? { done: true, value: undefined } : { done: false, value: as(step.value) };
    },
    return() {
      steps.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}
