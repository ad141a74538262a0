// Three replicas on one machine: StateStore through one HTTP gateway, etcd with three members through its
// JSON gateways, NATS key-value R3 on the very servers that hold StateStore's logs. Load in turn on each,
// every write synced to disk by a quorum; medians of interleaved runs, and what 1,000 of them cost.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchOptions, Row } from './bench.ts';
import type { Cost } from './cost.ts';
import { interleaved, medians } from './measure.ts';
import type { EtcdCluster } from './peers/etcd.ts';
import { etcdGet, etcdPut, etcdPutMany, startEtcd } from './peers/etcd.ts';
import { driveNatsKv } from './peers/nats-kv-driver.ts';
import type { System, SystemSample } from './system.ts';
import { driveSystem, requestsOf, statements, storeSystem, throughOneGateway } from './system.ts';
import { formatTable } from './table.ts';

const keys = 10_000;
const valueBytes = 128;
const manyKeys = 100;
const value = Buffer.alloc(valueBytes, 'v');
const keyOf = (n: number): string => `key-${String(n).padStart(8, '0')}`;
const allKeys = Array.from({ length: keys }, (_, n) => keyOf(n));

type Samples = Record<string, SystemSample[]>;

export async function replicated(options: BenchOptions): Promise<readonly Row[]> {
  const { folder, print, repeats } = options;
  await mkdir(join(folder, 'etcd'), { recursive: true });
  const store = await storeSystem({ folder: join(folder, 'store'), partitions: 1, replicas: 3, gateways: 2 });
  const one = throughOneGateway(store);
  let etcd: EtcdCluster | undefined;
  try {
    etcd = await startEtcd(join(folder, 'etcd'));
    const peer: System = { name: `etcd ${etcd.version}`, ports: etcd.ports, processes: { log: etcd.pids }, ok: [200] };
    const natsServers = store.natsUrls;
    const plan = { warmupMs: 1500, durationMs: options.seconds * 1000 };
    const load =
      (system: System, requests: readonly string[], connections: number, keysPerRequest = 1) =>
      (): Promise<SystemSample> =>
        driveSystem(system, { ...plan, connections, requests }, keysPerRequest);
    const { puts, batches, binaryBatches, sessionGets, strongGets } = requestsOf('bench', allKeys, value, manyKeys);
    const etcdPuts = allKeys.map((key) => etcdPut(key, value));
    const etcdMany = Array.from({ length: keys / manyKeys }, (_, i) =>
      etcdPutMany(allKeys.slice(i * manyKeys, (i + 1) * manyKeys), value),
    );
    const rows: Row[] = [];
    // Told as soon as it is there: a run takes minutes, and may end early.
    const measure = async (group: string, systems: Readonly<Record<string, () => Promise<SystemSample>>>) => {
      const added = rowsOf(group, await interleaved(repeats, systems));
      rows.push(...added);
      print(`${table(added)}
`);
    };
    print(
      `values of ${valueBytes} bytes, one partition, three replicas; etcd through the gateways of its three members; ratios of the same run\n`,
    );
    for (const connections of [64, 256]) {
      await measure(`PUT, ${connections} connections`, {
        [peer.name]: load(peer, etcdPuts, connections),
        StateStore: load(one, puts, connections),
        'StateStore, 2 gateways': load(store, puts, connections),
      });
    }
    await measure('puts of 100 keys, 64 connections', {
      [`${peer.name}, single puts`]: load(peer, etcdPuts, 64),
      [`${peer.name}, transactions`]: load(peer, etcdMany, 64, manyKeys),
      'StateStore, JSON': load(one, batches, 64, manyKeys),
      'StateStore, protobuf': load(one, binaryBatches, 64, manyKeys),
      'StateStore, protobuf, 2 gateways': load(store, binaryBatches, 64, manyKeys),
    });
    await measure('linearizable (strong) GET, 64 connections', {
      [peer.name]: load(
        peer,
        allKeys.map((key) => etcdGet(key, false)),
        64,
      ),
      StateStore: load(one, strongGets, 64),
      'StateStore, 2 gateways': load(store, strongGets, 64),
    });
    await measure('serializable (session) GET, 64 connections', {
      [`${peer.name}, serializable`]: load(
        peer,
        allKeys.map((key) => etcdGet(key, true)),
        64,
      ),
      StateStore: load(one, sessionGets, 64),
      'StateStore, 2 gateways': load(store, sessionGets, 64),
    });
    await measure('puts, 64 in flight, against NATS key-value', {
      'NATS key-value R3': () =>
        driveNatsKv(
          { log: store.processes['log']! },
          {
            ...plan,
            servers: natsServers,
            bucket: 'bench',
            replicas: 3,
            connections: 3,
            inFlight: 64,
            keys,
            valueBytes,
            operation: 'put',
          },
        ),
      StateStore: load(one, puts, 64),
      'StateStore, 2 gateways': load(store, puts, 64),
    });
    print(`\n${statements(rows)}`);
    return rows;
  } finally {
    await etcd?.stop();
    await store.close();
  }
}

function rowsOf(group: string, samples: Samples): Row[] {
  const figures = Object.entries(samples).map(([name, of]) => ({ name, figures: medians(of.map(flat)) }));
  const baseline = figures[0]!.figures['keysPerSecond']!;
  return figures.map(({ name, figures: f }) => ({
    group,
    name,
    figures: { ...f, ratio: f['keysPerSecond']! / baseline },
  }));
}

const kinds = ['log', 'node', 'gateway'] as const;

function flat({ cost, keys: done, ...rest }: SystemSample): Record<string, number> {
  const per1000 = (amount: number): number => (amount * 1000) / done;
  const cpu = (kind: string): number => per1000((cost satisfies Cost).cpuSeconds[kind] ?? 0);
  return {
    ...rest,
    ...Object.fromEntries(kinds.map((kind) => [`${kind}CpuSecondsPer1000`, cpu(kind)])),
    cpuSecondsPer1000: kinds.reduce((sum, kind) => sum + cpu(kind), 0),
    diskKilobytesPer1000: per1000(cost.diskBytes) / 1000,
    networkKilobytesPer1000: per1000(cost.networkBytes) / 1000,
  };
}

function table(rows: readonly Row[]): string {
  const columns = [
    { title: 'what' },
    { title: 'system' },
    { title: 'requests/s' },
    { title: 'keys/s' },
    { title: 'ratio', digits: 2 },
    { title: 'p50 ms', digits: 2 },
    { title: 'p99 ms', digits: 2 },
    { title: 'generator cores', digits: 2 },
    { title: 'CPU s/1000', digits: 3 },
    { title: 'of it log', digits: 3 },
    { title: 'nodes', digits: 3 },
    { title: 'gateway', digits: 3 },
    { title: 'disk kB/1000' },
    { title: 'network kB/1000' },
  ];
  const cells = rows.map(({ group, name, figures: f }, at) => [
    rows[at - 1]?.group === group ? '' : group,
    name,
    f['requestsPerSecond'],
    f['keysPerSecond'],
    f['ratio'],
    f['p50Ms'],
    f['p99Ms'],
    f['generatorCpuShare'],
    f['cpuSecondsPer1000'],
    f['logCpuSecondsPer1000'],
    f['nodeCpuSecondsPer1000'],
    f['gatewayCpuSecondsPer1000'],
    f['diskKilobytesPer1000'],
    f['networkKilobytesPer1000'],
  ]);
  return formatTable(columns, cells);
}
