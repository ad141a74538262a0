// NATS key-value as its users write to it: `kv.put` of the official client, R3 on file storage, a number of
// puts in flight over a few connections, in a process of its own (it is the load generator as well).
// Use: node bench/peers/nats-kv.ts <settings as JSON>; prints `begin`, `end` and a result, a line each.
import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { build } from 'hdr-histogram-js';

export interface NatsKvPlan {
  readonly servers: readonly string[];
  readonly bucket: string;
  readonly replicas: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly operation: 'put' | 'get';
}

export interface NatsKvResult {
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly generatorCpuShare: number;
}

const plan = JSON.parse(process.argv[2]!) as NatsKvPlan;
const value = new Uint8Array(plan.valueBytes).fill(118);
const latencies = build({
  lowestDiscernibleValue: 1,
  highestTrackableValue: 60_000_000,
  numberOfSignificantValueDigits: 3,
});
const phase = { measuring: false, stopping: false };
let count = 0;
let next = 0;

const connections = await Promise.all(
  Array.from({ length: plan.connections }, (_, i) => connect({ servers: [plan.servers[i % plan.servers.length]!] })),
);
// A cluster that has just been under load may take its time to place a stream.
const timeout = 30_000;
const stores = connections.map((connection) => new Kvm(jetstream(connection, { timeout })));
const created = await stores[0]!.create(plan.bucket, { replicas: plan.replicas, history: 1, timeout });
const buckets = [created, ...(await Promise.all(stores.slice(1).map((store) => store.open(plan.bucket, { timeout }))))];

async function loop(lane: number): Promise<void> {
  const bucket = buckets[lane % buckets.length]!;
  while (!phase.stopping) {
    const key = `key-${String(next++ % plan.keys).padStart(8, '0')}`;
    const began = performance.now();
    if (plan.operation === 'put') await bucket.put(key, value);
    else await bucket.get(key);
    if (!phase.measuring) continue;
    count++;
    latencies.recordValue(Math.max(1, Math.round((performance.now() - began) * 1000)));
  }
}

const loops = Promise.all(Array.from({ length: plan.inFlight }, (_, lane) => loop(lane)));
await new Promise((resolve) => setTimeout(resolve, plan.warmupMs));
process.stdout.write('begin\n');
const cpuBefore = process.cpuUsage();
const began = performance.now();
phase.measuring = true;
await Promise.race([loops, new Promise((resolve) => setTimeout(resolve, plan.durationMs))]);
phase.measuring = false;
const seconds = (performance.now() - began) / 1000;
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write('end\n');
phase.stopping = true;
await loops;
await Promise.all(connections.map((connection) => connection.close()));
const result: NatsKvResult = {
  requests: count,
  seconds,
  requestsPerSecond: count / seconds,
  p50Ms: latencies.getValueAtPercentile(50) / 1000,
  p99Ms: latencies.getValueAtPercentile(99) / 1000,
  generatorCpuShare: (cpu.user + cpu.system) / 1e6 / seconds,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
