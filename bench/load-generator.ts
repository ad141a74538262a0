// HTTP load from a process of its own: keep-alive sockets, one request in flight each, requests made
// beforehand, answers parsed no further than needed. autocannon's own CPU bounds what a bare Fastify
// route shows on this machine; this one costs less (`npm run bench -- generator` compares them).
// Reads a Plan as JSON from standard input; prints `begin`, `end` and a result, a line each.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { build } from 'hdr-histogram-js';
import type { GeneratorResult, Plan } from './drive.ts';

const plan = JSON.parse(readFileSync(0, 'utf8')) as Plan;
const requests = plan.requests.map((request) => Buffer.from(request, 'base64'));
const latencies = build({
  lowestDiscernibleValue: 1,
  highestTrackableValue: 60_000_000,
  numberOfSignificantValueDigits: 3,
});
const statuses = new Map<number, number>();
const headEnd = Buffer.from('\r\n\r\n');
const chunked = /\r\ntransfer-encoding: chunked/i;
const lastChunk = Buffer.from('\r\n0\r\n\r\n');
const lengthHeader = /\r\ncontent-length: (\d+)/i;

let next = 0;
let measuring = false;
let stopping = false;
let count = 0;
let receivedBytes = 0;

interface Head {
  readonly status: number;
  /** Of head and body; undefined: chunked, and over with the last chunk, since one request is in flight. */
  readonly totalBytes: number | undefined;
}

/** Undefined where the head is not complete yet. */
function parseHead(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf(headEnd);
  if (end === -1) return undefined;
  const text = bytes.toString('latin1', 0, end);
  const status = Number(text.slice(9, 12));
  const length = lengthHeader.exec(text);
  if (length === null && chunked.test(text)) return { status, totalBytes: undefined };
  if (length === null && status !== 204 && status !== 304)
    throw new Error(`an answer without Content-Length:\n${text}`);
  return { status, totalBytes: end + 4 + Number(length?.[1] ?? 0) };
}

function run(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentMs = 0;
    let head: Head | undefined;
    let seenBytes = 0;
    let partial: Buffer | undefined;
    const send = (): void => {
      next = next + 1 === requests.length ? 0 : next + 1;
      sentMs = performance.now();
      socket.write(requests[next]!);
    };
    const answered = ({ status }: Head): void => {
      if (measuring) {
        count++;
        receivedBytes += seenBytes;
        latencies.recordValue(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      head = undefined;
      seenBytes = 0;
      if (stopping) socket.end();
      else send();
    };
    /** The last bytes seen, for the end of a chunked answer. */
    let tail: Buffer = Buffer.alloc(0);
    const isOver = ({ totalBytes }: Head, part: Buffer): boolean => {
      if (totalBytes !== undefined) return seenBytes >= totalBytes;
      tail = Buffer.concat([tail, part]).subarray(-lastChunk.length);
      return tail.equals(lastChunk);
    };
    const onBytes = (length: number, buffer: Uint8Array): boolean => {
      seenBytes += length;
      const part = Buffer.from(buffer.buffer, buffer.byteOffset, length);
      if (head === undefined) {
        const bytes: Buffer = partial === undefined ? part : Buffer.concat([partial, part]);
        head = parseHead(bytes);
        partial = head === undefined ? Buffer.from(bytes) : undefined;
      }
      if (head !== undefined && isOver(head, part)) answered(head);
      return true;
    };
    const socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: { buffer: Buffer.allocUnsafe(64 * 1024), callback: onBytes },
    });
    socket.once('connect', send);
    socket.once('error', reject);
    socket.once('close', resolve);
  });
}

const running = Promise.all(
  Array.from({ length: plan.connections }, (_, i) => run(plan.ports[i % plan.ports.length]!)),
);
await new Promise((resolve) => setTimeout(resolve, plan.warmupMs));
process.stdout.write('begin\n');
const cpuBefore = process.cpuUsage();
const began = performance.now();
measuring = true;
await Promise.race([running, new Promise((resolve) => setTimeout(resolve, plan.durationMs))]);
measuring = false;
const seconds = (performance.now() - began) / 1000;
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write('end\n');
stopping = true;
await running;
const result: GeneratorResult = {
  requests: count,
  seconds,
  requestsPerSecond: count / seconds,
  megabytesPerSecond: receivedBytes / 1e6 / seconds,
  p50Ms: latencies.getValueAtPercentile(50) / 1000,
  p99Ms: latencies.getValueAtPercentile(99) / 1000,
  maxMs: latencies.maxValue / 1000,
  generatorCpuShare: (cpu.user + cpu.system) / 1e6 / seconds,
  statuses: Object.fromEntries(statuses),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
