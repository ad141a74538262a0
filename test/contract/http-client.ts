// A plain HTTP client for the contract suite: paths go out exactly as they are written, which fetch would
// not do, and bodies come back as bytes.
import { Agent, request, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
  readonly json: any;
}

export interface Answered {
  readonly method: string;
  readonly path: string;
  readonly given: Answer;
}

export interface Call {
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  /** Sent without Content-Length. */
  readonly chunked?: boolean;
}

export class HttpClient {
  readonly baseUrl: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });

  /** Every answer, for http-conformance.ts. */
  readonly answers: Answered[] = [];

  constructor(baseUrl: string) {
    this.baseUrl = baseUrl;
  }

  get port(): number {
    return Number(new URL(this.baseUrl).port);
  }

  close(): void {
    this.#agent.destroy();
  }

  call(method: string, path: string, { headers = {}, body, chunked = false }: Call = {}): Promise<Answer> {
    const { hostname, port } = new URL(this.baseUrl);
    const bytes = body === undefined ? undefined : Buffer.from(body as string);
    const length: Record<string, string> =
      bytes === undefined || chunked ? {} : { 'content-length': String(bytes.length) };
    return new Promise((resolve, reject) => {
      const outgoing = request(
        { hostname, port, method, path, agent: this.#agent, headers: { ...length, ...headers } },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', reject);
          response.on('end', () => {
            const given = answer(response.statusCode ?? 0, response.headers, Buffer.concat(parts));
            this.answers.push({ method, path, given });
            resolve(given);
          });
        },
      );
      outgoing.on('error', reject);
      if (bytes === undefined) outgoing.end();
      else if (chunked) {
        for (let at = 0; at < bytes.length; at += 65_536) outgoing.write(bytes.subarray(at, at + 65_536));
        outgoing.end();
      } else outgoing.end(bytes);
    });
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('GET', path, { headers });
  }

  put(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('PUT', path, { headers, body });
  }

  delete(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('DELETE', path, { headers });
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    if (body === undefined) return this.call('POST', path, { headers });
    return this.call('POST', path, {
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  }
}

function answer(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const text = body.toString('utf8');
  const isJson = /[/+]json/.test(headers['content-type'] ?? '') && text.startsWith('{');
  return { status, headers, body, text, json: isJson ? JSON.parse(text) : undefined };
}

/** Whatever any effect would change: revisions and sizes over all partitions. */
export async function stateOf(client: HttpClient): Promise<unknown> {
  const { json } = await client.get('/v1/stats');
  return json.partitions.map(({ partition, revision, entries, bytes, stores }: Record<string, unknown>) => ({
    partition,
    revision,
    entries,
    bytes,
    stores,
  }));
}

let stores = 0;
/** A store that no other test has. */
export function newStore(): string {
  return `store-${++stores}`;
}

export function keyPath(store: string, key: string): string {
  return `/v1/stores/${store}/keys/${encodeURIComponent(key)}`;
}

/** Asks again until `done` says so; a test's time limit is its bound. */
export async function until<T>(ask: () => Promise<T>, done: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (done(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
