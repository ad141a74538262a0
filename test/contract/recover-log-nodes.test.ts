// Nodes that carry on a log which was lost, or only seemed to be, over a real server: while a replica goes on with it
// unseen, is frozen and thaws, or the node that recovers it dies in the middle. Nothing that was acknowledged may be
// lost, and nobody may be left behind.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogDescription, LogStreams, LostLog, NodeRegistry, TopologyStore } from '@statestore/cluster';
import { recoverLog } from '@statestore/cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ClusterNodeOptions } from '../../services/node/src/cluster/node-options.ts';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { NatsBackend } from './cluster-node-nats.ts';
import { hurriedClock } from './recover-log-fixture.ts';

const three = ['a', 'b', 'c'];
let directory = '';
let nats: NatsCluster;
let clusters = 0;
let cluster: NodeCluster;
/** What nodes are told of the log of generation 1, where that is not the truth. */
let told: Map<string, (found: LogDescription) => LogDescription | undefined>;
let frozen: Map<string, PromiseWithResolvers<void>>;
let slowTopologyMs: Map<string, number>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'statestore-nats-'));
  nats = await startNatsCluster({ directory, servers: 1 });
}, 60_000);
afterAll(async () => {
  await nats.stop();
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  told = new Map();
  frozen = new Map();
  slowTopologyMs = new Map();
  cluster = await NodeCluster.open(new NatsBackend(nats, `recover${clusters++}`, 1));
});
afterEach(async () => {
  for (const { resolve } of frozen.values()) resolve();
  const fatal = [...cluster.fatal];
  await cluster.close();
  expect(fatal).toEqual([]);
});

const shorter = (found: LogDescription): LogDescription => ({ ...found, last: found.last - 2n });
const gone = (): undefined => undefined;

function freeze(name: string): void {
  frozen.set(name, Promise.withResolvers());
}

/** Its topology reaches it later than all the rest. */
function thaw(name: string, topologyMs: number): void {
  slowTopologyMs.set(name, topologyMs);
  frozen.get(name)?.resolve();
  frozen.delete(name);
}

async function free(name: string): Promise<void> {
  while (frozen.has(name)) await frozen.get(name)!.promise;
}

interface Hooks {
  /** Around a step of the recovery that the node does. */
  readonly seal?: (seal: () => Promise<void>) => Promise<void>;
  readonly create?: (create: () => ReturnType<LogStreams['create']>) => ReturnType<LogStreams['create']>;
  readonly replace?: (replace: () => ReturnType<TopologyStore['replace']>) => ReturnType<TopologyStore['replace']>;
  readonly recover?: (recover: () => Promise<void>, lost: LostLog) => Promise<void>;
}

/** What a node is given: it may be told something wrong, be frozen, or die. */
function surroundings(name: string, hooks: Hooks): Partial<ClusterNodeOptions> {
  const { logStreams: streams, topologyStore: store, registry: nodes } = cluster;
  const logStreams: LogStreams = {
    async describe(partition, generation) {
      await free(name);
      const found = await streams.describe(partition, generation);
      await free(name);
      return found === undefined || generation !== 1 ? found : (told.get(name) ?? ((it) => it))(found);
    },
    seal: (...args) => (hooks.seal ?? ((seal) => seal()))(() => streams.seal(...args)),
    create: (log) => (hooks.create ?? ((create) => create()))(() => streams.create(log)),
    remove: (...args) => streams.remove(...args),
    startAt: (...args) => streams.startAt(...args),
  };
  const topologyStore: TopologyStore = {
    read: () => free(name).then(() => store.read()),
    replace: (next) => (hooks.replace ?? ((replace) => replace()))(() => store.replace(next)),
    restore: (topology) => store.restore(topology),
    secret: () => store.secret(),
    watch: (onTopology) =>
      store.watch((topology) => {
        void free(name)
          .then(() => sleep(slowTopologyMs.get(name) ?? 0))
          .then(() => onTopology(topology));
      }),
  };
  const registry: NodeRegistry = {
    report: (report) => (frozen.has(name) ? free(name) : nodes.report(report)),
    watch: (onNodes) => nodes.watch((seen) => void free(name).then(() => onNodes(seen))),
    list: () => free(name).then(() => nodes.list()),
    remove: (node) => nodes.remove(node),
  };
  const recover: ClusterNodeOptions['recoverLog'] = async (lost, { signal }) => {
    const run = async (): Promise<void> =>
      void (await recoverLog({ topologyStore, logStreams, clock: hurriedClock }, lost, { signal }));
    await (hooks.recover ?? ((it) => it()))(run, lost);
  };
  return { logStreams, topologyStore, registry, recoverLog: recover };
}

async function begin(hooks: Hooks = {}): Promise<Map<string, string>> {
  for (const name of three) await cluster.start(name, surroundings(name, name === 'a' ? hooks : {}));
  await cluster.create(1, three);
  await cluster.running(three);
  const written = new Map<string, string>();
  for (let i = 0; i < 5; i++) {
    await cluster.put('a', `k${i}`, 'v');
    written.set(`k${i}`, 'v');
  }
  await cluster.converged(three);
  return written;
}

const generation = async (): Promise<number | undefined> => (await cluster.placement(0)).log?.generation;

/** All replicas are well, on a log of a later generation, and have all of this. */
async function isRecovered(written: ReadonlyMap<string, string>): Promise<void> {
  await cluster.until('it is another log', async () => ((await generation()) ?? 0) > 1, 60_000);
  await cluster.running(three);
  await cluster.put('b', 'after', 'v');
  await cluster.converged(three);
  await cluster.expectAll(three, new Map([...written, ['after', 'v']]));
}

function once(run: () => Promise<void>): () => Promise<void> {
  let done = false;
  return async () => {
    if (done) return;
    done = true;
    await run();
  };
}

test('a replica mends after it was decided, and acknowledges a write before the old log is sealed', async () => {
  const acknowledge = once(async () => {
    told.delete('b');
    await cluster.running(['b']);
    await cluster.put('b', 'acknowledged', 'yes');
  });
  const written = await begin({
    async seal(seal) {
      await acknowledge();
      await seal();
    },
  });
  for (const name of three) told.set(name, shorter);
  await isRecovered(new Map([...written, ['acknowledged', 'yes']]));
  // Node a's answers are as wrong as before: it was made from node b.
  expect((await cluster.placement(0)).log).toMatchObject({ continues: { position: 6n } });
});

describe('a replica is frozen while it waits', () => {
  test('and thaws while the log is recovered', async () => {
    const begun = Promise.withResolvers<void>();
    const written = await begin({
      async recover(recover) {
        await once(async () => freeze('c'))();
        begun.resolve();
        await recover();
      },
    });
    for (const name of three) told.set(name, gone);
    await begun.promise;
    await sleep(2000);
    const during = await generation();
    told.clear();
    thaw('c', 3000);
    const writer = cluster.writer(['c']);
    await cluster.until('c runs', () => cluster.report('c')?.state === 'running', 60_000);
    await sleep(4000);
    await isRecovered(new Map([...written, ...(await writer.stop())]));
    expect(during).toBe(1);
  });

  test('and thaws after the new log was named, before it hears of that', async () => {
    const written = await begin({
      create(create) {
        freeze('c');
        return create();
      },
    });
    for (const name of three) told.set(name, gone);
    await cluster.until('it is another log', async () => ((await generation()) ?? 0) > 1, 60_000);
    told.clear();
    thaw('c', 3000);
    const writer = cluster.writer(['c']);
    await sleep(5000);
    await isRecovered(new Map([...written, ...(await writer.stop())]));
  });
});

describe('the node that recovers a log dies', () => {
  test.each(['sealed the old one', 'raised the fence', 'made the new one', 'named the new one'])(
    'as soon as it has %s: it goes on when it is back',
    async (step) => {
      const died = Promise.withResolvers<void>();
      let dead = false;
      const after = (which: string) => {
        return async <T>(run: () => Promise<T>): Promise<T> => {
          if (dead) throw new Error('it is dead');
          const done = await run();
          if (step !== which) return done;
          dead = true;
          died.resolve();
          throw new Error('it died');
        };
      };
      let changes = 0;
      const written = await begin({
        seal: after('sealed the old one'),
        create: after('made the new one'),
        replace: (replace) => after(++changes === 1 ? 'raised the fence' : 'named the new one')(replace),
        recover: (recover) => (dead ? Promise.reject(new Error('it is dead')) : recover()),
      });
      for (const name of three) told.set(name, shorter);
      await died.promise;
      told.clear();
      await cluster.stop('a');
      await sleep(1000);
      expect(await generation()).toBe(step === 'named the new one' ? 2 : 1);
      await cluster.start('a', surroundings('a', {}));
      await isRecovered(written);
      expect(await generation()).toBe(2);
      expect(await cluster.logStreams.describe(0, 1)).toMatchObject({ sealed: true });
      expect(await cluster.logStreams.describe(0, 3)).toBeUndefined();
    },
  );
});

test('two recover a log at the same time', async () => {
  const written = await begin({
    async recover(recover, lost) {
      const { topologyStore, logStreams } = cluster;
      const others = [1, 2].map(() => recoverLog({ topologyStore, logStreams, clock: hurriedClock }, lost));
      await Promise.all([recover(), ...others]);
    },
  });
  for (const name of three) told.set(name, shorter);
  await isRecovered(written);
  const named = (await generation())!;
  for (let other = 2; other < 6; other++) {
    if (other !== named) expect(await cluster.logStreams.describe(0, other)).toBeUndefined();
  }
  expect(cluster.notices.filter(({ notice }) => notice.includes('could not be recovered'))).toEqual([]);
});

describe('the old stream is not there at all', () => {
  test('under load', async () => {
    const written = await begin();
    const writer = cluster.writer(three);
    await cluster.until('much is written', () => BigInt(cluster.report('b')!.appliedPosition) > 100n);
    await cluster.logStreams.remove(0, 1);
    await cluster.until('it is another log', async () => ((await generation()) ?? 0) > 1, 60_000);
    await cluster.running(three);
    await isRecovered(new Map([...written, ...(await writer.stop())]));
    expect(await generation()).toBe(2);
  });

  test('and the node that recovers it dies when it has made the new one', async () => {
    let dead = false;
    const died = Promise.withResolvers<void>();
    const written = await begin({
      async create(create) {
        await create();
        dead = true;
        died.resolve();
        throw new Error('it died');
      },
      recover: (recover) => (dead ? Promise.reject(new Error('it is dead')) : recover()),
    });
    await cluster.logStreams.remove(0, 1);
    await died.promise;
    await cluster.stop('a');
    await cluster.start('a', surroundings('a', {}));
    await isRecovered(written);
    expect(await generation()).toBe(2);
  });
});

test('the logs of many partitions are lost at once', async () => {
  const partitions = [...Array(12).keys()];
  for (const name of three) await cluster.start(name);
  await cluster.create(partitions.length, three);
  for (const partition of partitions) await cluster.running(three, partition);
  for (const partition of partitions) await cluster.put('a', `k${partition}`, 'v', partition);
  for (const partition of partitions) await cluster.converged(three, partition);
  await Promise.all(partitions.map((partition) => cluster.logStreams.remove(partition, 1)));
  await cluster.until(
    'they are other logs',
    async () => (await cluster.topology()).partitions.every(({ log }) => log?.generation === 2),
    60_000,
  );
  for (const partition of partitions) {
    await cluster.running(three, partition);
    await cluster.converged(three, partition);
    await cluster.expectAll(three, new Map([[`k${partition}`, 'v']]), partition);
  }
});
