// What the link promises when connections break or the server closes: every promise settles, a write that
// must not arrive twice does not, and what was refused was certainly not done.
import { afterEach, describe, expect, test } from 'vitest';
import { commandResult, limits, StateStoreError } from '@statestore/core';
import { encodeGetRequest } from '../../services/link/src/codec/entry.ts';
import { decodeError } from '../../services/link/src/codec/error.ts';
import { frameKind } from '../../services/link/src/frame.ts';
import { seeded } from './faulty-proxy.ts';
import {
  client,
  closeAll,
  done,
  entryOf,
  foundOf,
  fake,
  forever,
  frame,
  frames,
  keyOf,
  outcome,
  proxy,
  putCommand,
  rawClient,
  serve,
  session,
  stamp,
  store,
} from './link-fixture.ts';

afterEach(closeAll);

describe('connections that break', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'cut at any byte, seed %i: everything settles, nothing that must not runs twice',
    { timeout: 60_000 },
    async (seed) => {
      const random = seeded(seed);
      const runs = new Map<string, number>();
      const service = fake({
        get: (_partition, _store, key) => (random() < 0.5 ? foundOf(key) : Promise.resolve(foundOf(key))),
        propose: async (_partition, command) => {
          runs.set(keyOf(command), (runs.get(keyOf(command)) ?? 0) + 1);
          if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 5));
          return done;
        },
      });
      const server = await serve(service);
      const faulty = await proxy({
        targetPort: server.port,
        random,
        cutAfterBytes: () => Math.floor(random() * 6000),
        pieceBytesMax: 700,
        delayMs: 2,
      });
      const link = client(faulty.port, { proposeTimeoutMs: 5000, readTimeoutMs: 5000 });
      const counts: Record<string, number> = {};
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < 600) {
          const i = next++;
          const key = `key ${i}`;
          const kind = ['get', 'stamped', 'plain'][i % 3]!;
          let code = '';
          if (kind === 'get') {
            const read = link.get(0, store, key, session);
            code = await outcome(read);
            if (code === 'done') expect((await read).entry?.value).toEqual(entryOf(key).value);
          } else {
            code = await outcome(link.propose(0, putCommand(key, kind === 'stamped' ? stamp(i) : undefined)));
          }
          counts[`${kind} ${code}`] = (counts[`${kind} ${code}`] ?? 0) + 1;
          const ran = runs.get(key) ?? 0;
          if (kind !== 'get' && code === 'done') expect(ran).toBeGreaterThanOrEqual(1);
          if (kind === 'plain') expect(ran).toBeLessThanOrEqual(1);
          if (kind !== 'get' && code !== 'done' && code !== 'outcome_unknown') expect([code, ran]).toEqual([code, 0]);
        }
      };
      await Promise.all(Array.from({ length: 16 }, worker));
      expect(link.inFlight).toBe(0);
      expect(faulty.accepted).toBeGreaterThan(10);
      // Reads and stamped writes are carried over the breaks; plain ones are owned up to.
      expect(counts).toMatchObject({
        'get done': 200,
        'stamped done': 200,
        'plain done': expect.any(Number) as number,
        'plain outcome_unknown': expect.any(Number) as number,
      });
      // What ran is what was told: also later, nothing else arrives.
      for (const [key, ran] of runs) if (Number(key.slice(4)) % 3 === 2) expect(ran).toBe(1);
    },
  );

  test('a server that restarts in the middle: reads and stamped writes go on', async () => {
    const service = fake({
      get: (_partition, _store, key) => Promise.resolve(foundOf(key)),
      propose: () => Promise.resolve(done),
    });
    let server = await serve(service);
    const { port } = server;
    const link = client(port);
    const progress = { stop: false };
    const codes = new Set<string>();
    const worker = async (_: unknown, i: number): Promise<void> => {
      for (let n = 1; !progress.stop; n++) {
        codes.add(
          await outcome(i % 2 === 0 ? link.get(0, store, 'a', session) : link.propose(0, putCommand('a', stamp(n)))),
        );
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    const workers = Array.from({ length: 8 }, worker);
    for (let i = 0; i < 4; i++) {
      await expect.poll(() => link.openConnections).toBe(limits.linkConnections);
      await server.close();
      server = await serve(service, { port });
    }
    await expect.poll(() => link.openConnections).toBe(limits.linkConnections);
    progress.stop = true;
    await Promise.all(workers);
    codes.delete('shutting_down');
    expect([...codes]).toEqual(['done']);
    expect(link.inFlight).toBe(0);
  });

  test('a plain write in flight when its connection breaks: outcome_unknown, and sent once', async () => {
    let ran = 0;
    const service = fake({
      propose: () => {
        ran++;
        return forever();
      },
    });
    const faulty = await proxy({ targetPort: (await serve(service)).port });
    const link = client(faulty.port);
    const write = outcome(link.propose(0, putCommand('a')));
    await expect.poll(() => ran).toBe(1);
    faulty.cutAll();
    expect(await write).toBe('outcome_unknown');
    await expect.poll(() => link.openConnections).toBe(2);
    expect(ran).toBe(1);
  });

  test.each([
    ['a refusal that passes, then an answer', ['overloaded', 'done'], 'done'],
    ['a refusal that stays', ['invalid_key'], 'outcome_unknown'],
    ['a result that leaves the first attempt open', ['session_expired result'], 'outcome_unknown'],
  ])('a stamped write is sent again: %s', async (_name, script, expected) => {
    let ran = 0;
    const service = fake({
      propose: async () => {
        if (ran++ === 0) return forever();
        const step = script[ran - 2]!;
        if (step === 'done') return done;
        if (step === 'session_expired result') return { ...commandResult('session_expired'), position: 6n };
        throw new StateStoreError(step as 'overloaded' | 'invalid_key', 'no');
      },
    });
    const faulty = await proxy({ targetPort: (await serve(service)).port });
    const link = client(faulty.port);
    const write = outcome(link.propose(0, putCommand('a', stamp(1))));
    await expect.poll(() => ran).toBe(1);
    faulty.cutAll();
    expect(await write).toBe(expected);
    expect(ran).toBe(1 + script.length);
  });

  test('nobody there: unavailable, whatever was asked', async () => {
    const server = await serve(fake({}));
    await server.close();
    const link = client(server.port);
    const codes = await Promise.all(
      [
        link.get(0, store, 'a', session),
        link.propose(0, putCommand('a')),
        link.propose(0, putCommand('a', stamp(1))),
      ].map(outcome),
    );
    expect(codes).toEqual(['unavailable', 'unavailable', 'unavailable']);
    expect(link.inFlight).toBe(0);
  });

  test('closing the client settles everything', async () => {
    const server = await serve(
      fake({
        get: forever,
        propose: forever,
        async *watch() {
          yield await forever();
        },
      }),
    );
    const link = client(server.port);
    await expect.poll(() => link.openConnections).toBe(2);
    const { signal } = new AbortController();
    const watched = link.watch(0, { store, prefix: '', signal })[Symbol.asyncIterator]().next();
    const all = Promise.all([link.get(0, store, 'a', session), link.propose(0, putCommand('a')), watched].map(outcome));
    await expect.poll(() => server.inFlight).toBe(3);
    await link.close();
    expect(await all).toEqual(['shutting_down', 'outcome_unknown', 'unavailable']);
    expect(await outcome(link.get(0, store, 'a', session))).toBe('shutting_down');
    await expect.poll(() => server.inFlight).toBe(0);
  });
});

describe('closing a server', () => {
  test('finishes what is in flight, refuses what is new', async () => {
    let finish: (() => void) | undefined;
    const service = fake({
      propose: () => new Promise((resolve) => (finish = () => resolve(done))),
      get: (_partition, _store, key) => foundOf(key),
      async *watch() {
        yield await forever();
      },
    });
    const server = await serve(service, { closeTimeoutMs: 10_000 });
    const socket = await rawClient(server.port);
    const link = client(server.port);
    const write = outcome(link.propose(0, putCommand('a')));
    await expect.poll(() => finish).toBeDefined();
    const closed = server.close();
    const answers = frames(socket);
    socket.write(frame(frameKind.get, 5, encodeGetRequest({ partition: 0, store, key: 'a', options: session })));
    expect(decodeError((await answers(frameKind.failure)).payload).code).toBe('shutting_down');
    socket.destroy();
    finish!();
    expect(await write).toBe('done');
    await closed;
    expect(server.connections).toBe(0);
    expect(link.inFlight).toBe(0);
  });

  test('does not wait for ever', async () => {
    const server = await serve(fake({ propose: forever }), { closeTimeoutMs: 100 });
    const link = client(server.port, { proposeTimeoutMs: 500 });
    const write = outcome(link.propose(0, putCommand('a')));
    await expect.poll(() => server.inFlight).toBe(1);
    await server.close();
    expect(await write).toBe('outcome_unknown');
  });
});
