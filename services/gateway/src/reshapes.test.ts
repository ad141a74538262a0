// What a gateway does at each point of a split and of a merge, one case each.
import { evenTopology, slotOf, slotRanges, StateStoreError } from '@statestore/core';
import { afterEach, expect, test } from 'vitest';
import { EventReader } from '../../../test/contract/sse-client.ts';
import { buildGateway, type Gateway } from './app.ts';
import type { GatewayTimeouts } from './options.ts';
import { FakeNode } from './testing/fake-node.ts';
import { FakeReshapes, upperHalf } from './testing/fake-reshapes.ts';

const gateways: Gateway[] = [];
const watches: EventReader[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.response.destroy();
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
});

class Scene {
  readonly node: FakeNode;
  readonly reshapes: FakeReshapes;

  constructor(partitions = 1) {
    this.node = new FakeNode(partitions);
    this.reshapes = new FakeReshapes(this.node, evenTopology(partitions, ['a']));
  }

  /** A gateway that hears of a topology when it asks for one, or is told. */
  async gateway({ asks = true, timeouts = {} }: { asks?: boolean; timeouts?: Partial<GatewayTimeouts> } = {}) {
    const gateway: Gateway = await buildGateway({
      topology: this.reshapes.topology,
      node: {
        nodeOf: () => this.node,
        nodes: () => [this.node],
        refresh: () => void (asks && setTimeout(() => gateway.updateTopology(this.reshapes.topology), 1)),
      },
      version: '0.0.0',
      cursorKey: Buffer.alloc(32, 1),
      timeouts,
    });
    gateways.push(gateway);
    const url = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
    const call = async (method: string, path: string, more: { body?: string; headers?: object } = {}) => {
      const { body, headers = {} } = more;
      const response = await fetch(`${url}/v1/stores/s${path}`, {
        method,
        headers: { ...(body?.startsWith('{') === true ? { 'content-type': 'application/json' } : {}), ...headers },
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      return { status: response.status, text, token: response.headers.get('statestore-session') ?? '' };
    };
    const tell = (): void => gateway.updateTopology(this.reshapes.topology);
    const watch = async (cursor?: string): Promise<EventReader> => {
      const reader = await EventReader.open(
        url,
        '/v1/stores/s/watch',
        cursor === undefined ? {} : { 'last-event-id': cursor },
      );
      watches.push(reader);
      return reader;
    };
    return { call, tell, watch };
  }

  run(steps: Iterator<string, void>, until?: string): void {
    for (let next = steps.next(); next.done !== true; next = steps.next()) if (next.value === until) return;
  }
}

/** The first keys that lie in the half of 0's slots that a split moves, and in the other one. */
function keysOf(scene: Scene, partition = 0): { readonly moved: string[]; readonly kept: string[] } {
  const { slots } = scene.reshapes.topology.partitions.find((each) => each.partition === partition)!;
  const upper = upperHalf(slots);
  const all = Array.from({ length: 400 }, (_, i) => `k${i}`);
  const within = (of: typeof slots) => (key: string) => slotRanges.containsSlot(of, slotOf('s', key));
  return { moved: all.filter(within(upper)), kept: all.filter(within(slotRanges.without(slots, upper))) };
}

const until = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 500 && !holds(); turn++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(holds()).toBe(true);
};

const eventsOf = ({ events }: EventReader): string[] =>
  events.filter(({ event }) => event !== 'ready').map(({ event, data }) => `${event} ${data.key} ${data.etag}`);

test('a write of a fenced slot waits, one of another slot does not', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway();
  const { moved, kept } = keysOf(scene);
  const split = scene.reshapes.split(0, 1);
  scene.run(split, 'fenced');
  let answered = false;
  const waiting = call('PUT', `/keys/${moved[0]}`, { body: 'x' }).finally(() => (answered = true));
  expect((await call('PUT', `/keys/${kept[0]}`, { body: 'y' })).status).toBe(201);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(answered).toBe(false);
  scene.run(split);
  expect((await waiting).status).toBe(201);
  expect((await call('GET', `/keys/${moved[0]}`)).text).toBe('x');
});

test('a fence that is taken away lets the write through, without a newer topology', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway({ asks: false });
  const fence = scene.reshapes.givenUp(0);
  scene.run(fence, 'fenced');
  const waiting = call('POST', `/keys/${keysOf(scene).moved[0]}/increment`);
  await new Promise((resolve) => setTimeout(resolve, 30));
  scene.run(fence);
  expect((await waiting).text).toContain('"valueText":"1"');
});

test('the wait is bounded, and its end is an honest refusal', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway({ timeouts: { movedMs: 60 } });
  const [key] = keysOf(scene).moved;
  const fence = scene.reshapes.givenUp(0);
  scene.run(fence, 'fenced');
  const refused = await call('PUT', `/keys/${key}`, { body: 'x' });
  expect([refused.status, JSON.parse(refused.text).code]).toEqual([503, 'unavailable']);
  const many = await call('POST', '/batch', { body: JSON.stringify({ operations: [{ op: 'put', key, value: 'x' }] }) });
  expect(JSON.parse(many.text).results).toMatchObject([{ status: 503, code: 'unavailable' }]);
  const cleared = await call('DELETE', '');
  expect(cleared.status).toBe(503);
  scene.run(fence);
  expect((await call('GET', `/keys/${key}`)).status).toBe(404);
});

test.each([
  ['took effect', 'after', 'merge'],
  ['took effect', 'after', 'split'],
  ['took none', 'before', 'merge'],
  ['took none', 'before', 'split'],
] as const)(
  'a command that %s and whose answer was lost (%s) takes effect once, although its slot is gone by a %s',
  async (_effect, when, what) => {
    const scene = new Scene(2);
    const { call } = await scene.gateway();
    const [key] = keysOf(scene, 1).moved;
    const asked: number[] = [];
    scene.node.fault = (partition) => {
      asked.push(partition);
      if (asked.length > 1) return undefined;
      queueMicrotask(() => scene.run(what === 'merge' ? scene.reshapes.merge(1, 0) : scene.reshapes.split(1, 2)));
      return { [when]: new StateStoreError('outcome_unknown', 'the test lost it') };
    };
    expect(JSON.parse((await call('POST', `/keys/${key}/increment`)).text).valueText).toBe('1');
    expect((await call('GET', `/keys/${key}`)).text).toBe('1');
    // Where it was sent, and only after that elsewhere.
    expect(asked).toEqual(when === 'after' ? [1, 1] : [1, 1, what === 'merge' ? 0 : 2]);
  },
);

test('nobody can be asked any more: the outcome is unknown, and says so', async () => {
  const scene = new Scene(2);
  const { call, tell } = await scene.gateway({ asks: false, timeouts: { proposeMs: 300 } });
  const [key] = keysOf(scene, 1).moved;
  scene.node.fault = () => {
    scene.node.fault = undefined;
    queueMicrotask(() => {
      scene.run(scene.reshapes.merge(1, 0));
      scene.reshapes.forget();
      tell();
    });
    return { after: new StateStoreError('outcome_unknown', 'the test lost it') };
  };
  const answer = await call('POST', `/keys/${key}/increment`);
  expect([answer.status, JSON.parse(answer.text).outcome]).toEqual([504, 'unknown']);
});

test('a gateway that missed a merge and what came after it finds the slots all the same', async () => {
  const scene = new Scene(2);
  const { call } = await scene.gateway();
  const [key] = keysOf(scene, 1).moved;
  scene.run(scene.reshapes.merge(1, 0));
  scene.reshapes.forget();
  expect((await call('PUT', `/keys/${key}`, { body: 'x' })).status).toBe(201);
  expect((await call('GET', `/keys/${key}`)).text).toBe('x');
});

test('of a batch only what was not done is sent again, and results are in order', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway();
  const { moved, kept } = keysOf(scene);
  const split = scene.reshapes.split(0, 1);
  scene.run(split, 'fenced');
  const operations = [moved[0], kept[0], moved[1], kept[1], moved[0]].map((key, i) => ({
    op: 'put',
    key,
    value: `v${i}`,
  }));
  const waiting = call('POST', '/batch', { body: JSON.stringify({ operations }) });
  await new Promise((resolve) => setTimeout(resolve, 30));
  const revisions = scene.node.partition(0).state.revision;
  scene.run(split);
  const { results } = JSON.parse((await waiting).text);
  expect(results.map(({ status }: { status: number }) => status)).toEqual([201, 201, 201, 201, 200]);
  // What was done before the hand-over was not done again.
  expect([revisions, scene.node.partition(0).state.revision]).toEqual([2n, 2n]);
  expect((await call('GET', `/keys/${moved[0]}`)).text).toBe('v4');
});

test('a retry of a batch under its key finds each part, whoever has its slot by then', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway();
  const { moved, kept } = keysOf(scene);
  const operations = [...moved.slice(0, 5), ...kept.slice(0, 5)].map((key) => ({ op: 'put', key, value: 'v' }));
  const request = { body: JSON.stringify({ operations }), headers: { 'idempotency-key': 'once' } };
  const first = await call('POST', '/batch', request);
  for (const steps of [
    () => scene.reshapes.split(0, 1),
    () => scene.reshapes.split(1, 2),
    () => scene.reshapes.merge(0, 2),
  ]) {
    scene.run(steps());
    expect((await call('POST', '/batch', request)).text).toBe(first.text);
  }
  for (const { key } of operations) expect((await call('GET', `/keys/${key}`)).text).toBe('v');
});

test('a listing goes on after a split and a merge in its middle: nothing is missed, nothing comes twice', async () => {
  const scene = new Scene();
  const { call } = await scene.gateway();
  const operations = Array.from({ length: 300 }, (_, i) => ({
    op: 'put',
    key: `k${String(i).padStart(3, '0')}`,
    value: '',
  }));
  await call('POST', '/batch', { body: JSON.stringify({ operations }) });
  const reshapes = [scene.reshapes.split(0, 1), undefined, scene.reshapes.split(1, 2), scene.reshapes.merge(2, 0)];
  let scans = 0;
  const scan = scene.node.scan.bind(scene.node);
  scene.node.scan = (partition, range, options) => {
    const page = scan(partition, { ...range, limit: Math.min(range.limit, 40) }, options);
    // In the middle of a page, behind a refill.
    if (scans++ % 2 === 1) {
      const next = reshapes.shift();
      if (next !== undefined) scene.run(next);
    }
    return page;
  };
  const { text } = await call('GET', '/keys?limit=1000');
  expect(reshapes).toEqual([]);
  expect(JSON.parse(text).entries.map(({ key }: { key: string }) => key)).toEqual(operations.map(({ key }) => key));
});

test('a read by a session token of after a move is not answered by who had the slot before, also where that one has not heard of it', async () => {
  const scene = new Scene();
  const fresh = await scene.gateway();
  const stale = await scene.gateway();
  const [key] = keysOf(scene).moved;
  await fresh.call('PUT', `/keys/${key}`, { body: 'old' });
  // A replica of 0 that goes no further.
  scene.node.fallBehind();
  scene.run(scene.reshapes.split(0, 1));
  fresh.tell();
  const { token } = await fresh.call('PUT', `/keys/${key}`, { body: 'new' });
  expect(token).toMatch(/^2\.\w+\.1-/);
  const headers = { 'statestore-session': token };
  expect((await stale.call('GET', `/keys/${key}`, { headers })).text).toBe('new');
});

test('a token names no partition that was merged away', async () => {
  const scene = new Scene(2);
  const { call, tell } = await scene.gateway();
  const { token } = await call('PUT', `/keys/${keysOf(scene, 1).moved[0]}`, { body: 'x' });
  expect(token).toMatch(/^1\.1-/);
  scene.run(scene.reshapes.merge(1, 0));
  tell();
  const headers = { 'statestore-session': token };
  const after = await call('GET', `/keys/${keysOf(scene, 0).kept[0]}`, { headers });
  expect(after.token).toMatch(/^2\.\w+\.0-\w+$/);
});

test('a clear reaches every slot, whatever moves meanwhile, and counts each entry once', async () => {
  const scene = new Scene(2);
  const { call } = await scene.gateway();
  const operations = Array.from({ length: 100 }, (_, i) => ({ op: 'put', key: `k${i}`, value: '' }));
  for (const steps of [() => scene.reshapes.split(0, 2), () => scene.reshapes.merge(1, 0)]) {
    await call('POST', '/batch', { body: JSON.stringify({ operations }) });
    const reshape = steps();
    scene.run(reshape, 'fenced');
    const waiting = call('DELETE', '');
    await new Promise((resolve) => setTimeout(resolve, 30));
    scene.run(reshape);
    expect((await waiting).text).toBe('{"cleared":100}');
    expect(JSON.parse((await call('GET', '')).text.replace('store_not_found', '0')).entries ?? 0).toBe(0);
  }
});

test('the quota of a store is not passed, and can be used up, after its slots moved', async () => {
  const scene = new Scene(2);
  const { call } = await scene.gateway({ timeouts: { quotaSettleMs: 5 } });
  await call('PUT', '/settings', { body: JSON.stringify({ quotaEntries: 40 }) });
  const fill = async (from: number, count: number): Promise<number[]> => {
    const answers = [];
    for (let i = from; i < from + count; i++) answers.push((await call('PUT', `/keys/k${i}`, { body: '' })).status);
    return answers;
  };
  expect(new Set(await fill(0, 15))).toEqual(new Set([201]));
  scene.run(scene.reshapes.split(0, 2));
  expect(new Set(await fill(15, 15))).toEqual(new Set([201]));
  scene.run(scene.reshapes.merge(1, 2));
  const answers = await fill(30, 15);
  expect(answers.filter((status) => status === 201)).toHaveLength(10);
  expect(answers.slice(10)).toEqual([507, 507, 507, 507, 507]);
});

test('settings that are set while slots move reach all partitions', async () => {
  const scene = new Scene(2);
  const { call } = await scene.gateway();
  const split = scene.reshapes.split(0, 2);
  scene.run(split, 'fenced');
  const waiting = call('PUT', '/settings', { body: JSON.stringify({ defaultTtl: '1h', quotaEntries: 9 }) });
  await new Promise((resolve) => setTimeout(resolve, 30));
  scene.run(split);
  expect((await waiting).status).toBe(200);
  const all = [0, 1, 2].map((partition) => scene.node.store(partition, 's')?.settings.quotaEntries);
  expect(all).toEqual([9, 9, 9]);
});

test('a watch tells what came of a slot before its merge, and only then what came after, though it hears of the merge late', async () => {
  const scene = new Scene(2);
  const watching = await scene.gateway({ asks: false });
  const writing = await scene.gateway();
  const [key] = keysOf(scene, 1).moved;
  const watch = await watching.watch();
  await until(() => watch.events.length === 1);
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  // The log of 1 is slow to be told of.
  scene.node.beforeChanges = (partition) => (partition === 1 ? gate : undefined);
  await writing.call('PUT', `/keys/${key}`, { body: 'a' });
  scene.run(scene.reshapes.merge(1, 0));
  writing.tell();
  await writing.call('PUT', `/keys/${key}`, { body: 'b' });
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(eventsOf(watch)).toEqual([]);
  watching.tell();
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(eventsOf(watch)).toEqual([]);
  open();
  await until(() => eventsOf(watch).length === 2);
  expect(eventsOf(watch)).toEqual([`put ${key} "1"`, `put ${key} "2"`]);
});

test('a watch of a cursor of before a split and a merge back goes on, each change once', async () => {
  const scene = new Scene(2);
  const { call, watch } = await scene.gateway();
  const { moved, kept } = keysOf(scene);
  const first = await watch();
  await call('PUT', `/keys/${moved[0]}`, { body: 'a' });
  await until(() => eventsOf(first).length === 1);
  first.response.destroy();
  const write = async (): Promise<void> => {
    for (const key of [moved[0], kept[0]]) await call('PUT', `/keys/${key}`, { body: 'x' });
  };
  await write();
  scene.run(scene.reshapes.split(0, 2));
  await write();
  scene.run(scene.reshapes.merge(2, 0));
  await write();
  scene.run(scene.reshapes.merge(0, 1));
  await write();
  const second = await watch(first.lastId);
  await until(() => eventsOf(second).length === 8);
  for (const key of [moved[0], kept[0]]) {
    const etags = second.events
      .filter(({ data }) => data.key === key)
      .map(({ data }) => Number(data.etag.slice(1, -1)));
    expect(etags).toEqual(etags.toSorted((a, b) => a - b));
    expect(new Set(etags).size).toBe(4);
  }
  await write();
  await until(() => eventsOf(second).length === 10);
});

test('a cursor of before a merge that is long over has expired, one of after it goes on', async () => {
  const scene = new Scene(2);
  const { call, tell, watch } = await scene.gateway();
  const before = await watch();
  await until(() => before.lastId !== '');
  const cursor = before.lastId;
  scene.run(scene.reshapes.merge(1, 0));
  tell();
  await call('PUT', '/keys/a', { body: '' });
  await until(() => eventsOf(before).length === 1);
  before.response.destroy();
  scene.reshapes.forget();
  tell();
  expect((await watch(cursor)).response.statusCode).toBe(410);
  const after = await watch(before.lastId);
  expect(after.response.statusCode).toBe(200);
  await call('PUT', '/keys/b', { body: '' });
  await until(() => eventsOf(after).length === 1);
});
