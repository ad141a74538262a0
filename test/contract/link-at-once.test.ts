// A link that does not resend: whoever has another node to ask is told at once what became of a request,
// and how long the node has been silent.
import { afterEach, describe, expect, test } from 'vitest';
import type { LinkClientOptions } from '@statestore/link';
import {
  client,
  closeAll,
  done,
  entryOf,
  fake,
  forever,
  outcome,
  proxy,
  putCommand,
  serve,
  session,
  stamp,
  store,
} from './link-fixture.ts';

afterEach(closeAll);

const atOnce: Partial<LinkClientOptions> = { resends: false, connectWaitMs: 0 };
const found = (key: string) => ({ entry: entryOf(key), position: 1n });
const quick = async (work: unknown): Promise<string> => {
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('still waiting'), 1000).unref());
  return Promise.race([outcome(work), late]);
};

describe('a link that does not resend', () => {
  test('refuses at once while nobody is there', async () => {
    const server = await serve(fake({}));
    await server.close();
    const link = client(server.port, atOnce);
    const { signal } = new AbortController();
    const asked = [
      link.get(0, store, 'a', session),
      link.propose(0, putCommand('a', stamp(1))),
      link.watch(0, { store, prefix: '', from: 1n, signal })[Symbol.asyncIterator]().next(),
    ];
    expect(await Promise.all(asked.map((work) => quick(work)))).toEqual(['unavailable', 'unavailable', 'unavailable']);
    expect([link.inFlight, link.silentMs]).toEqual([0, 0]);
  });

  test('a break settles what was in flight at once, once, and honestly', async () => {
    let ran = 0;
    const service = fake({
      get: forever,
      propose: () => {
        ran++;
        return forever();
      },
      async *watch() {
        yield await forever();
      },
    });
    const faulty = await proxy({ targetPort: (await serve(service)).port });
    let changes = 0;
    const link = client(faulty.port, { ...atOnce, onConnections: () => changes++ });
    await expect.poll(() => link.openConnections).toBe(2);
    expect(changes).toBe(2);
    const { signal } = new AbortController();
    const asked = [
      link.get(0, store, 'a', session),
      link.propose(0, putCommand('a', stamp(1))),
      link.propose(0, putCommand('b')),
      link.watch(0, { store, prefix: '', from: 1n, signal })[Symbol.asyncIterator]().next(),
    ].map((work) => quick(work));
    await expect.poll(() => ran).toBe(2);
    faulty.cutAll();
    expect(await Promise.all(asked)).toEqual(['unavailable', 'outcome_unknown', 'outcome_unknown', 'unavailable']);
    await expect.poll(() => link.openConnections).toBe(2);
    expect([ran, link.inFlight]).toEqual([2, 0]);
    expect(changes).toBe(6);
  });

  test('a refusal by the node is the answer', async () => {
    const service = fake({ get: (_partition, _store, key) => found(key), propose: () => Promise.resolve(done) });
    const link = client((await serve(service)).port, atOnce);
    await expect.poll(() => link.openConnections).toBe(2);
    expect(await quick(link.get(0, store, 'a', session))).toBe('done');
    expect(await quick(link.propose(0, putCommand('a', stamp(1))))).toBe('done');
  });
});

test('silence is seen, ends with the next byte, and cuts the connection when it is too long', async () => {
  const service = fake({ get: (_partition, _store, key) => found(key), propose: forever });
  const faulty = await proxy({ targetPort: (await serve(service)).port });
  const link = client(faulty.port, { ...atOnce, heartbeatMs: 100, silenceMs: 1500 });
  await expect.poll(() => link.openConnections).toBe(2);
  const write = quick(link.propose(0, putCommand('a', stamp(1))));
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(link.silentMs).toBeLessThan(400);
  faulty.silence();
  await expect.poll(() => link.silentMs).toBeGreaterThan(500);
  expect(link.openConnections).toBe(2);
  faulty.speak();
  await expect.poll(() => link.silentMs).toBeLessThan(200);
  expect(await outcome(link.get(0, store, 'a', session))).toBe('done');
  const later = outcome(link.propose(0, putCommand('b', stamp(2))));
  faulty.silence();
  expect(await later).toBe('outcome_unknown');
  expect(['still waiting', 'outcome_unknown']).toContain(await write);
});
