// What the link promises when the peer hangs, is not what it should be, or its service fails.
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { limits, StateStoreError } from '@statestore/core';
import { encodeGetRequest } from '../../services/link/src/codec/entry.ts';
import { decodeError } from '../../services/link/src/codec/error.ts';
import { FrameDecoder, frameKind } from '../../services/link/src/frame.ts';
import { preamble, preambleBytes } from '../../services/link/src/handshake.ts';
import { seeded } from './faulty-proxy.ts';
import {
  client,
  closeAll,
  done,
  foundOf,
  fake,
  forever,
  frame,
  outcome,
  proxy,
  putCommand,
  rawClient,
  serve,
  session,
  stamp,
  store,
  whenDone,
} from './link-fixture.ts';

afterEach(closeAll);

describe('peers that hang', () => {
  test('a half-open connection: deadlines hold, and the client comes back', async () => {
    let ran = 0;
    const service = fake({
      get: (_partition, _store, key) => foundOf(key),
      propose: async () => {
        ran++;
        return done;
      },
    });
    const faulty = await proxy({ targetPort: (await serve(service)).port });
    const link = client(faulty.port, { readTimeoutMs: 200, proposeTimeoutMs: 200, heartbeatMs: 100, silenceMs: 600 });
    expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
    faulty.silence();
    const codes = await Promise.all(
      [
        link.get(0, store, 'a', session),
        link.propose(0, putCommand('a')),
        link.propose(0, putCommand('b', stamp(1))),
      ].map(outcome),
    );
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
    const codes = await Promise.all(
      [
        link.get(0, store, 'a', session),
        link.propose(0, putCommand('a')),
        link.propose(0, putCommand('b', stamp(1))),
      ].map(outcome),
    );
    expect(codes).toEqual(['unavailable', 'outcome_unknown', 'outcome_unknown']);
    expect([link.inFlight, link.openConnections, faulty.accepted]).toEqual([0, 2, 2]);
  });

  test('a client that never reads: the node stops reading it, serves others, and cuts it', async () => {
    let asked = 0;
    const large = new Uint8Array(64 * 1024);
    const service = fake({
      get: (_partition, _store, key) => {
        if (key === 'large') asked++;
        const value = key === 'large' ? large : new Uint8Array(1);
        return { entry: { value, contentType: '', revision: 1n, expiresAtMs: 0 }, position: 1n };
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

describe('peers that are not what they should be', () => {
  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['another version', Buffer.from([...preamble(77)])],
    ['a frame too large', Buffer.concat([preamble(), Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0])])],
    ['no hello', Buffer.concat([preamble(), frame(frameKind.get, 1, new Uint8Array(0))])],
  ])('a client that begins with %s is refused, told why, and closed', async (_name, bytes) => {
    const server = await serve(fake({ get: (_partition, _store, key) => foundOf(key) }));
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
    const service = fake({
      get: (_partition, _store, key) => foundOf(key),
      propose: () => Promise.resolve(done),
      getMany: () => ({ entries: [], position: 1n }),
      scan: () => ({ entries: [], more: false, position: 1n }),
      store: () => undefined,
      stores: () => [],
      sync: () => Promise.resolve(),
    });
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
    [
      'damaged frames',
      Buffer.concat([preamble(), Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0])]),
      'length is 4294967295',
    ],
  ])('a server with %s: unavailable, and the reason', async (_name, bytes, reason) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume();
      socket.write(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    whenDone(() => new Promise((resolve) => server.close(resolve)));
    const link = client((server.address() as { port: number }).port, { readTimeoutMs: 300 });
    await expect(link.get(0, store, 'a', session)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(reason) as string,
    });
    await link.close();
  });

  test('a token is asked for', async () => {
    const server = await serve(fake({ get: (_partition, _store, key) => foundOf(key) }), { token: 'secret' });
    expect(await outcome(client(server.port, { token: 'secret' }).get(0, store, 'a', session))).toBe('done');
    const wrong = client(server.port, { token: 'guess', readTimeoutMs: 300 }).get(0, store, 'a', session);
    await expect(wrong).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('refused the link token') as string,
    });
  });
});

describe('services that fail', () => {
  test('an error arrives as it was thrown', async () => {
    const thrown = new StateStoreError('disk_full', 'no room', {
      hint: 'make room',
      retryAfterMs: 1234,
      extra: { free: [1, null, 'x'] },
    });
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
    const large = {
      value: new Uint8Array(limits.valueBytesMax).fill(5),
      contentType: '',
      revision: 1n,
      expiresAtMs: 0,
    };
    const many = fake({
      getMany: (_partition, _store, keys) => ({ entries: keys.map(() => large), position: 1n }),
    });
    const link = client((await serve(many)).port);
    const { entries: whole } = await link.getMany(
      0,
      store,
      Array.from({ length: 40 }, () => 'a'),
      session,
    );
    expect(whole.map((entry) => Buffer.compare(entry!.value, large.value))).toEqual(whole.map(() => 0));
    expect(
      await outcome(
        link.getMany(
          0,
          store,
          Array.from({ length: 70 }, () => 'a'),
          session,
        ),
      ),
    ).toBe('body_too_large');
  });

  test('a request beyond the bound is not sent', async () => {
    const link = client((await serve(fake({ getMany: () => ({ entries: [], position: 1n }) }))).port);
    const keys = Array.from({ length: 17 * 1024 }, () => 'k'.repeat(1024));
    expect(await outcome(link.getMany(0, store, keys, session))).toBe('body_too_large');
    expect(link.inFlight).toBe(0);
  });
});
