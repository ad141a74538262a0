// What every engine must do, as a suite over a factory (the port: services/node/src/engine/engine.ts).
// Engines are compared with the plainest model there is: an object of keys, sorted for each question.
import type { BinaryString } from '@statestore/core';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Engine, EngineEntry, EngineRange, EngineReader } from '../../services/node/src/engine/engine.ts';
import { answers, bytesOf, keyArbitrary, Model, rangeArbitrary, writesArbitrary } from './engine-model.ts';

export interface EngineHome {
  /** Opens the engine of this home; after a close, with what was stored. */
  open(): Promise<Engine>;
  remove(): Promise<void>;
}

const KiB = 1024;

export function engineContract(name: string, makeHome: () => Promise<EngineHome>): void {
  describe(`the ${name}`, () => {
    const homes: EngineHome[] = [];
    const engines: Engine[] = [];

    async function fresh(): Promise<{ readonly engine: Engine; readonly home: EngineHome }> {
      const home = await makeHome();
      homes.push(home);
      return { engine: await open(home), home };
    }
    async function open(home: EngineHome): Promise<Engine> {
      const engine = await home.open();
      engines.push(engine);
      return engine;
    }
    afterEach(async () => {
      await Promise.all(engines.splice(0).map((engine) => engine.close()));
      await Promise.all(homes.splice(0).map((home) => home.remove()));
    });

    test('starts empty, at position 0', async () => {
      const { engine } = await fresh();
      expect(engine.position).toBe(0n);
      expect(engine.statistics().length).toBe(0);
      expect([...engine.range({})]).toEqual([]);
      expect(engine.get('a')).toBeUndefined();
      expect(engine.has('a')).toBe(false);
    });

    test('keeps any bytes in keys, in byte order', async () => {
      const { engine } = await fresh();
      const keys = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
      keys.push('a\0b', 'a\0', 'position', '\0position', '\xff\xff', 'k'.repeat(1100), `\0${'\xff'.repeat(1100)}`);
      await engine.commit(new Map(keys.map((key, i) => [key, bytesOf(i)])), 1n);
      for (const [i, key] of keys.entries()) expect(engine.get(key)).toEqual(bytesOf(i));
      expect([...engine.keys({})]).toEqual(keys.toSorted());
      expect([...engine.keys({ reverse: true })]).toEqual(keys.toSorted().toReversed());
      expect(engine.statistics().length).toBe(keys.length);
    });

    test('keeps empty values and values of 1 MiB', async () => {
      const { engine } = await fresh();
      const large = Uint8Array.from({ length: KiB * KiB }, (_, i) => (i * 31) >> 3);
      await engine.commit(
        new Map([
          ['empty', new Uint8Array(0)],
          ['large', large],
          ['middle', large.slice(0, 5000)],
        ]),
        1n,
      );
      expect(engine.get('empty')).toEqual(new Uint8Array(0));
      expect(engine.has('empty')).toBe(true);
      expect(Buffer.compare(engine.get('large')!, large)).toBe(0);
      const [first, second, third] = [...engine.range({})];
      expect(first!.value).toEqual(new Uint8Array(0));
      expect(Buffer.compare(second!.value, large)).toBe(0);
      expect(Buffer.compare(third!.value, large.subarray(0, 5000))).toBe(0);
    });

    test('refuses keys that are empty or too long, and then changes nothing', async () => {
      const { engine } = await fresh();
      for (const bad of ['', 'x'.repeat(1979)]) {
        await expect(
          engine.commit(
            new Map([
              ['a', bytesOf(1)],
              [bad, bytesOf(2)],
            ]),
            1n,
          ),
        ).rejects.toMatchObject({ code: 'invalid_key' });
        await expect(engine.put(bad, bytesOf(1))).rejects.toMatchObject({ code: 'invalid_key' });
        await expect(engine.delete(bad)).rejects.toMatchObject({ code: 'invalid_key' });
        expect(engine.get(bad)).toBeUndefined();
        expect(engine.has(bad)).toBe(false);
      }
      expect([...engine.keys({})]).toEqual([]);
      expect(engine.position).toBe(0n);
      await engine.commit(new Map([['x'.repeat(1978), bytesOf(1)]]), 1n);
      expect(engine.statistics().length).toBe(1);
    });

    test('refuses a position that runs backwards, and then changes nothing', async () => {
      const { engine } = await fresh();
      await engine.commit(new Map([['a', bytesOf(1)]]), 7n);
      await expect(engine.commit(new Map([['a', bytesOf(2)]]), 6n)).rejects.toMatchObject({ code: 'data_corrupt' });
      expect(engine.get('a')).toEqual(bytesOf(1));
      expect(engine.position).toBe(7n);
      await engine.commit(new Map(), 8n);
      expect(engine.position).toBe(8n);
    });

    test('put and delete leave the position alone', async () => {
      const { engine } = await fresh();
      await engine.commit(new Map([['a', bytesOf(1)]]), 3n);
      await engine.put('b', bytesOf(2));
      expect(await engine.delete('a')).toBe(true);
      expect(await engine.delete('a')).toBe(false);
      expect([...engine.range({})]).toEqual([{ key: 'b', value: bytesOf(2) }]);
      expect(engine.position).toBe(3n);
    });

    test('values that were read stay as they are, and later writes to the input do not reach the engine', async () => {
      const { engine } = await fresh();
      const input = bytesOf(1, 2, 3);
      await engine.commit(new Map([['a', input]]), 1n);
      input.fill(9);
      const got = engine.get('a')!;
      const [ranged] = [...engine.range({})];
      for (let n = 2; n < 300; n++) {
        await engine.commit(
          new Map([
            ['a', bytesOf(n, n, n)],
            [`k${n}`, bytesOf(n)],
          ]),
          BigInt(n),
        );
        engine.get('a');
      }
      expect(got).toEqual(bytesOf(1, 2, 3));
      expect(ranged!.value).toEqual(bytesOf(1, 2, 3));
    });

    test('iterators that are left early or run beside each other do not disturb anything', async () => {
      const { engine } = await fresh();
      await engine.commit(new Map(['a', 'b', 'c', 'd'].map((key) => [key, bytesOf(1)])), 1n);
      for (const key of engine.keys({})) if (key === 'b') break;
      const up = engine.keys({});
      const down = engine.keys({ reverse: true });
      expect([up.next().value, down.next().value, up.next().value, down.next().value]).toEqual(['a', 'd', 'b', 'c']);
      up.return?.();
      expect(up.next().done).toBe(true);
      down.return?.();
      await engine.commit(new Map([['a', undefined]]), 2n);
      expect([...engine.keys({})]).toEqual(['b', 'c', 'd']);
    });

    test('a snapshot stays at its point in time through commits, compaction, restore and clear', async () => {
      const { engine } = await fresh();
      await engine.commit(
        new Map([
          ['a', bytesOf(1)],
          ['b', bytesOf(2)],
        ]),
        1n,
      );
      const snapshot = engine.snapshot();
      await engine.commit(
        new Map([
          ['a', undefined],
          ['b', bytesOf(3)],
          ['c', bytesOf(4)],
        ]),
        2n,
      );
      const check = (): void => {
        expect(snapshot.position).toBe(1n);
        expect([...snapshot.range({})]).toEqual([
          { key: 'a', value: bytesOf(1) },
          { key: 'b', value: bytesOf(2) },
        ]);
        expect([...snapshot.keys({ reverse: true, limit: 1 })]).toEqual(['b']);
        expect([snapshot.get('a'), snapshot.has('c'), snapshot.get('')]).toEqual([bytesOf(1), false, undefined]);
      };
      check();
      await engine.compact();
      check();
      await engine.restore([{ key: 'z', value: bytesOf(9) }], 5n);
      check();
      await engine.clear();
      check();
      expect([...engine.keys({})]).toEqual([]);
      snapshot.close();
      snapshot.close();
      expect(() => snapshot.get('a')).toThrow('the engine is closed');
    });

    test('restore replaces everything, from async sources too', async () => {
      const { engine, home } = await fresh();
      await engine.commit(new Map([['old', bytesOf(1)]]), 9n);
      const entries: EngineEntry[] = Array.from({ length: 9000 }, (_, i) => ({
        key: `k${String(i).padStart(6, '0')}`,
        value: bytesOf(i, i >> 8),
      }));
      async function* slowly(): AsyncIterable<EngineEntry> {
        for (const [i, entry] of entries.entries()) {
          if (i % 4000 === 0) await new Promise((resolve) => setImmediate(resolve));
          yield entry;
        }
      }
      async function* inParts(): AsyncIterable<readonly EngineEntry[]> {
        for (let at = 0; at < entries.length; at += 2500) yield entries.slice(at, at + 2500);
        yield [];
      }
      await engine.restore(inParts(), 3n);
      expect(engine.position).toBe(3n);
      expect([...engine.range({})]).toEqual(entries);
      await engine.restore(slowly(), 4n);
      expect(engine.position).toBe(4n);
      expect([...engine.range({})]).toEqual(entries);
      if (!engine.durable) return;
      await engine.close();
      const again = await open(home);
      expect(again.position).toBe(4n);
      expect([...again.range({})]).toEqual(entries);
    });

    test('a restore that fails leaves the old content', async () => {
      const { engine } = await fresh();
      await engine.commit(new Map([['old', bytesOf(1)]]), 9n);
      const unsorted = [
        { key: 'b', value: bytesOf(1) },
        { key: 'a', value: bytesOf(1) },
      ];
      await expect(engine.restore(unsorted, 10n)).rejects.toMatchObject({ code: 'data_corrupt' });
      await expect(engine.restore([unsorted[0]!, unsorted[0]!], 10n)).rejects.toMatchObject({ code: 'data_corrupt' });
      function* broken(): Iterable<EngineEntry> {
        yield { key: 'a', value: bytesOf(1) };
        throw new Error('the source broke');
      }
      await expect(engine.restore(broken(), 10n)).rejects.toThrow('the source broke');
      expect([...engine.range({})]).toEqual([{ key: 'old', value: bytesOf(1) }]);
      expect(engine.position).toBe(9n);
      await engine.commit(new Map([['new', bytesOf(2)]]), 10n);
      expect(engine.statistics().length).toBe(2);
    });

    test('a restored content is judged before it comes in force', async () => {
      const { engine, home } = await fresh();
      await engine.commit(new Map([['old', bytesOf(1)]]), 9n);
      const entries = Array.from({ length: 5000 }, (_, i) => ({
        key: `k${String(i).padStart(4, '0')}`,
        value: bytesOf(i),
      }));
      const refused = engine.restore(entries, 10n, async (content) => {
        expect([...content.keys({ limit: 2 })]).toEqual(['k0000', 'k0001']);
        // Until it is judged, and while it is.
        expect([engine.get('old'), engine.has('k0000'), engine.position]).toEqual([bytesOf(1), false, 9n]);
        throw new Error('not good');
      });
      await expect(refused).rejects.toThrow('not good');
      expect([...engine.range({})]).toEqual([{ key: 'old', value: bytesOf(1) }]);
      expect(engine.position).toBe(9n);
      await engine.restore(entries, 10n, async (content) => {
        const steps = content.range({ start: 'k0010' });
        expect(steps.next().value).toEqual({ key: 'k0010', value: bytesOf(10) });
        await new Promise((resolve) => setImmediate(resolve));
        expect([content.get('k4999'), content.has('old'), [...steps].length]).toEqual([bytesOf(4999), false, 4989]);
      });
      expect([engine.position, engine.statistics().length]).toEqual([10n, 5000]);
      await engine.commit(new Map([['new', bytesOf(2)]]), 11n);
      if (!engine.durable) return;
      await engine.close();
      const again = await open(home);
      expect([again.position, again.statistics().length]).toEqual([11n, 5001]);
    });

    test('compaction runs beside reads and commits, and loses none of them', async () => {
      const { engine } = await fresh();
      const key = (i: number): BinaryString => `key-${(i * 7919) % 3000}`;
      await engine.commit(new Map(Array.from({ length: 3000 }, (_, i) => [key(i), new Uint8Array(300)])), 1n);
      await engine.commit(new Map(Array.from({ length: 2500 }, (_, i) => [key(i), undefined])), 2n);
      const compacting = engine.compact();
      const committing = engine.commit(new Map([['during', bytesOf(1)]]), 3n);
      for (let i = 2500; i < 3000; i++) expect(engine.has(key(i))).toBe(true);
      const { beforeBytes, afterBytes } = await compacting;
      await committing;
      expect(afterBytes).toBeLessThanOrEqual(beforeBytes);
      expect(engine.get('during')).toEqual(bytesOf(1));
      expect([...engine.keys({})]).toHaveLength(501);
      expect(engine.position).toBe(3n);
    });

    test('refuses everything when it is closed; closing twice is one', async () => {
      const { engine } = await fresh();
      const committing = engine.commit(new Map([['a', bytesOf(1)]]), 1n);
      await Promise.all([engine.close(), engine.close()]);
      await committing;
      expect(() => engine.get('a')).toThrow('the engine is closed');
      expect(() => engine.range({})).toThrow('the engine is closed');
      expect(() => engine.snapshot()).toThrow('the engine is closed');
      await expect(engine.commit(new Map(), 2n)).rejects.toMatchObject({ code: 'shutting_down' });
      await expect(engine.sync()).rejects.toMatchObject({ code: 'shutting_down' });
    });

    test('agrees with the model after any history', { timeout: 120_000 }, async () => {
      const step = fc.oneof(
        { weight: 6, arbitrary: writesArbitrary.map((writes) => ({ kind: 'commit' as const, writes })) },
        { weight: 5, arbitrary: rangeArbitrary.map((range) => ({ kind: 'range' as const, range })) },
        {
          weight: 1,
          arbitrary: fc.tuple(keyArbitrary, fc.boolean()).map(([key, put]) => ({ kind: 'single' as const, key, put })),
        },
        fc.constantFrom(
          { kind: 'snapshot' as const },
          { kind: 'clear' as const },
          { kind: 'compact' as const },
          { kind: 'reopen' as const },
        ),
        { weight: 1, arbitrary: writesArbitrary.map((writes) => ({ kind: 'restore' as const, writes })) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), rangeArbitrary, async (steps, probe) => {
          const { engine: first, home } = await fresh();
          let engine = first;
          let model = new Model();
          const snapshots: { readonly reader: EngineReader & { close(): void }; readonly model: Model }[] = [];
          const check = (range: EngineRange): void => {
            expect(answers(engine, range)).toEqual(model.answers(range));
            for (const snapshot of snapshots)
              expect(answers(snapshot.reader, range)).toEqual(snapshot.model.answers(range));
          };
          for (const step of steps) {
            if (step.kind === 'commit') {
              model = model.with(step.writes, model.position + 1n);
              await engine.commit(step.writes, model.position);
            } else if (step.kind === 'range') check(step.range);
            else if (step.kind === 'single') {
              if (step.put) await engine.put(step.key, bytesOf(7));
              else expect(await engine.delete(step.key)).toBe(model.entries.has(step.key));
              model = model.with(new Map([[step.key, step.put ? bytesOf(7) : undefined]]), model.position);
            } else if (step.kind === 'snapshot') snapshots.push({ reader: engine.snapshot(), model });
            else if (step.kind === 'clear') {
              await engine.clear();
              model = new Model();
            } else if (step.kind === 'compact') await engine.compact();
            else if (step.kind === 'restore') {
              model = new Model().with(step.writes, 5n);
              await engine.restore(model.sorted(), 5n);
            } else if (engine.durable) {
              for (const { reader } of snapshots.splice(0)) reader.close();
              await engine.close();
              engine = await open(home);
            }
            expect(engine.position).toBe(model.position);
            expect(engine.statistics().length).toBe(model.entries.size);
          }
          check({});
          check(probe);
          for (const { reader } of snapshots) reader.close();
          await engine.close();
          await home.remove();
        }),
        { numRuns: 100 },
      );
    });
  });
}
