// The probe finds each thing that a repository may do wrong. Real servers: test/contract/repository-refused.test.ts.
import { describe, expect, test } from 'vitest';
import { setImmediate as turn } from 'node:timers/promises';
import { MemoryRepository } from './memory-repository.ts';
import type { ObjectInfo } from './repository.ts';
import { probeRepository } from './repository-probe.ts';

class Faulty extends MemoryRepository {
  protected async *listed(prefix: string): AsyncGenerator<ObjectInfo> {
    yield* super.list(prefix);
  }
}

/** Each does one thing wrong. */
const faulty: Readonly<Record<string, () => MemoryRepository>> = {
  'no conditional writes': () =>
    new (class extends Faulty {
      override async create(name: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
        await this.put(name, bytes);
        return 'created';
      }
    })(),
  'not atomic': () =>
    new (class extends Faulty {
      override async create(name: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
        const isThere = this.objects.has(name);
        await turn();
        if (isThere) return 'exists';
        await this.put(name, bytes);
        return 'created';
      }
    })(),
  'tells 0 of 4': () =>
    new (class extends Faulty {
      override async create(name: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
        const outcome = await super.create(name, bytes);
        return name.includes('race') ? 'exists' : outcome;
      }
    })(),
  'says of a new object that it exists': () =>
    new (class extends Faulty {
      override create(): Promise<'exists'> {
        return Promise.resolve('exists');
      }
    })(),
  'other bytes are there': () =>
    new (class extends Faulty {
      override async get(name: string): Promise<Uint8Array | undefined> {
        const found = await super.get(name);
        if (found !== undefined) found[0] = (found[0] ?? 0) ^ 1;
        return found;
      }
    })(),
  'does not give back what replaced it': () =>
    new (class extends Faulty {
      override async put(name: string, bytes: Uint8Array): Promise<void> {
        if (!this.objects.has(name)) await super.put(name, bytes);
      }
    })(),
  'nothing is there': () =>
    new (class extends Faulty {
      override get(): Promise<undefined> {
        return Promise.resolve(undefined);
      }
    })(),
  'that it has 0': () =>
    new (class extends Faulty {
      override async head(name: string): Promise<ObjectInfo | undefined> {
        const found = await super.head(name);
        return found && { ...found, sizeBytes: 0 };
      }
    })(),
  'does not list probe/': () =>
    new (class extends Faulty {
      override async *list(prefix: string): AsyncGenerator<ObjectInfo> {
        let isFirst = true;
        for await (const info of this.listed(prefix)) {
          if (!isFirst) yield info;
          isFirst = false;
        }
      }
    })(),
  'in order of their names': () =>
    new (class extends Faulty {
      override async *list(prefix: string): AsyncGenerator<ObjectInfo> {
        const all: ObjectInfo[] = [];
        for await (const info of this.listed(prefix)) all.push(info);
        const order = ({ name }: ObjectInfo): string => name.replaceAll('/', ' ');
        yield* all.toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
      }
    })(),
  'which was never created or was removed': () =>
    new (class extends Faulty {
      override remove(): Promise<void> {
        return Promise.resolve();
      }
    })(),
};

describe('the probe', () => {
  test('accepts a repository that does all it must, and leaves nothing', async () => {
    const repository = new MemoryRepository();
    await probeRepository(repository);
    expect(repository.objects.size).toBe(0);
  });

  test.each(Object.entries(faulty))('refuses one: %s', async (what, make) => {
    const repository = make();
    await expect(probeRepository(repository)).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(what) as string,
    });
    if (what !== 'which was never created or was removed') expect(repository.objects.size).toBe(0);
  });

  test('removes what a killed one left, and nothing younger', async () => {
    const repository = new MemoryRepository();
    const hourMs = 3600_000;
    repository.objects.set('probe/old/x', { bytes: Buffer.of(1), modifiedAtMs: Date.now() - 2 * hourMs });
    repository.objects.set('probe/new/x', { bytes: Buffer.of(1), modifiedAtMs: Date.now() - hourMs / 2 });
    await probeRepository(repository);
    expect([...repository.objects.keys()]).toEqual(['probe/new/x']);
  });
});
