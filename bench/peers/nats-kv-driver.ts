// Runs the load on NATS key-value in its own process and measures the servers meanwhile.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Cost, ProcessesByKind } from '../cost.ts';
import { startCost } from '../cost.ts';
import type { SystemSample } from '../system.ts';
import type { NatsKvPlan, NatsKvResult } from './nats-kv.ts';

export async function driveNatsKv(processes: ProcessesByKind, plan: NatsKvPlan): Promise<SystemSample> {
  const script = fileURLToPath(new URL('./nats-kv.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(plan)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let running: { end(): Cost } | undefined;
  let cost: Cost | undefined;
  let result: NatsKvResult | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'begin') running = startCost(processes);
    else if (line === 'end') cost = running?.end();
    else result = JSON.parse(line) as NatsKvResult;
  }
  await exited;
  if (result === undefined || cost === undefined) throw new Error('the load on NATS key-value failed');
  const { requestsPerSecond, p50Ms, p99Ms, generatorCpuShare, requests } = result;
  return { requestsPerSecond, keysPerSecond: requestsPerSecond, p50Ms, p99Ms, generatorCpuShare, keys: requests, cost };
}
