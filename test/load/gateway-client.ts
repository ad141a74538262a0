// One request to one gateway, and what a client may conclude from what came back. This is where the
// honesty of refusals is tested: what is called `refused` here, the checker takes for certainly without effect.
import { errorKinds, isErrorCode } from '@statestore/core';
import { Pool } from 'undici';

export interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Below the store's. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Definite {
  readonly kind: 'answer';
  readonly status: number;
  /** Of a problem document. */
  readonly code: string;
  readonly body: string;
  /** Without its quotes. */
  readonly revision: string | undefined;
  /** What the session is to send along from now on. */
  readonly session: string | undefined;
}

export interface Indefinite {
  /**
   * `refused`: certainly without effect; may succeed later. `unknown`: perhaps with effect, now or later.
   */
  readonly kind: 'refused' | 'unknown';
  /** 0: no answer. */
  readonly status: number;
  /** Of the problem document, or of the failed connection. */
  readonly code: string;
  /** Of the problem document; empty otherwise. */
  readonly detail: string;
}

export type Answer = Definite | Indefinite;

export const sessionHeader = 'statestore-session';

/** Failures of a connection that was never made: nothing was sent. */
const notConnected: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const connectTimeoutMs = 1000;

export class GatewayClient {
  readonly name: string;
  readonly #pool: Pool;
  readonly #storePath: string;

  constructor(name: string, url: string, store: string) {
    this.name = name;
    this.#storePath = `/v1/stores/${store}`;
    this.#pool = new Pool(url, { pipelining: 1, connect: { timeout: connectTimeoutMs } });
  }

  /** `patienceMs`: for the answer to begin; after that its outcome is unknown. */
  async request({ method, path, headers = {}, body }: Request, patienceMs: number): Promise<Answer> {
    let status = 0;
    let text = '';
    let given: Readonly<Record<string, string | string[] | undefined>>;
    try {
      const response = await this.#pool.request({
        method,
        path: this.#storePath + path,
        headers,
        headersTimeout: patienceMs,
        bodyTimeout: patienceMs,
        ...(body !== undefined && { body }),
      });
      status = response.statusCode;
      given = response.headers;
      text = await response.body.text();
    } catch (cause) {
      const code = (cause as { readonly code?: unknown }).code;
      if (typeof code !== 'string') throw cause;
      return { kind: notConnected.has(code) ? 'refused' : 'unknown', status, code, detail: '' };
    }
    const { code, detail } = status >= 400 ? problemOf(text) : noProblem;
    if (code === 'outcome_unknown') return { kind: 'unknown', status, code, detail };
    if (isRefusal(code)) return { kind: 'refused', status, code, detail };
    const revision = headerOf(given, 'etag')?.replaceAll('"', '');
    return { kind: 'answer', status, code, body: text, revision, session: headerOf(given, sessionHeader) };
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

/** Says nothing of the state; may be different later. */
export function isRefusal(code: string): boolean {
  return isErrorCode(code) && (errorKinds[code].retryable || code === 'partition_halted');
}

function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

const noProblem = { code: '', detail: '' };

function problemOf(body: string): { readonly code: string; readonly detail: string } {
  if (body === '') return noProblem;
  const { code, detail } = JSON.parse(body) as { code?: unknown; detail?: unknown };
  return { code: typeof code === 'string' ? code : '', detail: typeof detail === 'string' ? detail : '' };
}
