// What every repository must do, whatever it is made of. Run against each kind in repository-*.test.ts, and against
// S3 through a proxy that makes requests fail.
import { randomBytes, randomUUID } from 'node:crypto';
import type { ObjectInfo, Repository } from '@statestore/checkpoint';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

export interface RepositoryFixture {
  /** Another client of the same, empty at the beginning of the suite. */
  open(): Promise<Repository>;
  close(): Promise<void>;
}

export interface ContractOptions {
  /** More objects than one page of a listing or of a removal holds; fewer where each request is slow. */
  readonly manyObjects: number;
  /** Answers get lost: who creates again what is there already, byte for byte, may be told that it was created. */
  readonly losesAnswers?: boolean;
}

export async function listAll(repository: Repository, prefix: string): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const info of repository.list(prefix)) all.push(info);
  return all;
}

export async function namesOf(repository: Repository, prefix: string): Promise<string[]> {
  return (await listAll(repository, prefix)).map(({ name }) => name);
}

export function repositoryContract(
  what: string,
  make: () => Promise<RepositoryFixture>,
  { manyObjects, losesAnswers = false }: ContractOptions,
): void {
  describe(`${what}: the repository contract`, () => {
    let fixture: RepositoryFixture;
    let one: Repository;
    let other: Repository;
    /** Of each test its own place. */
    let place = '';

    beforeAll(async () => {
      fixture = await make();
      one = await fixture.open();
      other = await fixture.open();
    });
    afterAll(async () => {
      await one.close();
      await other.close();
      await fixture.close();
    });
    beforeEach(() => {
      place = `blocks/${randomUUID()}`;
    });

    test('the probe accepts it and leaves nothing', async () => {
      await one.probe();
      expect(await namesOf(one, 'probe/')).toEqual([]);
    });

    test('four probes at once accept it', async () => {
      await Promise.all([one.probe(), other.probe(), one.probe(), other.probe()]);
      expect(await namesOf(one, 'probe/')).toEqual([]);
    });

    test.each([0, 1, 1000, 100_000, 5_000_000])('an object of %d bytes comes back as it was', async (size) => {
      const bytes = randomBytes(size);
      const before = Date.now() - 60_000;
      expect(await one.create(`${place}/x`, bytes)).toBe('created');
      expect(Buffer.compare((await other.get(`${place}/x`))!, bytes)).toBe(0);
      const info = await other.head(`${place}/x`);
      expect(info).toMatchObject({ name: `${place}/x`, sizeBytes: size });
      expect(info!.modifiedAtMs).toBeGreaterThan(before);
      expect(info!.modifiedAtMs).toBeLessThan(Date.now() + 60_000);
    });

    test('what is not there is undefined, in a folder that is not there, too', async () => {
      for (const name of [`${place}/x`, `${place}/a/b/c`, `nothing-${randomUUID()}`]) {
        expect(await one.get(name)).toBeUndefined();
        expect(await one.head(name)).toBeUndefined();
      }
      await one.put(`${place}/x/y`, randomBytes(3));
      expect(await one.get(`${place}/x`)).toBeUndefined();
      expect(await one.head(`${place}/x`)).toBeUndefined();
      expect(await one.get(`${place}/x/y/z`)).toBeUndefined();
      expect(await one.head(`${place}/x/y/z`)).toBeUndefined();
    });

    test('put replaces', async () => {
      const [first, second] = [randomBytes(2000), randomBytes(10)];
      await one.put(`${place}/x`, first);
      await other.put(`${place}/x`, second);
      expect(Buffer.compare((await one.get(`${place}/x`))!, second)).toBe(0);
      expect((await one.head(`${place}/x`))?.sizeBytes).toBe(10);
    });

    test('a reader beside writers sees one of the whole contents', async () => {
      const contents = Array.from({ length: 8 }, (_, i) => Buffer.alloc(200_000 + i, i));
      await one.put(`${place}/x`, contents[0]!);
      const state = { isWriting: true };
      const writing = (async () => {
        for (const content of contents) await other.put(`${place}/x`, content);
        state.isWriting = false;
      })();
      while (state.isWriting) {
        const found = await one.get(`${place}/x`);
        expect(contents.some((content) => Buffer.compare(content, found!) === 0)).toBe(true);
      }
      await writing;
    });

    test('a second creation is refused and changes nothing, with the same bytes or others', async () => {
      const bytes = randomBytes(500);
      expect(await one.create(`${place}/x`, bytes)).toBe('created');
      expect(await other.create(`${place}/x`, randomBytes(500))).toBe('exists');
      await one.put(`${place}/y`, bytes);
      for (const name of [`${place}/x`, `${place}/y`]) {
        const again = await one.create(name, bytes);
        expect(losesAnswers ? ['exists', 'created'] : ['exists']).toContain(again);
      }
      expect(Buffer.compare((await one.get(`${place}/x`))!, bytes)).toBe(0);
    });

    test('of eight creations of one name at once one wins, and its bytes are there', async () => {
      for (let round = 0; round < 10; round++) {
        const contents = Array.from({ length: 8 }, () => randomBytes(300));
        const told = await Promise.all(
          contents.map((bytes, i) => (i % 2 === 0 ? one : other).create(`${place}/${round}`, bytes)),
        );
        expect(told.filter((outcome) => outcome === 'created')).toHaveLength(1);
        const winner = contents[told.indexOf('created')]!;
        expect(Buffer.compare((await one.get(`${place}/${round}`))!, winner)).toBe(0);
      }
    });

    test('lists in order of names, by a prefix that may end anywhere', async () => {
      const ends = [
        'a',
        'a-b',
        'a.partitions/0',
        'a.partitions/1',
        'a.partitions/10',
        'a0/x',
        'b/c/d',
        'b/c/e',
        'b0',
        'ba',
      ];
      for (const end of ends.toReversed()) await one.put(`${place}/${end}`, Buffer.from(end));
      const listed = async (prefix: string): Promise<string[]> =>
        (await namesOf(other, `${place}/${prefix}`)).map((name) => name.slice(place.length + 1));
      expect(await listed('')).toEqual(ends);
      expect(await listed('a.partitions/')).toEqual(['a.partitions/0', 'a.partitions/1', 'a.partitions/10']);
      expect(await listed('a.partitions/1')).toEqual(['a.partitions/1', 'a.partitions/10']);
      expect(await listed('b')).toEqual(['b/c/d', 'b/c/e', 'b0', 'ba']);
      expect(await listed('b/c')).toEqual(['b/c/d', 'b/c/e']);
      expect(await listed('b/c/d')).toEqual(['b/c/d']);
      expect(await listed('c')).toEqual([]);
      expect(await listed('b/c/d/e/')).toEqual([]);
      expect((await listAll(one, `${place}/b`)).map(({ sizeBytes }) => sizeBytes)).toEqual([5, 5, 2, 2]);
    });

    test(`lists ${manyObjects} objects, each once, and removes them`, async () => {
      const names = Array.from({ length: manyObjects }, (_, i) => `${place}/${String(i).padStart(6, '0')}`);
      for (let at = 0; at < names.length; at += 100) {
        await Promise.all(names.slice(at, at + 100).map((name) => one.put(name, Buffer.of(1))));
      }
      expect(await namesOf(other, `${place}/`)).toEqual(names);
      await other.remove(names.slice(1));
      expect(await namesOf(one, `${place}/`)).toEqual(names.slice(0, 1));
    });

    test('removing twice, or at once, or what was never there, is no error', async () => {
      const names = [`${place}/x`, `${place}/y/z`, `${place}/never/was`];
      await one.put(names[0]!, randomBytes(5));
      await one.put(names[1]!, randomBytes(5));
      await Promise.all([one.remove(names), other.remove(names)]);
      await one.remove(names);
      await one.remove([]);
      expect(await namesOf(one, place)).toEqual([]);
      expect(await one.create(names[0]!, randomBytes(5))).toBe('created');
    });

    test("writers and removers of one folder do not get in each other's way", async () => {
      await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          const repository = i % 2 === 0 ? one : other;
          const name = `${place}/deep/er/${i}`;
          expect(await repository.create(name, randomBytes(50))).toBe('created');
          expect((await repository.get(name))?.length).toBe(50);
          await repository.remove([name]);
        }),
      );
      expect(await namesOf(one, place)).toEqual([]);
    });

    test.each(['', '/', 'a/', '/a', 'a//b', '.', '..', 'a/../b', 'a/./b', 'a b', 'ä', 'a\\b', 'a~b', 'x'.repeat(201)])(
      'the name %j is refused',
      async (name) => {
        const refused = { code: 'invalid_parameter' };
        await expect(one.get(name)).rejects.toMatchObject(refused);
        await expect(one.head(name)).rejects.toMatchObject(refused);
        await expect(one.put(name, Buffer.of(1))).rejects.toMatchObject(refused);
        await expect(one.create(name, Buffer.of(1))).rejects.toMatchObject(refused);
        await expect(one.remove([name])).rejects.toMatchObject(refused);
      },
    );

    test.each(['/', '../', 'a/../', 'a//', './', 'a b'])('the prefix %j is refused', async (prefix) => {
      await expect(listAll(one, prefix)).rejects.toMatchObject({ code: 'invalid_parameter' });
    });

    test('a call that was aborted before ends with the reason', async () => {
      const reason = new Error('enough');
      const call = { signal: AbortSignal.abort(reason) };
      await expect(one.get(`${place}/x`, call)).rejects.toBe(reason);
      await expect(one.head(`${place}/x`, call)).rejects.toBe(reason);
      await expect(one.put(`${place}/x`, Buffer.of(1), call)).rejects.toBe(reason);
      await expect(one.create(`${place}/x`, Buffer.of(1), call)).rejects.toBe(reason);
      await expect(one.remove([`${place}/x`], call)).rejects.toBe(reason);
      await expect(one.probe(call)).rejects.toBe(reason);
      const listing = one.list(place, call)[Symbol.asyncIterator]();
      await expect(listing.next()).rejects.toBe(reason);
      expect(await one.head(`${place}/x`)).toBeUndefined();
    });

    test('calls that are aborted under way end with the reason; what is there is whole', async () => {
      const bytes = randomBytes(3_000_000);
      for (let i = 0; i < 10; i++) {
        const control = new AbortController();
        const name = `${place}/${i}`;
        const creating = one.create(name, bytes, { signal: control.signal });
        setTimeout(() => control.abort(new Error('enough')), i);
        const outcome = await creating.catch((error: unknown) => (error as Error).message);
        expect(['created', 'enough']).toContain(outcome);
        const found = await other.get(name);
        if (found !== undefined) expect(Buffer.compare(found, bytes)).toBe(0);
      }
    });

    test('a closed one refuses, ends what is under way, and may be closed again', async () => {
      const closing = await fixture.open();
      const underWay = [
        closing.put(`${place}/x`, randomBytes(4_000_000)),
        closing.get(`${place}/y`),
        listAll(closing, 'blocks/'),
      ].map((call) => call.then(() => 'done').catch((error: unknown) => (error as { code: string }).code));
      await Promise.all([closing.close(), closing.close()]);
      for (const outcome of await Promise.all(underWay)) expect(['done', 'shutting_down']).toContain(outcome);
      await expect(closing.get(`${place}/x`)).rejects.toMatchObject({ code: 'shutting_down' });
      await expect(closing.create(`${place}/x`, Buffer.of(1))).rejects.toMatchObject({ code: 'shutting_down' });
      await expect(closing.probe()).rejects.toMatchObject({ code: 'shutting_down' });
      await closing.close();
    });
  });
}
