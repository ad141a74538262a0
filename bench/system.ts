// A replicated system under load, StateStore or a peer: where its clients connect, which processes it is
// made of, and one measured run against it.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { BatchOperationSchema } from '@statestore/core/gen/statestore/v1/batch_pb';
import { BatchOperationKind, BatchRequestSchema } from '@statestore/core/gen/statestore/v1/batch_pb';
import { startLocalCluster } from '../services/cli/src/local-cluster/local-cluster.ts';
import type { Row } from './bench.ts';
import type { Cost, ProcessesByKind } from './cost.ts';
import { startCost } from './cost.ts';
import { generate, rawRequest } from './drive.ts';

export interface System {
  readonly name: string;
  readonly ports: readonly number[];
  /** `log`, `node`, `gateway`. */
  readonly processes: ProcessesByKind;
  /** Statuses that count as answered. */
  readonly ok: readonly number[];
}

export interface SystemSample {
  readonly requestsPerSecond: number;
  readonly keysPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly generatorCpuShare: number;
  /** Keys written or read in the measured time. */
  readonly keys: number;
  readonly cost: Cost;
}

export interface SystemPlan {
  readonly connections: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly requests: readonly string[];
}

export async function driveSystem(system: System, plan: SystemPlan, keysPerRequest: number): Promise<SystemSample> {
  let running: { end(): Cost } | undefined;
  let cost: Cost | undefined;
  const result = await generate({ ...plan, ports: system.ports }, system.ok, {
    began: () => (running = startCost(system.processes)),
    ended: () => (cost = running!.end()),
  });
  const { requestsPerSecond, p50Ms, p99Ms, generatorCpuShare, requests } = result;
  return {
    requestsPerSecond,
    keysPerSecond: requestsPerSecond * keysPerRequest,
    p50Ms,
    p99Ms,
    generatorCpuShare,
    keys: requests * keysPerRequest,
    cost: cost!,
  };
}

export interface StoreSystem extends System {
  readonly natsUrls: readonly string[];
  close(): Promise<void>;
}

export interface StoreLayout {
  readonly folder: string;
  readonly partitions: number;
  readonly replicas: number;
  /** Default: 1. */
  readonly gateways?: number;
}

/** As many nodes as replicas, three log servers. */
export async function storeSystem({ folder, partitions, replicas, gateways = 1 }: StoreLayout): Promise<StoreSystem> {
  const cluster = await startLocalCluster({
    folder,
    natsServers: 3,
    nodes: replicas,
    gateways,
    partitions,
    replicas,
    syncInterval: 'always',
  });
  await cluster.ready();
  const pids = (of: readonly { readonly pid: number | undefined }[]): number[] => of.map(({ pid }) => pid!);
  return {
    name: 'StateStore',
    ports: cluster.gateways.map(({ url }) => Number(new URL(url).port)),
    processes: { log: pids(cluster.nats), node: pids(cluster.nodes), gateway: pids(cluster.gateways) },
    ok: [200, 201],
    natsUrls: cluster.natsUrls,
    close: () => cluster.close(),
  };
}

const binaryType = 'application/vnd.statestore.batch+protobuf';

/** Raw requests on all keys of one store, each kind together. */
export function requestsOf(store: string, keys: readonly string[], value: Buffer, manyKeys: number) {
  const base = `/v1/stores/${store}`;
  const calls = Array.from({ length: Math.floor(keys.length / manyKeys) }, (_, call) =>
    keys.slice(call * manyKeys, (call + 1) * manyKeys),
  );
  const binary = (of: readonly string[]): Uint8Array => {
    const operations = of.map((key): MessageInitShape<typeof BatchOperationSchema> => ({
      kind: BatchOperationKind.PUT,
      key,
      value,
    }));
    return toBinary(BatchRequestSchema, create(BatchRequestSchema, { operations }));
  };
  const json = (of: readonly string[]): Buffer =>
    Buffer.from(JSON.stringify({ operations: of.map((key) => ({ op: 'put', key, value: value.toString() })) }));
  return {
    puts: keys.map((key) => rawRequest('PUT', `${base}/keys/${key}`, value)),
    sessionGets: keys.map((key) => rawRequest('GET', `${base}/keys/${key}`)),
    strongGets: keys.map((key) => rawRequest('GET', `${base}/keys/${key}?consistency=strong`)),
    batches: calls.map((of) => rawRequest('POST', `${base}/batch`, json(of), 'application/json')),
    binaryBatches: calls.map((of) => rawRequest('POST', `${base}/batch`, binary(of), binaryType)),
  };
}

/** The same system, as clients see it that know only the first of its gateways. */
export function throughOneGateway(system: System): System {
  return { ...system, ports: system.ports.slice(0, 1) };
}

const aims: readonly (readonly [what: string, group: string, of: string, figure: string, aim: number])[] = [
  ['PUT at 64 connections against etcd, at least 2', 'PUT, 64', '', 'ratio', 2],
  ['PUT at 256 connections against etcd, at least 2.5', 'PUT, 256', '', 'ratio', 2.5],
  ['many-key PUT, keys/s, at least 200,000', 'puts of 100', ', protobuf', 'keysPerSecond', 200_000],
  ['many-key PUT against single puts of etcd, at least 25', 'puts of 100', ', protobuf', 'ratio', 25],
  ['strong GET against etcd, at least 2', 'linearizable', '', 'ratio', 2],
  ['session GET against etcd serializable, at least 3', 'serializable', '', 'ratio', 3],
  ['PUT against NATS key-value, at least 5', 'puts, 64 in flight', '', 'ratio', 5],
];

/** The aims, and how far they are met through one gateway and through as many as were started. */
export function statements(rows: readonly Row[]): string {
  return aims
    .flatMap(([what, group, of, figure, aim]) =>
      rows
        .filter((row) => row.group.startsWith(group) && /^StateStore(, 2 gateways)?$/.test(row.name.replace(of, '')))
        .map(({ name, figures }) => {
          const got = figures[figure]!;
          return `${got >= aim ? 'met    ' : 'not met'}  ${what}: ${got.toFixed(got > 1000 ? 0 : 2)}  (${name})`;
        }),
    )
    .join('\n');
}
