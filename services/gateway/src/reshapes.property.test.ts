// A gateway over partitions that split and merge at random points, also in the middle of requests: whatever is asked,
// it answers as one store would that is never reshaped. Two gateways, each of which hears of a new topology when it likes.
import { evenTopology, StateStoreError } from '@statestore/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventReader } from '../../../test/contract/sse-client.ts';
import { buildGateway, type Gateway } from './app.ts';
import { FakeNode } from './testing/fake-node.ts';
import { FakeReshapes } from './testing/fake-reshapes.ts';

const keys = Array.from({ length: 24 }, (_, i) => `k${i}`);
const keyIndex = fc.nat({ max: keys.length - 1 });
const gatewayIndex = fc.nat({ max: 1 });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key: keyIndex, at: gatewayIndex }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: keyIndex, at: gatewayIndex }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('increment' as const), key: keyIndex, at: gatewayIndex }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('get' as const), key: keyIndex, at: gatewayIndex }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      keys: fc.uniqueArray(keyIndex, { minLength: 2, maxLength: 12 }),
      retry: fc.boolean(),
      at: gatewayIndex,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('transaction' as const), key: keyIndex, at: gatewayIndex }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('list' as const), reverse: fc.boolean(), at: gatewayIndex }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), at: gatewayIndex }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('store' as const), at: gatewayIndex }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rewatch' as const), at: gatewayIndex }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fall behind' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('reshape' as const),
      what: fc.constantFrom('split', 'merge', 'given up', 'lost answer'),
      pick: fc.nat({ max: 1000 }),
    }),
  },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('step' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('tell' as const), at: gatewayIndex }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Over all runs. */
let reshaped = 0;

class World {
  readonly node = new FakeNode(2);
  readonly reshapes = new FakeReshapes(this.node, evenTopology(2, ['a']));
  readonly gateways: Gateway[] = [];
  readonly urls: string[] = [];
  /** What a store that is never reshaped would have. */
  readonly model = new Map<string, string>();
  /** Changes of each key, in their order. */
  readonly changes = new Map<string, string[]>();
  readonly watches: EventReader[] = [];
  session: string | undefined;
  #running: Iterator<string, void> | undefined;
  #nextPartition = 2;
  #values = 0;

  static async start(): Promise<World> {
    const world = new World();
    for (let i = 0; i < 2; i++) {
      const directory = {
        nodeOf: () => world.node,
        nodes: () => [world.node],
        // Whoever asks hears of it, in a moment.
        refresh: (): void => void setTimeout(() => world.tell(i), 2),
      };
      const gateway = await buildGateway({
        topology: world.reshapes.topology,
        node: directory,
        version: '0.0.0',
        cursorKey: Buffer.alloc(32, 1),
      });
      world.gateways.push(gateway);
      world.urls.push(await gateway.app.listen({ host: '127.0.0.1', port: 0 }));
    }
    // Some partitions are told of later than others.
    world.node.beforeChanges = (partition) =>
      partition % 2 === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, 20));
    await world.watch(0);
    return world;
  }

  tell(gateway: number): void {
    this.gateways[gateway]!.updateTopology(this.reshapes.topology);
  }

  async watch(gateway: number): Promise<void> {
    const last = this.watches.at(-1);
    last?.response.destroy();
    const reader = await EventReader.open(
      this.urls[gateway]!,
      '/v1/stores/s/watch',
      last === undefined ? {} : { 'last-event-id': last.lastId },
    );
    expect(reader.response.statusCode).toBe(200);
    this.watches.push(reader);
  }

  begin(what: string, pick: number): void {
    if (this.#running !== undefined) return;
    const { numbers } = this.reshapes;
    const source = numbers[pick % numbers.length]!;
    if (what === 'lost answer') {
      this.loseAnswer();
      return;
    }
    if (what === 'split' && numbers.length < 6) this.#running = this.reshapes.split(source, this.#nextPartition++);
    else if (what === 'merge' && numbers.length > 1) {
      const others = numbers.filter((number) => number !== source);
      this.#running = this.reshapes.merge(source, others[pick % others.length]!);
    } else if (what === 'given up') this.#running = this.reshapes.givenUp(source);
    this.step();
  }

  /** The next command takes effect, and whoever sent it is not told; slots move before it asks again. */
  loseAnswer(): void {
    this.node.fault = () => {
      this.node.fault = undefined;
      queueMicrotask(() => {
        for (let i = 0; i < 6; i++) this.step();
      });
      return { after: new StateStoreError('outcome_unknown', 'the test lost it') };
    };
  }

  step(): void {
    const next = this.#running?.next();
    if (next?.done !== true) return;
    this.#running = undefined;
    reshaped++;
  }

  /** The answer; while it takes its time, what is under way goes on. */
  answer(work: Promise<Response>): Promise<Response> {
    const waits = setInterval(() => this.step(), 10);
    return work.finally(() => clearInterval(waits));
  }

  async call(at: number, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.session !== undefined) headers.set('statestore-session', this.session);
    const response = await this.answer(fetch(`${this.urls[at]!}/v1/stores/s${path}`, { ...init, headers }));
    this.session = response.headers.get('statestore-session') ?? this.session;
    return response;
  }

  value(): string {
    return String(++this.#values);
  }

  changed(key: string, kind: string): void {
    const all = this.changes.get(key);
    if (all === undefined) this.changes.set(key, [kind]);
    else all.push(kind);
  }

  put(key: string, value: string): void {
    this.model.set(key, value);
    this.changed(key, 'put');
  }

  remove(key: string): void {
    if (this.model.delete(key)) this.changed(key, 'delete');
  }

  async close(): Promise<void> {
    for (const watch of this.watches) watch.response.destroy();
    await Promise.all(this.gateways.map((gateway) => gateway.close()));
  }
}

const json = { 'content-type': 'application/json' };

async function take(world: World, given: Step): Promise<void> {
  switch (given.kind) {
    case 'put': {
      const key = keys[given.key]!;
      const value = world.value();
      const response = await world.call(given.at, `/keys/${key}`, { method: 'PUT', body: value });
      expect(response.status).toBe(world.model.has(key) ? 200 : 201);
      return world.put(key, value);
    }
    case 'delete': {
      const key = keys[given.key]!;
      const response = await world.call(given.at, `/keys/${key}`, { method: 'DELETE' });
      expect(await response.json()).toEqual({ existed: world.model.has(key) });
      return world.remove(key);
    }
    case 'increment': {
      const key = keys[given.key]!;
      const response = await world.call(given.at, `/keys/${key}/increment`, { method: 'POST' });
      const value = String(BigInt(world.model.get(key) ?? '0') + 1n);
      expect(await response.json()).toMatchObject({ valueText: value });
      return world.put(key, value);
    }
    case 'get': {
      const key = keys[given.key]!;
      const response = await world.call(given.at, `/keys/${key}`);
      const value = world.model.get(key);
      expect([response.status, value === undefined ? undefined : await response.text()]).toEqual([
        value === undefined ? 404 : 200,
        value,
      ]);
      return;
    }
    case 'batch':
      return batch(world, given);
    case 'transaction': {
      const key = keys[given.key]!;
      const body = JSON.stringify({
        operations: [
          { op: 'increment', key },
          { op: 'increment', key, delta: 2 },
        ],
      });
      const headers = { ...json, 'idempotency-key': `t${world.value()}` };
      const value = BigInt(world.model.get(key) ?? '0');
      for (let i = 0; i < 2; i++) {
        // The second one is a retry: it does nothing, and answers the same.
        const response = await world.call(i === 0 ? given.at : 1 - given.at, '/transactions', {
          method: 'POST',
          headers,
          body,
        });
        const { results } = (await response.json()) as { results: readonly { valueText: string }[] };
        expect(results.map(({ valueText }) => valueText)).toEqual([String(value + 1n), String(value + 3n)]);
        world.step();
        world.begin('merge', given.key);
      }
      world.put(key, String(value + 1n));
      return world.put(key, String(value + 3n));
    }
    case 'list': {
      const found: string[] = [];
      let cursor: string | null = null;
      do {
        const query = `?limit=3&reverse=${given.reverse}${cursor === null ? '' : `&cursor=${cursor}`}`;
        const response = await world.call(given.at, `/keys${query}`);
        const page = (await response.json()) as { entries: readonly { key: string }[]; cursor: string | null };
        found.push(...page.entries.map(({ key }) => key));
        ({ cursor } = page);
        // Between two pages anything may happen to partitions.
        world.step();
      } while (cursor !== null);
      const expected = [...world.model.keys()].toSorted();
      expect(found).toEqual(given.reverse ? expected.toReversed() : expected);
      return;
    }
    case 'clear': {
      const response = await world.call(given.at, '', { method: 'DELETE' });
      expect(await response.json()).toEqual({ cleared: world.model.size });
      world.model.clear();
      return;
    }
    case 'store': {
      const response = await world.call(given.at, '');
      const { entries = 0 } = (await response.json()) as { entries?: number };
      expect([response.status === 404, entries]).toEqual([entries === 0, world.model.size]);
      return;
    }
    case 'fall behind':
      return world.node.fallBehind();
    case 'rewatch':
      return world.watch(given.at);
    case 'reshape':
      return world.begin(given.what, given.pick);
    case 'step':
      return world.step();
    case 'tell':
      return world.tell(given.at);
  }
}

async function batch(world: World, given: Step & { kind: 'batch' }): Promise<void> {
  const names = given.keys.map((i) => keys[i]!);
  const values = names.map(() => world.value());
  const operations = names.map((key, i) =>
    i % 4 === 3 ? { op: 'get', key } : i % 4 === 2 ? { op: 'delete', key } : { op: 'put', key, value: values[i]! },
  );
  const headers = given.retry ? { ...json, 'idempotency-key': `b${world.value()}` } : json;
  const body = JSON.stringify({ operations });
  const before = new Map(world.model);
  const expected = names.map((key, i) => {
    if (i % 4 === 3) return before.has(key) ? { status: 200, value: before.get(key) } : { status: 404 };
    return i % 4 === 2 ? { existed: before.has(key) } : { status: before.has(key) ? 200 : 201 };
  });
  for (let i = 0; i < (given.retry ? 2 : 1); i++) {
    const at = i === 0 ? given.at : 1 - given.at;
    const response = await world.call(at, '/batch', { method: 'POST', headers, body });
    const { results } = (await response.json()) as { results: readonly object[] };
    expect(results).toMatchObject(expected);
    if (i === 0) {
      for (const [at2, key] of names.entries()) {
        if (at2 % 4 === 2) world.remove(key);
        else if (at2 % 4 !== 3) world.put(key, values[at2]!);
      }
    }
    world.step();
  }
}

/** Each change was told once, those of a key in their order. */
async function checkWatches(world: World): Promise<void> {
  const told = (): Map<string, string[]> => {
    const found = new Map<string, string[]>();
    const revisions = new Map<string, bigint>();
    for (const { event, data } of world.watches.flatMap((watch) => watch.events)) {
      if (event === 'ready' || event === 'clear') continue;
      expect([event, data]).not.toEqual(['error', data]);
      const revision = BigInt(data.etag.slice(1, -1));
      expect(revision, `${event} of ${data.key}`).toBeGreaterThan(revisions.get(data.key) ?? 0n);
      revisions.set(data.key, revision);
      const all = found.get(data.key);
      if (all === undefined) found.set(data.key, [event]);
      else all.push(event);
    }
    return found;
  };
  const total = (of: ReadonlyMap<string, readonly string[]>): number => [...of.values()].flat().length;
  for (let turn = 0; turn < 200 && total(told()) < total(world.changes); turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(told()).toEqual(world.changes);
}

test('every promise is kept while partitions split and merge', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 100 }), async (steps) => {
      const world = await World.start();
      try {
        for (const one of steps) await take(world, one);
        world.tell(0);
        world.tell(1);
        for (let i = 0; i < 8; i++) world.step();
        await checkWatches(world);
      } finally {
        await world.close();
      }
    }),
    { numRuns: Number(process.env['RUNS'] ?? 40) },
  );
  expect(reshaped).toBeGreaterThan(0);
});
