// HTTP load from a process of its own: keep-alive sockets, one request in flight each, requests made
// beforehand, answers parsed no further than needed. autocannon's own CPU bounds what a bare Fastify
// route shows on this machine; this one costs less (`npm run bench -- generator` compares them).
// Reads a Plan as a line of JSON from standard input. One that says how long it takes is done once, and prints `begin`,
// `end` and a result. Any other goes on until standard input ends, and does what its lines say: `measure`, `rest`, and
// `tell`, which prints the result of what was measured since the last one.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Plan } from './drive.ts';
import { LoadTally } from './load-tally.ts';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const plan = JSON.parse((await lines.next()).value as string) as Plan;
const requests = plan.requests.map((request) => Buffer.from(request, 'base64'));
const tally = new LoadTally();
const headEnd = Buffer.from('\r\n\r\n');
const chunked = /\r\ntransfer-encoding: chunked/i;
const lastChunk = Buffer.from('\r\n0\r\n\r\n');
const lengthHeader = /\r\ncontent-length: (\d+)/i;
const paceMs = 1;

let next = 0;
let stopping = false;

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

type Send = (fromMs: number) => void;

/** When connections that are free send again: at once, or each request at its time, whatever the answers take. */
class Pace {
  readonly #everyMs: number | undefined;
  readonly #free: (() => void)[] = [];
  readonly #beganMs = performance.now();
  #sent = 0;

  constructor(perSecond: number | undefined) {
    this.#everyMs = perSecond === undefined ? undefined : 1000 / perSecond;
    if (perSecond !== undefined) setInterval(() => this.#wake(), paceMs).unref();
  }

  /** Time counts from when a request was due: one that no connection was free for waited. */
  free(send: Send, end: () => void): void {
    if (stopping) return end();
    if (this.#everyMs === undefined) return send(performance.now());
    const dueMs = this.#beganMs + this.#sent * this.#everyMs;
    if (dueMs > performance.now()) return void this.#free.push(() => this.free(send, end));
    this.#sent++;
    send(dueMs);
  }

  #wake(): void {
    for (const waiting of this.#free.splice(0)) waiting();
  }
}

const pace = new Pace(plan.requestsPerSecond);

function run(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentMs = 0;
    let head: Head | undefined;
    let seenBytes = 0;
    let partial: Buffer | undefined;
    const send = (fromMs: number): void => {
      next = next + 1 === requests.length ? 0 : next + 1;
      sentMs = fromMs;
      socket.write(requests[next]!);
    };
    const end = (): void => void socket.end();
    const answered = ({ status }: Head): void => {
      tally.answered(status, performance.now() - sentMs, seenBytes);
      head = undefined;
      seenBytes = 0;
      pace.free(send, end);
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
    socket.once('connect', () => pace.free(send, end));
    socket.once('error', reject);
    socket.once('close', resolve);
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function measureOnce(durationMs: number, running: Promise<unknown>): Promise<void> {
  say('begin');
  tally.begin();
  await Promise.race([running, new Promise((resolve) => setTimeout(resolve, durationMs))]);
  tally.end();
  say('end');
  stopping = true;
  await running;
  say(JSON.stringify(tally.take()));
}

async function obey(): Promise<void> {
  say('begin');
  for await (const line of lines) {
    if (line === 'measure') tally.begin();
    else if (line === 'rest') tally.end();
    else if (line === 'tell') say(JSON.stringify(tally.take()));
    else throw new Error(`a line was ${line}; it may be measure, rest or tell`);
  }
}

const running = Promise.all(
  Array.from({ length: plan.connections }, (_, i) => run(plan.ports[i % plan.ports.length]!)),
);
await Promise.race([running, new Promise((resolve) => setTimeout(resolve, plan.warmupMs))]);
if (plan.durationMs !== undefined) await measureOnce(plan.durationMs, running);
else {
  await Promise.race([running, obey()]);
  process.exit(0);
}
