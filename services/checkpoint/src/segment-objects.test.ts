import { describe, expect, test } from 'vitest';
import { logA, segment } from './archive.testing.ts';
import { MemoryRepository } from './memory-repository.ts';
import { segmentName } from './names.ts';
import { readableThrough, readSegment, storeSegment } from './segment-objects.ts';

const { signal } = new AbortController();

/** Keeps the bytes of some objects with one of them changed. */
class Garbling extends MemoryRepository {
  garbles = true;

  override create(
    ...[name, bytes, call]: Parameters<MemoryRepository['create']>
  ): ReturnType<MemoryRepository['create']> {
    return super.create(name, this.garbles ? garbled(bytes) : bytes, call);
  }

  override put(...[name, bytes, call]: Parameters<MemoryRepository['put']>): ReturnType<MemoryRepository['put']> {
    return super.put(name, this.garbles ? garbled(bytes) : bytes, call);
  }
}

function garbled(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

describe('a segment', () => {
  test('counts as stored when it was read back; one that was not kept as it was is stored again', async () => {
    const repository = new Garbling();
    const some = segment(1n, 5n);
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(storeSegment(repository, some, signal)).rejects.toMatchObject({ code: 'unavailable' });
    repository.garbles = false;
    expect(await storeSegment(repository, some, signal)).toBeGreaterThan(0);
    const place = { incarnation: logA, first: 1n, last: 5n };
    expect(await readSegment(repository, place, { signal })).toMatchObject({ chain: some.chain });
  });

  test('at the end of the archive counts for a log that is to be trimmed only where it can be read', async () => {
    const repository = new MemoryRepository();
    const incarnation = logA;
    const through = (first = 1n): Promise<bigint> => readableThrough(repository, incarnation, first, { signal });
    expect(await through()).toBe(0n);
    for (const from of [1n, 6n]) await storeSegment(repository, segment(from, from + 4n), signal);
    expect(await through()).toBe(10n);
    const name = segmentName(incarnation, 6n, 10n);
    await repository.put(name, garbled((await repository.get(name))!));
    expect(await through()).toBe(5n);
    expect(await through(7n)).toBe(6n);
    // Another one has the same batches.
    await storeSegment(repository, segment(4n, 10n), signal);
    expect(await through()).toBe(10n);
  });
});
