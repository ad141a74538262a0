// Many-key calls that are tried again for as long as that can help. Every operation here may be
// repeated (a put of the same bytes, a get), so an unknown outcome is simply asked for again.
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrorCode, errorKinds } from '@statestore/core';
import { Pool } from 'undici';
import type { Totals } from './totals.ts';

export type ValueEncoding = 'utf8' | 'base64';

export type BatchOperation =
  | {
      readonly op: 'put';
      readonly key: string;
      readonly value: string;
      readonly encoding: ValueEncoding;
      readonly contentType: string;
    }
  | { readonly op: 'get'; readonly key: string };

/** Result of one operation of `POST /v1/stores/{store}/batch`. */
export interface BatchResult {
  readonly status: number;
  readonly value?: string;
  readonly encoding?: ValueEncoding;
  readonly code?: string;
}

interface Failure {
  readonly status: number;
  /** A code of ours, or that of the connection (`ECONNREFUSED`, `UND_ERR_SOCKET`). */
  readonly code: string;
  readonly retryAfterMs: number;
}

type Answer =
  | { readonly kind: 'results'; readonly results: readonly BatchResult[] }
  | ({ readonly kind: 'failure' } & Failure);

const backoffMsMin = 20;
const backoffMsMax = 2000;
const answerTimeoutMs = 60_000;

export interface BatchClientSettings {
  readonly url: string;
  readonly store: string;
  readonly concurrency: number;
  readonly retryForMs: number;
}

export class BatchClient {
  readonly #pool: Pool;
  readonly #path: string;
  readonly #retryForMs: number;
  readonly #totals: Totals;

  constructor(settings: BatchClientSettings, totals: Totals) {
    this.#pool = new Pool(settings.url, {
      connections: settings.concurrency,
      pipelining: 1,
      headersTimeout: answerTimeoutMs,
      bodyTimeout: answerTimeoutMs,
    });
    this.#path = `/v1/stores/${encodeURIComponent(settings.store)}/batch`;
    this.#retryForMs = settings.retryForMs;
    this.#totals = totals;
  }

  /** One final result each, in order; what could not be had in time keeps its last failure. */
  async call(operations: readonly BatchOperation[]): Promise<readonly BatchResult[]> {
    const results: BatchResult[] = Array.from({ length: operations.length });
    let open = operations.map((_, index) => index);
    const deadline = performance.now() + this.#retryForMs;
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#attempt(open.map((index) => operations[index]!));
      const again: number[] = [];
      let waitMs = 0;
      open.forEach((index, at) => {
        const result: BatchResult = answer.kind === 'results' ? answer.results[at]! : answer;
        results[index] = result;
        if (isRetryable(result)) again.push(index);
      });
      if (answer.kind === 'failure') waitMs = answer.retryAfterMs;
      if (again.length === 0 || performance.now() >= deadline) return results;
      this.#totals.retry(results[again[0]!]!.code ?? String(results[again[0]!]!.status));
      const backoffMs = Math.min(backoffMsMin * 2 ** Math.min(attempt, 10), backoffMsMax) * (0.5 + Math.random() / 2);
      await sleep(Math.max(waitMs, backoffMs));
      open = again;
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #attempt(operations: readonly BatchOperation[]): Promise<Answer> {
    const began = performance.now();
    try {
      const { statusCode, headers, body } = await this.#pool.request({
        method: 'POST',
        path: this.#path,
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ operations }),
      });
      const text = await body.text();
      this.#totals.calls++;
      this.#totals.latenciesMicros.recordValue(Math.max(1, Math.round((performance.now() - began) * 1000)));
      const answer = parseObject(text);
      if (statusCode !== 200) {
        const code = typeof answer['code'] === 'string' ? answer['code'] : `http_${statusCode}`;
        const retryAfterMs = Number(headers['retry-after'] ?? 0) * 1000 || 0;
        return { kind: 'failure', status: statusCode, code, retryAfterMs };
      }
      const results = answer['results'];
      if (Array.isArray(results) && results.length === operations.length) {
        return { kind: 'results', results: (results as BatchResult[]).map(withCode) };
      }
      return { kind: 'failure', status: 0, code: 'answer_not_understood', retryAfterMs: 0 };
    } catch (cause) {
      return { kind: 'failure', status: 503, code: codeOfConnection(cause), retryAfterMs: 0 };
    }
  }
}

/** A refused operation carries its problem in `error`; its code is what counts here. */
function withCode(result: BatchResult & { readonly error?: { readonly code?: string } }): BatchResult {
  const code = result.code ?? result.error?.code;
  return code === undefined ? result : { ...result, code };
}

function isRetryable({ status, code }: BatchResult): boolean {
  if (code !== undefined && isErrorCode(code)) return errorKinds[code].retryable;
  return status === 429 || status === 502 || status === 503 || status === 504;
}

function codeOfConnection(cause: unknown): string {
  const code = (cause as { readonly code?: unknown }).code;
  if (typeof code === 'string') return code;
  // What is no error of the connection is ours, and must not be tried for a minute.
  throw cause;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
