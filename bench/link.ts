// How many requests a second does one link carry? Server and client in two processes on loopback, a
// service that answers from a Map: what is measured is frames, codec and sockets. `node bench/link.ts`
import { fork } from 'node:child_process';
import { type Command, commandResult, defaultTtl, noCondition, operationResult } from '@statestore/core';
import { connectLink, type LinkClient, type NodeService, serveLink } from '@statestore/link';

const value = new Uint8Array(128).fill(7);
const secondsEach = 3;

function trivialService(): NodeService {
  const entries = new Map<string, { value: Uint8Array; contentType: string; revision: bigint; expiresAtMs: number }>();
  for (let i = 0; i < 1000; i++)
    entries.set(`key-${i}`, { value, contentType: '', revision: BigInt(i + 1), expiresAtMs: 0 });
  const page = { entries: [...entries].map(([key, entry]) => ({ key, ...entry })), more: false };
  const done = commandResult('done', { operations: [operationResult('done', { revision: 123456n, sizeBytes: 128 })] });
  const service: Partial<NodeService> = {
    get: (_partition, _store, key) => entries.get(key),
    propose: () => Promise.resolve(done),
    getMany: (_partition, _store, keys) => keys.map((key) => entries.get(key)),
    scan: () => page,
  };
  return service as NodeService;
}

async function measure(
  name: string,
  inFlight: number,
  once: (i: number) => PromiseLike<unknown>,
  unit = 1,
): Promise<void> {
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
  const count = await run(performance.now() + secondsEach * 1000);
  const cpu = process.cpuUsage(cpuBefore);
  const cpuMicros = (cpu.user + cpu.system) / count;
  console.log(
    `${name.padEnd(28)} ${String(inFlight).padStart(5)} in flight ${Math.round((count * unit) / secondsEach)
      .toLocaleString('en')
      .padStart(10)}/s   client CPU ${cpuMicros.toFixed(2)} µs a call`,
  );
}

async function client(port: number): Promise<void> {
  const link: LinkClient = connectLink({ host: '127.0.0.1', port });
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
  for (const inFlight of [1, 64, 512]) {
    await measure(
      'get, 128-byte value',
      inFlight,
      (i) => link.get(1, 'sessions', `key-${i % 1000}`, strong) as Promise<unknown>,
    );
  }
  await measure('propose, 128-byte put', 64, () => link.propose(1, command));
  await measure(
    'getMany of 100 (entries)',
    8,
    () => link.getMany(1, 'sessions', keys, strong) as Promise<unknown>,
    100,
  );
  const scan = { store: 'sessions', reverse: false, limit: 1000, bytesMax: 1e6, values: true };
  await measure('scan of 1000 (entries)', 4, () => link.scan(1, scan, strong) as Promise<unknown>, 1000);
  await link.close();
}

if (process.argv[2] === 'serve') {
  const server = await serveLink({ service: trivialService(), host: '127.0.0.1', port: 0 });
  process.send!(server.port);
  process.once('disconnect', () => process.exit(0));
} else {
  const child = fork(import.meta.filename, ['serve'], { execArgv: process.env['SERVER_ARGV']?.split(' ') ?? [] });
  const port = await new Promise<number>((resolve) => child.once('message', (message) => resolve(message as number)));
  await client(port);
  child.disconnect();
}
