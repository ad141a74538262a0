// How many requests a second does one link carry? Server and client in two processes on loopback, a
// service that answers from a Map: what is measured is frames, codec and sockets.
import { fork } from 'node:child_process';
import { type Command, commandResult, defaultTtl, noCondition, operationResult } from '@statestore/core';
import { connectLink, type LinkClient, type NodeService, serveLink } from '@statestore/link';
import type { BenchOptions, Row } from './bench.ts';
import { formatTable } from './table.ts';

const value = new Uint8Array(128).fill(7);

function trivialService(): NodeService {
  const entries = new Map<string, { value: Uint8Array; contentType: string; revision: bigint; expiresAtMs: number }>();
  for (let i = 0; i < 1000; i++)
    entries.set(`key-${i}`, { value, contentType: '', revision: BigInt(i + 1), expiresAtMs: 0 });
  const position = 123_456n;
  const page = { entries: [...entries].map(([key, entry]) => ({ key, ...entry })), more: false, position };
  const done = commandResult('done', { operations: [operationResult('done', { revision: 123456n, sizeBytes: 128 })] });
  const service: Partial<NodeService> = {
    get: (_partition, _store, key) => ({ entry: entries.get(key), position }),
    propose: () => Promise.resolve({ ...done, position }),
    getMany: (_partition, _store, keys) => ({ entries: keys.map((key) => entries.get(key)), position }),
    scan: () => page,
  };
  return service as NodeService;
}

interface Case {
  readonly name: string;
  readonly inFlight: number;
  /** Keys or entries that one call moves. */
  readonly unit: number;
  readonly once: (i: number) => PromiseLike<unknown>;
}

async function measure({ name, inFlight, unit, once }: Case, seconds: number): Promise<Row> {
  const run = async (untilMs: number): Promise<number> => {
    let count = 0;
    const worker = async (): Promise<void> => {
      while (performance.now() < untilMs) {
        await once(count);
        count++;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    return count;
  };
  await run(performance.now() + 500);
  const cpuBefore = process.cpuUsage();
  const count = await run(performance.now() + seconds * 1000);
  const cpu = process.cpuUsage(cpuBefore);
  const figures = {
    inFlight,
    callsPerSecond: count / seconds,
    perSecond: (count * unit) / seconds,
    clientCpuMicros: (cpu.user + cpu.system) / count,
  };
  return { group: 'link', name, figures };
}

function casesOf(link: LinkClient): readonly Case[] {
  const strong = { consistency: 'session', atLeast: 123_456n } as const;
  const command: Command = {
    stamp: { session: 'x'.repeat(16), counter: 77, firstUnanswered: 70, opens: false },
    body: {
      kind: 'mutate',
      store: 'sessions',
      atomic: false,
      checks: [],
      operations: [{ kind: 'put', key: 'key-500', condition: noCondition, value, contentType: '', ttl: defaultTtl }],
    },
  };
  const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
  const scan = { store: 'sessions', reverse: false, limit: 1000, bytesMax: 1e6, values: true };
  const get = async (i: number): Promise<unknown> => link.get(1, 'sessions', `key-${i % 1000}`, strong);
  return [
    ...[1, 64, 512].map((inFlight) => ({ name: 'get, 128-byte value', inFlight, unit: 1, once: get })),
    { name: 'propose, 128-byte put', inFlight: 64, unit: 1, once: () => link.propose(1, command) },
    { name: 'getMany of 100', inFlight: 8, unit: 100, once: async () => link.getMany(1, 'sessions', keys, strong) },
    { name: 'scan of 1000', inFlight: 4, unit: 1000, once: async () => link.scan(1, scan, strong) },
  ];
}

export async function link({ seconds, print }: BenchOptions): Promise<readonly Row[]> {
  const child = fork(import.meta.filename, ['serve']);
  try {
    const port = await new Promise<number>((resolve) => child.once('message', (sent) => resolve(Number(sent))));
    const client = connectLink({ host: '127.0.0.1', port });
    const rows: Row[] = [];
    for (const each of casesOf(client)) rows.push(await measure(each, seconds));
    await client.close();
    print(tableOf(rows));
    return rows;
  } finally {
    child.disconnect();
  }
}

function tableOf(rows: readonly Row[]): string {
  const one = rows[0]?.figures['callsPerSecond'] ?? 1;
  return formatTable(
    [
      { title: 'what' },
      { title: 'in flight' },
      { title: 'calls/s' },
      { title: 'keys or entries/s' },
      { title: 'calls/s, ratio', digits: 2 },
      { title: 'client CPU µs/call', digits: 2 },
    ],
    rows.map(({ name, figures: { inFlight, callsPerSecond, perSecond, clientCpuMicros } }) => [
      name,
      inFlight,
      callsPerSecond,
      perSecond,
      (callsPerSecond ?? 0) / one,
      clientCpuMicros,
    ]),
  );
}

if (process.argv[2] === 'serve') {
  const server = await serveLink({ service: trivialService(), host: '127.0.0.1', port: 0 });
  process.send!(server.port);
  process.once('disconnect', () => process.exit(0));
}
