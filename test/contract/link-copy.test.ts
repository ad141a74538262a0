// What the link promises to whoever copies a state over it: the whole or an error, never a part that looks
// like the whole; nobody else held up; a node that is gone, silent or stopping noticed.
import { afterEach, describe, expect, test } from 'vitest';
import { limits, StateStoreError } from '@statestore/core';
import type { NodeService, StatePart } from '@statestore/link';
import { encodeCopyRequest } from '../../services/link/src/codec/copy.ts';
import { decodeError } from '../../services/link/src/codec/error.ts';
import { frameKind } from '../../services/link/src/frame.ts';
import { seeded } from './faulty-proxy.ts';
import {
  client,
  closeAll,
  entryOf,
  fake,
  forever,
  frame,
  frames,
  outcome,
  proxy,
  rawClient,
  serve,
  session,
  store,
} from './link-fixture.ts';

afterEach(closeAll);

interface Produced {
  count: number;
  live: number;
}

/** `parts` parts of one record each, as fast as they are taken. */
function giving(parts: number, produced: Produced, valueBytes = 10_000): NodeService['copyState'] {
  return async function* (_partition, { signal }) {
    produced.live++;
    try {
      for (let i = 1; i <= parts && !signal.aborted; i++) {
        produced.count++;
        const records = [{ key: `k${String(i).padStart(6, '0')}`, value: new Uint8Array(valueBytes).fill(i) }];
        yield { position: 5n, records, ...(i === parts ? { total: parts } : {}) } satisfies StatePart;
        if (i % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      produced.live--;
    }
  };
}

const never = new AbortController().signal;

async function all(parts: AsyncIterable<StatePart>, taken: StatePart[] = []): Promise<StatePart[]> {
  for await (const part of parts) taken.push(part);
  return taken;
}

describe('copies', () => {
  test.each([1, 2, 3, 4])('cut at any byte, seed %i: the whole, or an error that may be tried again', async (seed) => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(40, produced) }));
    const random = seeded(seed);
    let cutting = true;
    const faulty = await proxy({
      targetPort: server.port,
      random,
      cutAfterBytes: () => (cutting ? Math.floor(random() * 600_000) : Infinity),
      pieceBytesMax: 20_000,
      delayMs: 1,
    });
    const link = client(faulty.port);
    let broken = 0;
    for (let attempt = 0; attempt < 25; attempt++) {
      cutting = attempt < 24;
      if (!cutting) faulty.cutAll();
      const taken: StatePart[] = [];
      const code = await outcome(all(link.copyState(0, { signal: never }), taken));
      expect(['done', 'unavailable']).toContain(code);
      if (code !== 'done') broken++;
      else
        expect(taken.map(({ records }) => records[0]!.value[0])).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      expect(taken.at(-1)?.total === undefined).toBe(code !== 'done');
    }
    expect(broken).toBeGreaterThan(3);
    await expect.poll(() => [produced.live, link.inFlight, server.inFlight]).toEqual([0, 0, 0]);
  });

  test('a broken one is over and is not begun again by itself', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(1_000_000, produced) }));
    const faulty = await proxy({ targetPort: server.port });
    const link = client(faulty.port);
    const parts = link.copyState(3, { signal: never })[Symbol.asyncIterator]();
    await parts.next();
    faulty.cutAll();
    await expect(
      (async () => {
        while ((await parts.next()).done !== true);
      })(),
    ).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
      message: expect.stringContaining('copy of partition 3 broke off') as string,
    });
    await expect.poll(() => [link.openConnections, produced.live]).toEqual([limits.linkConnections, 0]);
    const { count } = produced;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([produced.count, link.inFlight]).toEqual([count, 0]);
  });

  test('a slow receiver is given a window, and other requests on its connection go on', async () => {
    const produced = { count: 0, live: 0 };
    const copyState = giving(1000, produced, 50_000);
    const server = await serve(
      fake({ copyState, get: (_partition, _store, key) => ({ entry: entryOf(key), position: 1n }) }),
    );
    const link = client(server.port, { connections: 1 });
    const slow = link.copyState(0, { signal: never })[Symbol.asyncIterator]();
    await slow.next();
    for (let i = 0; i < 500; i++) expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
    // Taken, in the window, and one that waits for credit.
    expect(produced.count).toBeLessThanOrEqual(1 + Math.ceil(limits.linkCopyWindowBytes / 50_000) + 1);
    for (let i = 2; i <= 1000; i++) {
      const { value } = (await slow.next()) as IteratorYieldResult<StatePart>;
      expect([value.records[0]!.value[0], value.records[0]!.value.length]).toEqual([i % 256, 50_000]);
    }
    expect((await slow.next()).done).toBe(true);
    await expect.poll(() => [produced.live, server.inFlight]).toEqual([0, 0]);
  });

  test('leaving it, and its signal, reach the node', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(1_000_000, produced) }));
    const link = client(server.port);
    for await (const _ of link.copyState(0, { signal: never })) break;
    await expect.poll(() => [produced.live, server.inFlight, link.inFlight]).toEqual([0, 0, 0]);
    const abort = new AbortController();
    const slow = link.copyState(0, { signal: abort.signal })[Symbol.asyncIterator]();
    await slow.next();
    expect(produced.live).toBe(1);
    abort.abort();
    // Nobody asks for more: the node is told at once.
    await expect.poll(() => [produced.live, server.inFlight, link.inFlight]).toEqual([0, 0, 0]);
    expect((await slow.next()).done).toBe(true);
  });

  test('a record larger than a frame arrives whole; one beyond the bound is refused', async () => {
    const value = new Uint8Array(3 * limits.linkPartBytes + 77).map((_, i) => i % 251);
    const beyond = new Uint8Array(limits.linkAnswerBytesMax + 1);
    const server = await serve(
      fake({
        async *copyState(partition) {
          const records = [{ key: 'k', value: partition === 0 ? value : beyond }];
          yield { position: 1n, records };
          yield { position: 1n, records: [{ key: 'l', value: Uint8Array.of(1) }], total: 2 };
        },
      }),
    );
    const link = client(server.port);
    const [large, last] = await all(link.copyState(0, { signal: never }));
    expect(Buffer.compare(large!.records[0]!.value, value)).toBe(0);
    expect(last).toEqual({ position: 1n, records: [{ key: 'l', value: Uint8Array.of(1) }], total: 2 });
    expect(await outcome(all(link.copyState(1, { signal: never })))).toBe('body_too_large');
    expect(await outcome(all(link.copyState(0, { signal: never })))).toBe('done');
  });

  test('a node that went silent is noticed by its silence', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(1_000_000, produced) }), { silenceMs: 1500 });
    const faulty = await proxy({ targetPort: server.port });
    const link = client(faulty.port, { heartbeatMs: 100, silenceMs: 600 });
    const taken: StatePart[] = [];
    const copying = outcome(all(link.copyState(0, { signal: never }), taken));
    await expect.poll(() => taken.length).toBeGreaterThan(10);
    faulty.silence();
    expect(await copying).toBe('unavailable');
    // And so is the receiver that the node can no longer reach.
    await expect.poll(() => produced.live, { timeout: 10_000 }).toBe(0);
  });

  test('a service that hangs on a live connection is noticed, and told to stop', async () => {
    const aborted: boolean[] = [];
    const copyState: NodeService['copyState'] = async function* (partition, { signal }) {
      signal.addEventListener('abort', () => aborted.push(true));
      if (partition === 1) yield { position: 1n, records: [] };
      await forever();
    };
    const server = await serve(fake({ copyState }));
    const link = client(server.port, { copySilenceMs: 300 });
    for (const partition of [0, 1])
      expect(await outcome(all(link.copyState(partition, { signal: never })))).toBe('unavailable');
    await expect.poll(() => aborted).toEqual([true, true]);
    expect([link.openConnections, link.inFlight]).toEqual([limits.linkConnections, 0]);
  });

  test('a receiver that takes its time is not a node that is silent', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(200, produced) }));
    const link = client(server.port, { copySilenceMs: 200 });
    let taken = 0;
    for await (const _ of link.copyState(0, { signal: never }))
      if (++taken % 60 === 0) await new Promise((resolve) => setTimeout(resolve, 500));
    expect(taken).toBe(200);
  });

  test('a node that stops ends it as such, and is not waited for', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(1_000_000, produced) }), { closeTimeoutMs: 10_000 });
    const link = client(server.port);
    const taken: StatePart[] = [];
    const copying = outcome(all(link.copyState(0, { signal: never }), taken));
    await expect.poll(() => taken.length).toBeGreaterThan(10);
    const began = performance.now();
    await server.close();
    expect(performance.now() - began).toBeLessThan(5000);
    expect(['shutting_down', 'unavailable']).toContain(await copying);
    expect([produced.live, link.inFlight]).toEqual([0, 0]);
  });

  test('one asked for while the node says goodbye is refused', async () => {
    const server = await serve(fake({ copyState: giving(10, { count: 0, live: 0 }) }), { closeTimeoutMs: 300 });
    const socket = await rawClient(server.port);
    const answers = frames(socket);
    const closed = server.close();
    socket.write(frame(frameKind.copyState, 5, encodeCopyRequest({ partition: 0, windowBytes: 1000 })));
    expect(decodeError((await answers(frameKind.failure)).payload).code).toBe('shutting_down');
    await closed;
  });

  test('closing the client ends it', async () => {
    const produced = { count: 0, live: 0 };
    const server = await serve(fake({ copyState: giving(1_000_000, produced) }));
    const link = client(server.port);
    const taken: StatePart[] = [];
    const copying = outcome(all(link.copyState(0, { signal: never }), taken));
    await expect.poll(() => taken.length).toBeGreaterThan(10);
    await link.close();
    expect(await copying).toBe('unavailable');
    expect(await outcome(all(link.copyState(0, { signal: never })))).toBe('shutting_down');
    await expect.poll(() => produced.live).toBe(0);
  });

  test('what the node says of its failure arrives', async () => {
    const copyState: NodeService['copyState'] = async function* () {
      yield { position: 1n, records: [] };
      throw new StateStoreError('overloaded', 'enough for now', { retryAfterMs: 77 });
    };
    const link = client((await serve(fake({ copyState }))).port);
    const taken: StatePart[] = [];
    await expect(all(link.copyState(0, { signal: never }), taken)).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: 77,
    });
    expect(taken).toHaveLength(1);
  });

  test('nobody there: unavailable', async () => {
    const server = await serve(fake({}));
    await server.close();
    expect(await outcome(all(client(server.port, { connectWaitMs: 200 }).copyState(0, { signal: never })))).toBe(
      'unavailable',
    );
  });

  test('a node that knows no copies says so', async () => {
    const server = await serve(fake({ get: (_partition, _store, key) => ({ entry: entryOf(key), position: 1n }) }));
    const socket = await rawClient(server.port);
    const answers = frames(socket);
    socket.write(frame(31, 5, encodeCopyRequest({ partition: 0, windowBytes: 1000 })));
    expect(decodeError((await answers(frameKind.failure)).payload).code).toBe('invalid_parameter');
    // One that cannot be read harms nobody else on the connection.
    socket.write(frame(frameKind.copyState, 6, Uint8Array.of(0x08)));
    expect(decodeError((await answers(frameKind.failure)).payload).code).toBe('invalid_body');
  });
});
