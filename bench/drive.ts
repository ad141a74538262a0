// Starts the load generator against a server and measures the server's process meanwhile.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cpuSeconds, memoryOf } from './measure.ts';

export interface Plan {
  /** Of one server or more: connections take them in turn. */
  readonly ports: readonly number[];
  readonly connections: number;
  readonly warmupMs: number;
  /** Undefined: until it is told to stop (load-windows.ts). */
  readonly durationMs?: number;
  /** Whole HTTP requests, base64; taken in turn. */
  readonly requests: readonly string[];
  /** Each is sent when it is due, and its time counts from then. Undefined: when the one before was answered. */
  readonly requestsPerSecond?: number;
}

export interface TimedPlan extends Plan {
  readonly durationMs: number;
}

export interface GeneratorResult {
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Near 1: the generator is the bound, not the server. */
  readonly generatorCpuShare: number;
  readonly statuses: Readonly<Record<string, number>>;
}

/** The numbers of one run, generator and server together. */
export interface LoadSample {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the server, in cores. */
  readonly serverCpuShare: number;
  readonly serverCpuSeconds: number;
  readonly serverCpuMicrosPerRequest: number;
  readonly generatorCpuShare: number;
  readonly rssMb: number;
}

export interface Target {
  readonly port: number;
  readonly pid: number;
}

/** One HTTP request as bytes, base64. */
export function rawRequest(
  method: string,
  path: string,
  body?: Uint8Array,
  contentType = 'application/octet-stream',
): string {
  const head = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: keep-alive'];
  if (body !== undefined) head.push(`Content-Type: ${contentType}`, `Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body ?? new Uint8Array()]).toString('base64');
}

/** Throws where an answer has another status than `expected`: its speed would mean nothing. */
export async function drive(
  target: Target,
  plan: Omit<TimedPlan, 'ports'>,
  expected: readonly number[],
): Promise<LoadSample> {
  let before = 0;
  let after = 0;
  const { requestsPerSecond, p50Ms, p99Ms, generatorCpuShare, seconds, requests } = await generate(
    { ...plan, ports: [target.port] },
    expected,
    { began: () => (before = cpuSeconds(target.pid)), ended: () => (after = cpuSeconds(target.pid)) },
  );
  const serverCpuSeconds = after - before;
  return {
    requestsPerSecond,
    p50Ms,
    p99Ms,
    serverCpuShare: serverCpuSeconds / seconds,
    serverCpuSeconds,
    serverCpuMicrosPerRequest: (serverCpuSeconds * 1e6) / requests,
    generatorCpuShare,
    rssMb: memoryOf(target.pid).rssMb,
  };
}

/** Called when the measured part begins and ends. */
export interface Marks {
  began(): void;
  ended(): void;
}

/** Runs the generator. Throws where an answer has another status than `expected`. */
export async function generate(plan: TimedPlan, expected: readonly number[], marks: Marks): Promise<GeneratorResult> {
  const child = spawnGenerator();
  child.stdin.end(`${JSON.stringify(plan)}\n`);
  const exited = once(child, 'exit');
  let result: GeneratorResult | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'begin') marks.began();
    else if (line === 'end') marks.ended();
    else result = JSON.parse(line) as GeneratorResult;
  }
  await exited;
  if (result === undefined) throw new Error('the load generator failed');
  checkStatuses(result, expected);
  return result;
}

export function spawnGenerator() {
  const script = fileURLToPath(new URL('./load-generator.ts', import.meta.url));
  return spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
}

export function checkStatuses({ statuses }: GeneratorResult, expected: readonly number[]): void {
  const wrong = Object.keys(statuses).filter((status) => !expected.includes(Number(status)));
  if (wrong.length > 0) throw new Error(`answers had status ${wrong.join(', ')}, not ${expected.join(', ')}`);
}
