// Errors as RFC 9457 problem documents with the stable codes of core/errors.ts. Whatever goes wrong, in
// Fastify, in Node's HTTP parser or in the node, leaves the gateway in this one form.
import type { Socket } from 'node:net';
import { errorKinds, StateStoreError, type ErrorCode } from '@statestore/core';
import type { FastifyReply } from 'fastify';

export interface Problem {
  readonly status: number;
  readonly code: ErrorCode;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** Fastify's errors by code. `message` replaces theirs, which speaks of Fastify. */
const frameworkErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_BAD_URL: ['invalid_url', 'the path is not valid percent-encoded UTF-8'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid_key', 'a segment of the path is too long'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', 'the body is larger than this call takes'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'this call does not take that content type'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid_body', 'the body is not as long as Content-Length says'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['invalid_json', 'the body is empty; this call takes JSON'],
  FST_ERR_HANDLER_TIMEOUT: ['outcome_unknown', 'the call took too long and was left to itself'],
};

export function asStateStoreError(error: unknown): StateStoreError {
  if (error instanceof StateStoreError) return error;
  if (error instanceof Error) {
    const code = 'code' in error ? String(error.code) : '';
    const known = frameworkErrors[code];
    if (known !== undefined) return new StateStoreError(known[0], known[1], { cause: error });
    if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') {
      return new StateStoreError('invalid_request', 'the request ended early', { cause: error });
    }
    const status = 'statusCode' in error ? Number(error.statusCode) : 500;
    if (status >= 400 && status < 500) return new StateStoreError('invalid_request', error.message, { cause: error });
  }
  return new StateStoreError('internal', 'something went wrong inside; it was logged', { cause: error });
}

export function problemOf(error: StateStoreError): Problem {
  const { code, status, retryable, retryAfterMs } = error;
  const document = {
    type: `https://statestore.io/errors/${code}`,
    title: errorKinds[code].title,
    status,
    detail: error.message,
    code,
    retryable,
    ...(error.hint === undefined ? undefined : { hint: error.hint }),
    ...(code === 'outcome_unknown' ? { outcome: 'unknown' } : undefined),
    ...error.extra,
  };
  const waits = status === 503 || status === 429;
  const retryAfter = retryAfterMs !== undefined || (retryable && waits) ? (retryAfterMs ?? 1000) : undefined;
  return {
    status,
    code,
    body: JSON.stringify(document),
    retryAfter: retryAfter === undefined ? undefined : String(Math.max(1, Math.ceil(retryAfter / 1000))),
  };
}

export function sendProblem(reply: FastifyReply, error: StateStoreError): void {
  const problem = problemOf(error);
  if (problem.retryAfter !== undefined) void reply.header('retry-after', problem.retryAfter);
  const allow = error.extra?.['allow'];
  if (typeof allow === 'string') void reply.header('allow', allow);
  // A buffer, since Fastify adds a charset to JSON text, and the media type has none.
  void reply.code(problem.status).type('application/problem+json').send(Buffer.from(problem.body, 'utf8'));
}

const socketErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'the request line and headers are larger than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'the request did not arrive in time'],
};

/** What Node's parser could not read never becomes a request: the answer is written to the socket. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    socket.destroy();
    return;
  }
  // In the middle of another answer, bytes of this one would be taken for a part of it.
  const busy = (socket as Socket & { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent === true;
  if (busy || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = socketErrors[error.code ?? ''] ?? ['invalid_request', 'the bytes received are not HTTP/1.1'];
  const problem = problemOf(new StateStoreError(code, message));
  const head = [
    `HTTP/1.1 ${problem.status} ${errorKinds[code].title}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(problem.body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${problem.body}`);
  socket.destroySoon();
}
