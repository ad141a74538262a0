// The write buffer over both engines, against the plain model; and what happens when the engine fails.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answers, bytesOf, Model, rangeArbitrary, writesArbitrary } from '../../../../test/contract/engine-model.ts';
import type { EngineKind, EngineWrites } from './engine.ts';
import { MemoryEngine } from './memory-engine.ts';
import { openEngine } from './open-engine.ts';
import { WriteBuffer } from './write-buffer.ts';

type Step =
  | { readonly kind: 'put'; readonly writes: EngineWrites }
  | { readonly kind: 'check'; readonly range: Parameters<WriteBuffer['range']>[0] }
  | { readonly kind: 'flush' | 'wait' };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: writesArbitrary.map((writes) => ({ kind: 'put' as const, writes })) },
  { weight: 4, arbitrary: rangeArbitrary.map((range) => ({ kind: 'check' as const, range })) },
  { weight: 2, arbitrary: fc.constantFrom({ kind: 'flush' as const }, { kind: 'wait' as const }) },
);

/** Commits wait until they are let go or made to fail. */
class HeldEngine extends MemoryEngine {
  readonly held: PromiseWithResolvers<void>[] = [];

  override async commit(writes: EngineWrites, position: bigint): Promise<void> {
    const gate = Promise.withResolvers<void>();
    this.held.push(gate);
    await gate.promise;
    await super.commit(writes, position);
  }
}

describe('the write buffer', () => {
  for (const kind of ['memory', 'lmdb'] satisfies EngineKind[]) {
    test(`agrees with the model over the ${kind} engine, whenever it is flushed`, { timeout: 60_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 30 }), async (steps) => {
          const dir = await mkdtemp(join(tmpdir(), 'statestore-buffer-'));
          const engine = await openEngine(kind, dir);
          try {
            const buffer = new WriteBuffer(engine);
            let model = new Model();
            let flushing: Promise<void> = Promise.resolve();
            for (const step of steps) {
              if (step.kind === 'put') {
                model = model.with(step.writes, model.position + 1n);
                buffer.put(step.writes, model.position);
              } else if (step.kind === 'check') expect(answers(buffer, step.range)).toEqual(model.answers(step.range));
              else if (step.kind === 'flush') flushing = buffer.flush();
              else await flushing;
              expect(buffer.appliedPosition).toBe(model.position);
            }
            await flushing;
            await buffer.flush();
            expect(buffer.storedPosition).toBe(model.position);
            expect(buffer.bytes).toBe(0);
            expect(answers(engine, {})).toEqual(model.answers({}));
          } finally {
            await engine.close();
            await rm(dir, { recursive: true, force: true });
          }
        }),
        { numRuns: kind === 'memory' ? 300 : 60 },
      );
    });
  }

  test('shows the applied position at every moment of a flush', async () => {
    const engine = new HeldEngine();
    const buffer = new WriteBuffer(engine);
    buffer.put(
      new Map([
        ['a', bytesOf(1)],
        ['b', bytesOf(1)],
      ]),
      1n,
    );
    const first = buffer.flush();
    expect(buffer.flush()).toBe(first);
    buffer.put(
      new Map([
        ['a', undefined],
        ['c', bytesOf(2)],
      ]),
      2n,
    );
    const seen = (): unknown => [
      buffer.appliedPosition,
      buffer.storedPosition,
      [...buffer.keys({})],
      buffer.has('a'),
      buffer.get('b'),
    ];
    expect(seen()).toEqual([2n, 0n, ['b', 'c'], false, bytesOf(1)]);
    engine.held[0]!.resolve();
    await first;
    expect(seen()).toEqual([2n, 1n, ['b', 'c'], false, bytesOf(1)]);
    expect(engine.has('a')).toBe(true);
    const second = buffer.flush();
    engine.held[1]!.resolve();
    await second;
    expect(seen()).toEqual([2n, 2n, ['b', 'c'], false, bytesOf(1)]);
    expect(engine.has('a')).toBe(false);
  });

  test('a failed flush stays failed, and its effects stay readable', async () => {
    const engine = new HeldEngine();
    const buffer = new WriteBuffer(engine);
    buffer.put(new Map([['a', bytesOf(1)]]), 1n);
    const flush = buffer.flush();
    engine.held[0]!.reject(new Error('the disk is gone'));
    await expect(flush).rejects.toThrow('the disk is gone');
    await expect(buffer.flush()).rejects.toThrow('the disk is gone');
    expect(engine.held).toHaveLength(1);
    expect([buffer.get('a'), buffer.appliedPosition, buffer.storedPosition]).toEqual([bytesOf(1), 1n, 0n]);
  });

  test('commits a position whose batches wrote nothing', async () => {
    const engine = new MemoryEngine();
    const buffer = new WriteBuffer(engine);
    await buffer.flush();
    buffer.put(new Map(), 3n);
    await buffer.flush();
    expect(engine.position).toBe(3n);
  });

  test('a scan sees writes that came since the scan before', () => {
    const buffer = new WriteBuffer(new MemoryEngine());
    for (let n = 1; n < 200; n++) {
      buffer.put(new Map([[`k${(n * 37) % 200}`, bytesOf(n)]]), BigInt(n));
      expect([...buffer.keys({})]).toHaveLength(n);
    }
  });

  test('counts bytes: more for new keys, the difference for replaced values', () => {
    const buffer = new WriteBuffer(new MemoryEngine());
    buffer.put(new Map([['key', new Uint8Array(1000)]]), 1n);
    const { bytes } = buffer;
    expect(bytes).toBeGreaterThan(1003);
    buffer.put(new Map([['key', new Uint8Array(400)]]), 2n);
    expect(buffer.bytes).toBe(bytes - 600);
    buffer.put(new Map([['key', undefined]]), 3n);
    expect(buffer.bytes).toBe(bytes - 1000);
  });
});
