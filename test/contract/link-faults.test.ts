// What the link promises when the network, the peer or the service misbehaves: every promise settles, a
// write that must not arrive twice does not, and what was refused was certainly not done.
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Command, commandResult, defaultTtl, limits, noCondition, operationResult, StateStoreError } from '@statestore/core';
import { type ChangeBatch, connectLink, type Entry, type LinkClient, type LinkClientOptions, type LinkServer, type LinkServerOptions, type NodeService, serveLink } from '@statestore/link';
import { FrameDecoder, frameHeaderBytes, frameKind, writeFrameHeader } from '../../services/link/src/frame.ts';
import { encodeHello, preamble, preambleBytes } from '../../services/link/src/handshake.ts';
import { encodeGetRequest } from '../../services/link/src/codec/entry.ts';
import { decodeError } from '../../services/link/src/codec/error.ts';
import { FaultyProxy, type FaultyProxyOptions, seeded } from './faulty-proxy.ts';

const session = { consistency: 'session' } as const;
const store = 'carts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A service of which each test tells what it does. */
function fake(methods: Partial<NodeService>): NodeService {
  return methods as NodeService;
}

async function serve(service: NodeService, more: Partial<LinkServerOptions> = {}): Promise<LinkServer> {
  const server = await serveLink({ service, host: '127.0.0.1', port: 0, closeTimeoutMs: 1000, ...more });
  closers.push(() => server.close());
  return server;
}

function client(port: number, more: Partial<LinkClientOptions> = {}): LinkClient {
  const link = connectLink({ host: '127.0.0.1', port, backoffMinMs: 5, backoffMaxMs: 20, ...more });
  closers.push(() => link.close());
  return link;
}

async function proxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const opened = await FaultyProxy.open(options);
  closers.push(() => opened.close());
  return opened;
}

function putCommand(key: string, stamp?: Command['stamp']): Command {
  const operation = { kind: 'put', key, condition: noCondition, value: new Uint8Array(10), contentType: '', ttl: defaultTtl } as const;
  const body = { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] } as const;
  return stamp === undefined ? { body } : { stamp, body };
}

function keyOf({ body }: Command): string {
  return body.kind === 'mutate' ? body.operations[0]!.key : '';
}

function stamp(counter: number): NonNullable<Command['stamp']> {
  return { session: 's'.repeat(16), counter, firstUnanswered: 1, opens: counter === 1 };
}

const done = commandResult('done', { operations: [operationResult('done', { revision: 7n })] });
const entryOf = (key: string): Entry => ({ value: Uint8Array.from(Buffer.from(`value of ${key}`)), contentType: '', revision: 1n, expiresAtMs: 0 });

async function outcome(promise: unknown): Promise<string> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    if (error instanceof StateStoreError) return error.code;
    throw error;
  }
}

const forever = (): Promise<never> => new Promise(() => {});

describe('connections that break', () => {
  test.each([1, 2, 3, 4, 5, 6])('cut at any byte, seed %i: everything settles, nothing that must not runs twice', { timeout: 60_000 }, async (seed) => {
    const random = seeded(seed);
    const runs = new Map<string, number>();
    const service = fake({
      get: (_partition, _store, key) => (random() < 0.5 ? entryOf(key) : Promise.resolve(entryOf(key))),
      propose: async (_partition, command) => {
        runs.set(keyOf(command), (runs.get(keyOf(command)) ?? 0) + 1);
        if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 5));
        return done;
      },
    });
    const server = await serve(service);
    const faulty = await proxy({ targetPort: server.port, random, cutAfterBytes: () => Math.floor(random() * 6000), pieceBytesMax: 700, delayMs: 2 });
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
          if (code === 'done') expect((await read)?.value).toEqual(entryOf(key).value);
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
    expect(counts).toMatchObject({ 'get done': 200, 'stamped done': 200, 'plain done': expect.any(Number) as number, 'plain outcome_unknown': expect.any(Number) as number });
    // What ran is what was told: also later, nothing else arrives.
    for (const [key, ran] of runs) if (Number(key.slice(4)) % 3 === 2) expect(ran).toBe(1);
  });

  test('a server that restarts in the middle: reads and stamped writes go on', async () => {
    const service = fake({ get: (_partition, _store, key) => Promise.resolve(entryOf(key)), propose: () => Promise.resolve(done) });
    let server = await serve(service);
    const { port } = server;
    const link = client(port);
    const progress = { stop: false };
    const codes = new Set<string>();
    const worker = async (_: unknown, i: number): Promise<void> => {
      for (let n = 1; !progress.stop; n++) {
        codes.add(await outcome(i % 2 === 0 ? link.get(0, store, 'a', session) : link.propose(0, putCommand('a', stamp(n)))));
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
        if (step === 'session_expired result') return commandResult('session_expired');
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
    const codes = await Promise.all([link.get(0, store, 'a', session), link.propose(0, putCommand('a')), link.propose(0, putCommand('a', stamp(1)))].map(outcome));
    expect(codes).toEqual(['unavailable', 'unavailable', 'unavailable']);
    expect(link.inFlight).toBe(0);
  });

  test('closing the client settles everything', async () => {
    const server = await serve(fake({ get: forever, propose: forever, async *watch() { yield await forever(); } }));
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

describe('peers that hang', () => {
  test('a half-open connection: deadlines hold, and the client comes back', async () => {
    let ran = 0;
    const service = fake({
      get: (_partition, _store, key) => entryOf(key),
      propose: async () => {
        ran++;
        return done;
      },
    });
    const faulty = await proxy({ targetPort: (await serve(service)).port });
    const link = client(faulty.port, { readTimeoutMs: 200, proposeTimeoutMs: 200, heartbeatMs: 100, silenceMs: 600 });
    expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
    faulty.silence();
    const codes = await Promise.all([link.get(0, store, 'a', session), link.propose(0, putCommand('a')), link.propose(0, putCommand('b', stamp(1)))].map(outcome));
    expect(codes).toEqual(['unavailable', 'outcome_unknown', 'outcome_unknown']);
    expect(link.inFlight).toBe(0);
    // Found dead by the heartbeat, with nothing in flight.
    await expect.poll(() => link.openConnections, { timeout: 5000 }).toBe(0);
    faulty.speak();
    await expect.poll(() => outcome(link.get(0, store, 'a', session)), { timeout: 10_000 }).toBe('done');
    expect(ran).toBeLessThanOrEqual(2);
  });

  test('a service that hangs on a live connection: deadlines hold, the connection stays', async () => {
    const server = await serve(fake({ get: forever, propose: forever }));
    const faulty = await proxy({ targetPort: server.port });
    const link = client(faulty.port, { readTimeoutMs: 150, proposeTimeoutMs: 150 });
    const codes = await Promise.all([link.get(0, store, 'a', session), link.propose(0, putCommand('a')), link.propose(0, putCommand('b', stamp(1)))].map(outcome));
    expect(codes).toEqual(['unavailable', 'outcome_unknown', 'outcome_unknown']);
    expect([link.inFlight, link.openConnections, faulty.accepted]).toEqual([0, 2, 2]);
  });

  test('a client that never reads: the node stops reading it, serves others, and cuts it', async () => {
    let asked = 0;
    const large = new Uint8Array(64 * 1024);
    const service = fake({
      get: (_partition, _store, key) => {
        if (key === 'large') asked++;
        return { value: key === 'large' ? large : new Uint8Array(1), contentType: '', revision: 1n, expiresAtMs: 0 };
      },
    });
    const server = await serve(service, { silenceMs: 3000 });
    const socket = await rawClient(server.port);
    socket.pause();
    const request = encodeGetRequest({ partition: 0, store, key: 'large', options: session });
    const total = 20_000;
    for (let i = 0; i < total; i++) socket.write(frame(frameKind.get, i, request));
    const link = client(server.port);
    expect(await outcome(link.get(0, store, 'small', session))).toBe('done');
    await expect.poll(() => asked).toBeGreaterThan(0);
    await expect.poll(() => server.connections, { timeout: 15_000 }).toBe(2); // The good client's.
    // What the kernel buffers, the pause mark, and one turn's worth: far from all.
    expect(asked).toBeLessThan(total / 10);
    expect(await outcome(link.get(0, store, 'small', session))).toBe('done');
  });

  test('a client that says nothing is cut', async () => {
    const server = await serve(fake({}), { silenceMs: 500 });
    const socket = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('close', resolve).resume());
    await expect.poll(() => server.connections).toBe(0);
  });

  test('more in flight than allowed: overloaded, nothing of it ran', async () => {
    let ran = 0;
    const service = fake({
      propose: () => {
        ran++;
        return forever();
      },
    });
    const server = await serve(service, { inFlightMax: 4 });
    const atServer = client(server.port, { connections: 1 });
    const codes = Array.from({ length: 4 }, (_, i) => outcome(atServer.propose(0, putCommand(`a${i}`))));
    await expect.poll(() => ran).toBe(4);
    expect(await outcome(atServer.propose(0, putCommand('b')))).toBe('overloaded');
    expect(ran).toBe(4);
    const atClient = client(server.port, { connections: 1, inFlightMax: 2 });
    await expect.poll(() => atClient.openConnections).toBe(1);
    codes.push(outcome(atClient.propose(0, putCommand('c'))), outcome(atClient.propose(0, putCommand('d'))));
    expect(await outcome(atClient.propose(0, putCommand('e')))).toBe('overloaded');
    await Promise.all([atServer.close(), atClient.close()]);
    await Promise.all(codes);
  });
});

describe('closing a server', () => {
  test('finishes what is in flight, refuses what is new', async () => {
    let finish: (() => void) | undefined;
    const service = fake({
      propose: () => new Promise((resolve) => (finish = () => resolve(done))),
      get: (_partition, _store, key) => entryOf(key),
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

describe('peers that are not what they should be', () => {
  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['another version', Buffer.from([...preamble(77)])],
    ['a frame too large', Buffer.concat([preamble(), Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0])])],
    ['no hello', Buffer.concat([preamble(), frame(frameKind.get, 1, new Uint8Array(0))])],
  ])('a client that begins with %s is refused, told why, and closed', async (_name, bytes) => {
    const server = await serve(fake({ get: (_partition, _store, key) => entryOf(key) }));
    const socket = connect(server.port, '127.0.0.1');
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    const closed = new Promise((resolve) => socket.once('end', resolve));
    socket.write(bytes);
    await closed;
    socket.destroy();
    const decoder = new FrameDecoder();
    decoder.push(Buffer.concat(received));
    expect(decoder.take(preambleBytes)).toEqual(Buffer.from(preamble()));
    const refused = decoder.next()!;
    expect(refused.kind).toBe(frameKind.refused);
    expect(['unavailable', 'invalid_body']).toContain(decodeError(refused.payload).code);
    expect(await outcome(client(server.port).get(0, store, 'a', session))).toBe('done');
  });

  test('random bytes after the handshake harm nobody else', async () => {
    const service = fake({ get: (_partition, _store, key) => entryOf(key), propose: () => Promise.resolve(done), getMany: () => [], scan: () => ({ entries: [], more: false }), store: () => undefined, stores: () => [], sync: () => Promise.resolve() });
    const server = await serve(service);
    const link = client(server.port);
    const random = seeded(99);
    for (let round = 0; round < 200; round++) {
      const socket = await rawClient(server.port);
      socket.on('error', () => {});
      const junk = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
      const kind = round % 2 === 0 ? Math.floor(random() * 60) : frameKind.get + Math.floor(random() * 10);
      socket.write(round % 4 === 0 ? junk : frame(kind, round, junk));
      if (round % 8 === 0) socket.destroy();
      else socket.end();
    }
    expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
    await expect.poll(() => server.connections).toBe(2);
  });

  test.each([
    ['another version', Buffer.from(preamble(2)), 'speaks version 2'],
    ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'does not speak'],
    ['damaged frames', Buffer.concat([preamble(), Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0])]), 'length is 4294967295'],
  ])('a server with %s: unavailable, and the reason', async (_name, bytes, reason) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume();
      socket.write(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => server.close(resolve)));
    const link = client((server.address() as { port: number }).port, { readTimeoutMs: 300 });
    await expect(link.get(0, store, 'a', session)).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining(reason) as string });
    await link.close();
  });

  test('a token is asked for', async () => {
    const server = await serve(fake({ get: (_partition, _store, key) => entryOf(key) }), { token: 'secret' });
    expect(await outcome(client(server.port, { token: 'secret' }).get(0, store, 'a', session))).toBe('done');
    const wrong = client(server.port, { token: 'guess', readTimeoutMs: 300 }).get(0, store, 'a', session);
    await expect(wrong).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('refused the link token') as string });
  });
});

describe('services that fail', () => {
  test('an error arrives as it was thrown', async () => {
    const thrown = new StateStoreError('disk_full', 'no room', { hint: 'make room', retryAfterMs: 1234, extra: { free: [1, null, 'x'] } });
    const link = client((await serve(fake({ propose: () => Promise.reject(thrown) }))).port);
    const { code, message, hint, retryAfterMs, extra } = thrown;
    await expect(link.propose(0, putCommand('a'))).rejects.toMatchObject({ code, message, hint, retryAfterMs, extra });
  });

  test('what nobody foresaw: a read is internal, a write unknown', async () => {
    const broken = (): never => {
      throw new TypeError('undefined is not a function');
    };
    const link = client((await serve(fake({ get: broken, propose: async () => broken() }))).port);
    expect(await outcome(link.get(0, store, 'a', session))).toBe('internal');
    expect(await outcome(link.propose(0, putCommand('a')))).toBe('outcome_unknown');
  });

  test('an answer beyond the bound is refused, one within it comes whole', async () => {
    const large = { value: new Uint8Array(limits.valueBytesMax).fill(5), contentType: '', revision: 1n, expiresAtMs: 0 };
    const link = client((await serve(fake({ getMany: (_partition, _store, keys) => keys.map(() => large) }))).port);
    const whole = await link.getMany(0, store, Array.from({ length: 40 }, () => 'a'), session);
    expect(whole.map((entry) => Buffer.compare(entry!.value, large.value))).toEqual(whole.map(() => 0));
    expect(await outcome(link.getMany(0, store, Array.from({ length: 70 }, () => 'a'), session))).toBe('body_too_large');
  });

  test('a request beyond the bound is not sent', async () => {
    const link = client((await serve(fake({ getMany: () => [] }))).port);
    const keys = Array.from({ length: 17 * 1024 }, () => 'k'.repeat(1024));
    expect(await outcome(link.getMany(0, store, keys, session))).toBe('body_too_large');
    expect(link.inFlight).toBe(0);
  });
});

describe('watches', () => {
  /** Positions from → 1, 2, 3, … with a change each, as fast as they are taken, up to `last`. */
  function counting(last: bigint, produced: { count: number; live: number }, keyBytes = 10): NodeService['watch'] {
    return async function* (_partition, { from, signal }) {
      produced.live++;
      try {
        const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        for (let position = from ?? 1n; position <= last; position++) {
          if (signal.aborted) return;
          produced.count++;
          yield { position, timeMs: 1, changes: [{ kind: 'put', revision: position, store, key: 'k'.repeat(keyBytes) }] } satisfies ChangeBatch;
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
    const faulty = await proxy({ targetPort: server.port, random, cutAfterBytes: () => 200 + Math.floor(random() * 30_000), pieceBytesMax: 2000, delayMs: 1 });
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
    const server = await serve(fake({ watch: counting(1_000_000n, produced, 1000), get: (_partition, _store, key) => entryOf(key) }));
    const link = client(server.port, { connections: 1 });
    const abort = new AbortController();
    const slow = link.watch(0, { store, prefix: '', from: 1n, signal: abort.signal })[Symbol.asyncIterator]();
    await slow.next();
    const quickly = new AbortController();
    let seen = 0;
    for await (const _ of link.watch(0, { store, prefix: '', from: 1n, signal: quickly.signal })) if (++seen === 3000) quickly.abort();
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
    const server = await serve(fake({ async *watch() { yield await forever(); } }));
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

function frame(kind: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, kind, id, payload.length);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** A connection by hand, past the handshake. */
async function rawClient(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  closers.push(async () => void socket.destroy());
  socket.on('error', () => {});
  socket.write(Buffer.concat([preamble(), frame(frameKind.hello, 0, encodeHello({ software: 'test', token: '' }))]));
  await new Promise((resolve) => socket.once('data', resolve));
  return socket;
}

/** Waits for a frame of a kind. The handshake is over: only whole frames come. */
function frames(socket: Socket): (kind: number) => Promise<{ kind: number; payload: Uint8Array }> {
  const decoder = new FrameDecoder();
  socket.on('data', (chunk: Buffer) => decoder.push(chunk));
  return async (kind) => {
    for (;;) {
      const next = decoder.next();
      if (next?.kind === kind) return next;
      if (next === undefined) await new Promise((resolve) => socket.once('data', resolve));
    }
  };
}
