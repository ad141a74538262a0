// One request, and what a client may conclude from what came back. This is where the honesty of
// refusals is tested: what is called `refused` here, the checker takes for certainly without effect.
import { errorKinds, isErrorCode } from '@statestore/core';
import { Pool } from 'undici';

export interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type Answer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      /** Of a problem document. */
      readonly code: string;
      readonly body: string;
      /** Without its quotes. */
      readonly revision: string | undefined;
    }
  /** Certainly without effect; may succeed later. */
  | { readonly kind: 'refused'; readonly why: string }
  /** Perhaps with effect, now or later. */
  | { readonly kind: 'unknown'; readonly why: string };

/** Failures of a connection that was never made: nothing was sent. */
const notConnected: ReadonlySet<string> = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);
const answerTimeoutMs = 20_000;

export class HttpClient {
  readonly #pool: Pool;

  constructor(url: string) {
    this.#pool = new Pool(url, { pipelining: 1, headersTimeout: answerTimeoutMs, bodyTimeout: answerTimeoutMs });
  }

  async request({ method, path, headers = {}, body }: Request): Promise<Answer> {
    let status = 0;
    let text = '';
    let etag: string | undefined;
    try {
      const response = await this.#pool.request({ method, path, headers, ...(body !== undefined && { body }) });
      status = response.statusCode;
      const header = response.headers['etag'];
      etag = typeof header === 'string' ? header : undefined;
      text = await response.body.text();
    } catch (cause) {
      const code = (cause as { readonly code?: unknown }).code;
      if (typeof code !== 'string') throw cause;
      return { kind: notConnected.has(code) ? 'refused' : 'unknown', why: code };
    }
    const code = status >= 400 ? codeOf(text) : '';
    if (code === 'outcome_unknown') return { kind: 'unknown', why: code };
    if (isErrorCode(code) && errorKinds[code].retryable) return { kind: 'refused', why: code };
    return { kind: 'answer', status, code, body: text, revision: etag?.replaceAll('"', '') };
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

function codeOf(body: string): string {
  if (body === '') return '';
  const { code } = JSON.parse(body) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
