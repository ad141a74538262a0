// A repository that is gone with its process: for tests, and for measuring without a disk. It keeps the contract that
// the lasting ones keep.
import { limits } from '@statestore/core';
import { checkListPrefix, checkObjectName } from './object-name.ts';
import { OpenCalls } from './open-calls.ts';
import type { ObjectInfo, ObjectName, Repository, RepositoryCall } from './repository.ts';
import { probeRepository } from './repository-probe.ts';

interface Stored {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

export class MemoryRepository implements Repository {
  readonly kind = 'folder';
  readonly location = 'memory';
  /** What is there; tests damage it. */
  readonly objects: Map<ObjectName, Stored>;
  readonly #calls = new OpenCalls(this.location, limits.repositoryConcurrencyMax);

  /** `objects`: of another one, which is then the same repository. */
  constructor(objects: Map<ObjectName, Stored> = new Map()) {
    this.objects = objects;
  }

  probe(call?: RepositoryCall): Promise<void> {
    return probeRepository(this, call);
  }

  async get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    const stored = await this.#run(name, call, () => this.objects.get(name));
    return stored && Uint8Array.from(stored.bytes);
  }

  async head(name: ObjectName, call?: RepositoryCall): Promise<ObjectInfo | undefined> {
    const stored = await this.#run(name, call, () => this.objects.get(name));
    return stored && infoOf(name, stored);
  }

  async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    await this.#run(name, call, () => this.#store(name, bytes));
  }

  async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    return this.#run(name, call, () => {
      if (this.objects.has(name)) return 'exists';
      this.#store(name, bytes);
      return 'created';
    });
  }

  async *list(prefix: string, call?: RepositoryCall): AsyncIterable<ObjectInfo> {
    checkListPrefix(prefix);
    const names = await this.#calls.run(call, async () =>
      [...this.objects.keys()].filter((name) => name.startsWith(prefix)).toSorted(),
    );
    for (const name of names) {
      const stored = this.objects.get(name);
      if (stored !== undefined) yield infoOf(name, stored);
    }
  }

  async remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void> {
    for (const name of names) checkObjectName(name);
    await this.#calls.run(call, async () => {
      for (const name of names) this.objects.delete(name);
    });
  }

  close(): Promise<void> {
    return this.#calls.close();
  }

  #run<T>(name: ObjectName, call: RepositoryCall | undefined, work: () => T): Promise<T> {
    checkObjectName(name);
    return this.#calls.run(call, async () => work());
  }

  #store(name: ObjectName, bytes: Uint8Array): void {
    this.objects.set(name, { bytes: Uint8Array.from(bytes), modifiedAtMs: Date.now() });
  }
}

function infoOf(name: ObjectName, { bytes, modifiedAtMs }: Stored): ObjectInfo {
  return { name, sizeBytes: bytes.length, modifiedAtMs };
}
