// Between a client and an S3 server: an HTTP proxy on loopback that does to single requests what networks, proxies
// and stores in trouble do. Rules are counted, not random: the third PUT below blocks/ is answered with 503, and
// nothing else. What no rule matches passes as it is, byte for byte, with its signature.
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export type Fault =
  /** Answers itself; the server hears nothing. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** The connection ends before the server hears anything. */
  | { readonly kind: 'cut' }
  /** The server does it; the connection ends before its answer. */
  | { readonly kind: 'lose answer' }
  /** The server does it; the answer is this one. */
  | { readonly kind: 'replace answer'; readonly status: number; readonly body?: string }
  /** The server does it after this long. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Neither heard nor answered until the client gives up. */
  | { readonly kind: 'hang' }
  /** The body of the answer comes this slowly. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** The body of the answer ends after so many bytes; the connection with it, or the answer claims to be complete. */
  | { readonly kind: 'truncate'; readonly afterBytes: number; readonly asIfComplete?: boolean }
  /** One byte of the answer's body is another. */
  | { readonly kind: 'flip answer'; readonly at: number }
  /** One byte of the request's body is another. */
  | { readonly kind: 'flip request'; readonly at: number }
  /** Whatever the test makes of the answer's body. */
  | { readonly kind: 'rewrite'; readonly body: (text: string) => string };

export interface Rule {
  readonly method?: string;
  /** Of the path and query. */
  readonly path?: RegExp;
  /** So many matching requests pass first. */
  readonly skip?: number;
  /** How often it holds; for ever where it is not said. */
  readonly times?: number;
  /** Of the matching requests only each one of this number. */
  readonly every?: number;
  readonly fault: Fault;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly fault: Fault['kind'] | undefined;
}

interface CountedRule extends Rule {
  matched: number;
}

export class S3Proxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #agent = new Agent({ keepAlive: false });
  #rules: CountedRule[] = [];
  /** Every request, in the order in which they came. */
  seen: SeenRequest[] = [];
  /** Connections accepted so far, and those that are open. */
  accepted = 0;
  open = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    server.on('request', (request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket) => {
      this.accepted++;
      this.open++;
      socket.once('close', () => this.open--);
      socket.on('error', () => {});
    });
  }

  static async start(targetPort: number): Promise<S3Proxy> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new S3Proxy(server, targetPort);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** The first rule that matches and still holds is followed. */
  add(...rules: readonly Rule[]): void {
    this.#rules.push(...rules.map((rule) => ({ ...rule, matched: 0 })));
  }

  /** No rules, nothing seen. */
  reset(): void {
    this.#rules = [];
    this.seen = [];
  }

  count(method: string, path = /./): number {
    return this.seen.filter((one) => one.method === method && path.test(one.url)).length;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #faultOf(method: string, url: string): Fault | undefined {
    for (const rule of this.#rules) {
      if (rule.method !== undefined && rule.method !== method) continue;
      if (rule.path !== undefined && !rule.path.test(url)) continue;
      const nth = rule.matched++ - (rule.skip ?? 0);
      if (nth < 0 || nth >= (rule.times ?? Infinity)) continue;
      if ((nth + 1) % (rule.every ?? 1) === 0) return rule.fault;
    }
    return undefined;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    const fault = this.#faultOf(method, url);
    this.seen.push({ method, url, headers, fault: fault?.kind });
    if (fault?.kind === 'cut') return void request.socket.destroy();
    const body = await bodyOf(request);
    switch (fault?.kind) {
      case 'hang':
        return;
      case 'answer':
        return void response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? '');
      case 'delay':
        await sleep(fault.ms);
        break;
      case 'flip request':
        flip(body, fault.at);
        break;
      default:
    }
    const answer = await this.#ask(request, body);
    if (fault === undefined) return pass(answer, response);
    await spoil(fault, answer, request, response);
  }

  #ask(request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { method = '', url: path = '', headers } = request;
    return new Promise((resolve, reject) => {
      const asked = httpRequest(
        { port: this.#targetPort, host: '127.0.0.1', method, path, headers, agent: this.#agent, setHost: false },
        (answer) => {
          bodyOf(answer).then((bytes) => resolve({ head: answer, body: bytes }), reject);
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
  }
}

interface Answer {
  readonly head: IncomingMessage;
  readonly body: Buffer;
}

function headersOf({ head }: Answer): IncomingMessage['headers'] {
  const { connection: _, 'transfer-encoding': __, ...headers } = head.headers;
  return headers;
}

function pass(answer: Answer, response: ServerResponse, body = answer.body): void {
  response.writeHead(answer.head.statusCode ?? 502, headersOf(answer)).end(body);
}

/* oxlint-disable-next-line max-params -- how, what came, of what, to whom */
async function spoil(fault: Fault, answer: Answer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { body } = answer;
  const status = answer.head.statusCode ?? 502;
  switch (fault.kind) {
    case 'lose answer':
      request.socket.destroy();
      break;
    case 'replace answer':
      response.writeHead(fault.status, {}).end(fault.body ?? '');
      break;
    case 'slow':
      response.writeHead(status, headersOf(answer));
      for (let at = 0; at < body.length && !response.destroyed; at += fault.bytesPerSecond / 10) {
        response.write(body.subarray(at, at + fault.bytesPerSecond / 10));
        await sleep(100);
      }
      response.end();
      break;
    case 'truncate': {
      const part = body.subarray(0, fault.afterBytes);
      if (fault.asIfComplete === true) {
        response.writeHead(status, { ...headersOf(answer), 'content-length': part.length }).end(part);
        break;
      }
      response.writeHead(status, headersOf(answer)).write(part, () => request.socket.destroy());
      break;
    }
    case 'flip answer':
      flip(body, fault.at);
      pass(answer, response);
      break;
    case 'rewrite': {
      const other = Buffer.from(fault.body(body.toString()));
      response.writeHead(status, { ...headersOf(answer), 'content-length': other.length }).end(other);
      break;
    }
    default:
      pass(answer, response);
  }
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function flip(bytes: Buffer, at: number): void {
  if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ 0x01;
}
