// A repository that is gone with its process: for tests, and for measuring without a disk.
import type { ObjectInfo, ObjectName, Repository } from './repository.ts';

interface Stored {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

export class MemoryRepository implements Repository {
  readonly kind = 'folder';
  readonly location = 'memory';
  /** What is there; tests damage it. */
  readonly objects = new Map<ObjectName, Stored>();

  probe(): Promise<void> {
    return Promise.resolve();
  }

  async get(name: ObjectName): Promise<Uint8Array | undefined> {
    const stored = this.objects.get(name);
    return stored && Uint8Array.from(stored.bytes);
  }

  async head(name: ObjectName): Promise<ObjectInfo | undefined> {
    const stored = this.objects.get(name);
    return stored && infoOf(name, stored);
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    this.objects.set(name, { bytes: Uint8Array.from(bytes), modifiedAtMs: Date.now() });
  }

  async create(name: ObjectName, bytes: Uint8Array): Promise<'created' | 'exists'> {
    if (this.objects.has(name)) return 'exists';
    await this.put(name, bytes);
    return 'created';
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    const names = [...this.objects.keys()].filter((name) => name.startsWith(prefix)).toSorted();
    for (const name of names) {
      const stored = this.objects.get(name);
      if (stored !== undefined) yield infoOf(name, stored);
    }
  }

  async remove(names: readonly ObjectName[]): Promise<void> {
    for (const name of names) this.objects.delete(name);
  }

  async close(): Promise<void> {}
}

function infoOf(name: ObjectName, { bytes, modifiedAtMs }: Stored): ObjectInfo {
  return { name, sizeBytes: bytes.length, modifiedAtMs };
}
