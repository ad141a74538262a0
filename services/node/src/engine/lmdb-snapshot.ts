// A point in time of an LMDB environment: a read transaction held open until it is closed.
import type { BinaryString } from '@statestore/core';
import type { EngineEntry, EngineRange, EngineSnapshot } from './engine.ts';
import { closedError, mayExist } from './engine-rules.ts';
import type { LmdbEnvironment, LmdbReadTransaction } from './lmdb-environment.ts';

export class LmdbSnapshot implements EngineSnapshot {
  readonly position: bigint;
  readonly #environment: LmdbEnvironment;
  readonly #held: LmdbReadTransaction;
  #closed = false;

  constructor(environment: LmdbEnvironment) {
    this.#environment = environment;
    this.#held = environment.beginRead();
    this.position = environment.position(this.#held);
  }

  get(key: BinaryString): Uint8Array | undefined {
    const environment = this.#open();
    return mayExist(key) ? environment.get(key, this.#held) : undefined;
  }

  has(key: BinaryString): boolean {
    const environment = this.#open();
    return mayExist(key) && environment.has(key, this.#held);
  }

  range(range: EngineRange): IterableIterator<EngineEntry> {
    return this.#open().range(range, this.#held);
  }

  keys(range: EngineRange): IterableIterator<BinaryString> {
    return this.#open().keys(range, this.#held);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#environment.endRead(this.#held);
  }

  #open(): LmdbEnvironment {
    if (this.#closed) throw closedError();
    return this.#environment;
  }
}
