// The gateway over loopback, one process of StateStore against one of bare Fastify, load in turn on both.
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { BatchOperationSchema } from '@statestore/core/gen/statestore/v1/batch_pb';
import { BatchOperationKind, BatchRequestSchema } from '@statestore/core/gen/statestore/v1/batch_pb';
import { DevServer } from '../test/process/dev-server.ts';
import type { BenchOptions, Row } from './bench.ts';
import type { LoadSample, Target } from './drive.ts';
import { drive, rawRequest } from './drive.ts';
import { interleaved, medians } from './measure.ts';
import { startBareFastify } from './servers.ts';
import { formatTable } from './table.ts';

const connections = 64;
const keys = 10_000;
const valueBytes = 128;
const batchKeys = 100;

const base = '/v1/stores/bench';
const keyOf = (n: number): string => `key-${String(n).padStart(8, '0')}`;
const value = Buffer.alloc(valueBytes, 'v');

const gets = (): string[] => Array.from({ length: keys }, (_, n) => rawRequest('GET', `${base}/keys/${keyOf(n)}`));
const puts = (): string[] =>
  Array.from({ length: keys }, (_, n) => rawRequest('PUT', `${base}/keys/${keyOf(n)}`, value));

/** Calls of `batchKeys` keys each that together touch every key. */
function batches(operation: (key: string) => object): string[] {
  return Array.from({ length: keys / batchKeys }, (_, call) => {
    const operations = Array.from({ length: batchKeys }, (__, n) => operation(keyOf(n * (keys / batchKeys) + call)));
    return rawRequest('POST', `${base}/batch`, Buffer.from(JSON.stringify({ operations })), 'application/json');
  });
}
const batchGets = (): string[] => batches((key) => ({ op: 'get', key }));
const batchPuts = (): string[] => batches((key) => ({ op: 'put', key, value: value.toString() }));

const binaryType = 'application/vnd.statestore.batch+protobuf';

/** The same calls in their binary form. */
function binaryBatches(operation: (key: string) => MessageInitShape<typeof BatchOperationSchema>): string[] {
  return Array.from({ length: keys / batchKeys }, (_, call) => {
    const operations = Array.from({ length: batchKeys }, (__, n) => operation(keyOf(n * (keys / batchKeys) + call)));
    const body = toBinary(BatchRequestSchema, create(BatchRequestSchema, { operations }));
    return rawRequest('POST', `${base}/batch`, body, binaryType);
  });
}
const binaryGets = (): string[] => binaryBatches((key) => ({ kind: BatchOperationKind.GET, key }));
const binaryPuts = (): string[] => binaryBatches((key) => ({ kind: BatchOperationKind.PUT, key, value }));

export async function gateway(options: BenchOptions): Promise<readonly Row[]> {
  const server = await DevServer.start({ folder: join(options.folder, 'data') });
  const bare = await startBareFastify(valueBytes, '');
  try {
    const stateStore: Target = { port: server.port, pid: server.pid! };
    await fill(stateStore);
    const plan = { connections, warmupMs: 1000, durationMs: options.seconds * 1000 };
    const load = (target: Target, requests: readonly string[]) => (): Promise<LoadSample> =>
      drive(target, { ...plan, requests }, [200]);
    const get = await interleaved(options.repeats, {
      'bare Fastify GET': load(bare, gets()),
      'StateStore GET': load(stateStore, gets()),
    });
    const put = await interleaved(options.repeats, {
      'bare Fastify PUT': load(bare, puts()),
      'StateStore PUT, durable': load(stateStore, puts()),
    });
    const many = await interleaved(options.repeats, {
      'GET, 1 key a call': load(stateStore, gets()),
      'batch GET, 100 keys a call, JSON': load(stateStore, batchGets()),
      'batch GET, 100 keys a call, binary': load(stateStore, binaryGets()),
      'PUT, 1 key a call': load(stateStore, puts()),
      'batch PUT, 100 keys a call, JSON': load(stateStore, batchPuts()),
      'batch PUT, 100 keys a call, binary': load(stateStore, binaryPuts()),
    });
    const rows = [
      ...compare('GET', 'bare Fastify GET', get),
      ...compare('PUT', 'bare Fastify PUT', put),
      ...compare('many keys', 'GET, 1 key a call', pickOf(many, 'GET')),
      ...compare('many keys', 'PUT, 1 key a call', pickOf(many, 'PUT')),
    ];
    options.print(
      `${connections} connections, values of ${valueBytes} bytes; ratios of the same run\n\n${table(rows)}`,
    );
    return rows;
  } finally {
    await bare.stop();
    await server.stop();
  }
}

/** Every key once, so that all GETs answer 200 and all PUTs replace. */
async function fill({ port }: Target): Promise<void> {
  for (const request of batchPuts()) {
    const body = Buffer.from(request, 'base64').toString().split('\r\n\r\n')[1]!;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`http://127.0.0.1:${port}${base}/batch`, { method: 'POST', headers, body });
    if (response.status !== 200) throw new Error(`filling was answered ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}

function pickOf(samples: Readonly<Record<string, LoadSample[]>>, word: string): Record<string, LoadSample[]> {
  return Object.fromEntries(Object.entries(samples).filter(([name]) => name.includes(word)));
}

function compare(group: string, baseline: string, samples: Readonly<Record<string, LoadSample[]>>): Row[] {
  const figures = new Map(Object.entries(samples).map(([name, ofName]) => [name, medians(ofName)]));
  const keysOf = (name: string): number => (name.includes('100 keys') ? batchKeys : 1);
  const of = figures.get(baseline)!;
  return [...figures].map(([name, sample]) => {
    const keysPerSecond = sample.requestsPerSecond * keysOf(name);
    const cpuMicrosPerKey = sample.serverCpuMicrosPerRequest / keysOf(name);
    return {
      group,
      name,
      figures: {
        ...sample,
        keysPerSecond,
        ratio: keysPerSecond / of.requestsPerSecond,
        cpuMicrosPerKey,
        // What the ratio would be if CPU of the server were all that counts: steadier on a busy machine.
        ratioByCpu: of.serverCpuMicrosPerRequest / cpuMicrosPerKey,
      },
    };
  });
}

function table(rows: readonly Row[]): string {
  const columns = [
    { title: 'what' },
    { title: 'requests/s' },
    { title: 'keys/s' },
    { title: 'ratio', digits: 2 },
    { title: 'ratio by CPU', digits: 2 },
    { title: 'p50 ms', digits: 2 },
    { title: 'p99 ms', digits: 2 },
    { title: 'CPU µs/key', digits: 1 },
    { title: 'server cores', digits: 2 },
    { title: 'CPU s', digits: 2 },
    { title: 'generator cores', digits: 2 },
    { title: 'RSS MB' },
  ];
  const cells = rows.map(({ name, figures: f }) => [
    name,
    f['requestsPerSecond'],
    f['keysPerSecond'],
    f['ratio'],
    f['ratioByCpu'],
    f['p50Ms'],
    f['p99Ms'],
    f['cpuMicrosPerKey'],
    f['serverCpuShare'],
    f['serverCpuSeconds'],
    f['generatorCpuShare'],
    f['rssMb'],
  ]);
  return formatTable(columns, cells);
}
