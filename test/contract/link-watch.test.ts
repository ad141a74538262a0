// What the link promises to watchers: nothing lost, nothing twice, nobody held up.
import { afterEach, describe, expect, test } from 'vitest';
import { limits } from '@statestore/core';
import type { ChangeBatch, NodeService } from '@statestore/link';
import { seeded } from './faulty-proxy.ts';
import { client, closeAll, fake, foundOf, forever, outcome, proxy, serve, session, store } from './link-fixture.ts';

afterEach(closeAll);

describe('watches', () => {
  /** Positions from → 1, 2, 3, … with a change each, as fast as they are taken, up to `last`. */
  function counting(last: bigint, produced: { count: number; live: number }, keyBytes = 10): NodeService['watch'] {
    return async function* (_partition, { from, signal }) {
      produced.live++;
      try {
        const stopped = new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
        for (let position = from ?? 1n; position <= last; position++) {
          if (signal.aborted) return;
          produced.count++;
          yield {
            position,
            timeMs: 1,
            changes: [{ kind: 'put', revision: position, store, key: 'k'.repeat(keyBytes) }],
          } satisfies ChangeBatch;
          if (position % 64n === 0n) await new Promise((resolve) => setImmediate(resolve));
        }
        await stopped;
      } finally {
        produced.live--;
      }
    };
  }

  test('a broken connection is bridged: no change is lost, none comes twice', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ watch: counting(5000n, produced) }));
    const random = seeded(5);
    const faulty = await proxy({
      targetPort: server.port,
      random,
      cutAfterBytes: () => 200 + Math.floor(random() * 30_000),
      pieceBytesMax: 2000,
      delayMs: 1,
    });
    const link = client(faulty.port);
    const abort = new AbortController();
    let expected = 1n;
    for await (const { position } of link.watch(0, { store, prefix: '', from: 1n, signal: abort.signal })) {
      expect(position).toBe(expected++);
      if (position === 5000n) abort.abort();
    }
    expect(expected).toBe(5001n);
    expect(faulty.accepted).toBeGreaterThan(4);
    await expect.poll(() => produced.live).toBe(0);
    expect(link.inFlight).toBe(0);
  });

  test('a slow watcher holds back its own changes only', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(
      fake({ watch: counting(1_000_000n, produced, 1000), get: (_partition, _store, key) => foundOf(key) }),
    );
    const link = client(server.port, { connections: 1 });
    const abort = new AbortController();
    const slow = link.watch(0, { store, prefix: '', from: 1n, signal: abort.signal })[Symbol.asyncIterator]();
    await slow.next();
    const quickly = new AbortController();
    let seen = 0;
    for await (const _ of link.watch(0, { store, prefix: '', from: 1n, signal: quickly.signal }))
      if (++seen === 3000) quickly.abort();
    expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
    // The slow one's window, and what the quick one took and has in its own.
    const window = Math.ceil(limits.linkWatchWindowBytes / 1000) + 70;
    expect(produced.count).toBeLessThan(3000 + 2 * window + 200);
    for (let i = 2; i < 1000; i++) expect((await slow.next()).value).toMatchObject({ position: BigInt(i) });
    abort.abort();
    expect((await slow.next()).done).toBe(true);
    await expect.poll(() => [produced.live, server.inFlight]).toEqual([0, 0]);
  });

  test('"from now on" that broke before its first change cannot be bridged', async () => {
    const server = await serve(
      fake({
        async *watch() {
          yield await forever();
        },
      }),
    );
    const faulty = await proxy({ targetPort: server.port });
    const link = client(faulty.port);
    const { signal } = new AbortController();
    const first = outcome(link.watch(0, { store, prefix: '', signal })[Symbol.asyncIterator]().next());
    await expect.poll(() => server.inFlight).toBe(1);
    faulty.cutAll();
    expect(await first).toBe('unavailable');
  });

  test('a node that stays away ends the watch', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ watch: counting(1n, produced) }));
    const link = client(server.port, { readTimeoutMs: 300 });
    const { signal } = new AbortController();
    const iterator = link.watch(0, { store, prefix: '', from: 1n, signal })[Symbol.asyncIterator]();
    await iterator.next();
    const next = outcome(iterator.next());
    await server.close();
    expect(['unavailable', 'shutting_down']).toContain(await next);
    expect(link.inFlight).toBe(0);
    expect(produced.live).toBe(0);
  });
});
