// Is the load generator good enough? Its requests/s against a bare Fastify route, beside autocannon's.
import autocannon from 'autocannon';
import type { BenchOptions, Row } from './bench.ts';
import type { LoadSample } from './drive.ts';
import { drive, rawRequest } from './drive.ts';
import { cpuSeconds, interleaved, medians, memoryOf } from './measure.ts';
import { startBareFastify } from './servers.ts';
import { formatTable } from './table.ts';

const connections = 64;

export async function generator({ seconds, repeats, print }: BenchOptions): Promise<readonly Row[]> {
  const server = await startBareFastify(128, '');
  try {
    const plan = { connections, warmupMs: 1000, durationMs: seconds * 1000 };
    const samples = await interleaved(repeats, {
      autocannon: () => cannon(server, seconds),
      'load-generator': () => drive(server, { ...plan, requests: [rawRequest('GET', '/v1/stores/s/keys/k')] }, [200]),
    });
    const rows = Object.entries(samples).map(([name, ofName]): Row => ({
      group: 'bare Fastify GET, 64 connections',
      name,
      figures: { ...medians(ofName) },
    }));
    const columns = [
      { title: 'generator' },
      { title: 'requests/s' },
      { title: 'server cores', digits: 2 },
      { title: 'own cores', digits: 2 },
      { title: 'p50 ms', digits: 2 },
      { title: 'p99 ms', digits: 2 },
    ];
    const cells = rows.map(({ name, figures: f }) => [
      name,
      f['requestsPerSecond'],
      f['serverCpuShare'],
      f['generatorCpuShare'],
      f['p50Ms'],
      f['p99Ms'],
    ]);
    print(formatTable(columns, cells));
    return rows;
  } finally {
    await server.stop();
  }
}

/** autocannon in this process, as its documentation shows it. */
async function cannon(server: { readonly port: number; readonly pid: number }, seconds: number): Promise<LoadSample> {
  const url = `http://127.0.0.1:${server.port}/v1/stores/s/keys/k`;
  await autocannon({ url, connections, duration: 1 });
  const before = cpuSeconds(server.pid);
  const own = process.cpuUsage();
  const result = await autocannon({ url, connections, duration: seconds });
  const ownAfter = process.cpuUsage(own);
  const serverCpuSeconds = cpuSeconds(server.pid) - before;
  return {
    requestsPerSecond: result.requests.total / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    serverCpuShare: serverCpuSeconds / result.duration,
    serverCpuSeconds,
    serverCpuMicrosPerRequest: (serverCpuSeconds * 1e6) / result.requests.total,
    generatorCpuShare: (ownAfter.user + ownAfter.system) / 1e6 / result.duration,
    rssMb: memoryOf(server.pid).rssMb,
  };
}
