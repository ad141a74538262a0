// How bodies are read. Values are raw bytes of any content type, collected as they come; JSON is checked
// to be UTF-8, free of prototype keys, and of the route's schema before a handler sees it.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { limits, StateStoreError, type ErrorCode } from '@statestore/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';

type Done = (error: Error | null, body?: Buffer) => void;

/** Any content type, as a Buffer, at most `bytesMax`; more is `code`. */
export function takeRawBodies(app: FastifyInstance, bytesMax: number, code: ErrorCode): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (request: FastifyRequest, payload: IncomingMessage, done: Done) => {
    collect(request, payload, bytesMax, code, done);
  });
}

const empty = Buffer.alloc(0);

/* oxlint-disable-next-line max-params -- a request's pieces, on the hot path */
function collect(
  request: FastifyRequest,
  payload: IncomingMessage,
  bytesMax: number,
  code: ErrorCode,
  done: Done,
): void {
  const tooLarge = (): StateStoreError =>
    new StateStoreError(code, `the body is larger than ${bytesMax} bytes`, { extra: { maxBytes: bytesMax } });
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > bytesMax + limits.bodyDrainBytesMax) {
    done(tooLarge());
    return;
  }
  let first: Buffer | undefined;
  let chunks: Buffer[] | undefined;
  let received = 0;
  payload.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received > bytesMax) {
      // Thrown away, but read: a client that is cut off while it sends never sees the answer.
      first = chunks = undefined;
      if (received > bytesMax + limits.bodyDrainBytesMax) {
        payload.removeAllListeners('data').removeAllListeners('end');
        done(tooLarge());
      }
    } else if (first === undefined) first = chunk;
    else if (chunks === undefined) chunks = [first, chunk];
    else chunks.push(chunk);
  });
  payload.on('end', () => {
    if (received > bytesMax) done(tooLarge());
    else if (chunks !== undefined) done(null, Buffer.concat(chunks, received));
    else done(null, first ?? empty);
  });
  payload.on('error', (error: Error) => {
    done(new StateStoreError('invalid_body', 'the body ended early', { cause: error }));
  });
}

/** application/json only; anything else is `unsupported_media_type`. Bodies are limited by route. */
export function takeJsonBodies(app: FastifyInstance): void {
  const parse = jsonParserOf(app);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    try {
      done(null, parse(request, body));
    } catch (error) {
      done(error as Error);
    }
  });
}

const notJson = 'the body is not JSON, or names __proto__ or constructor.prototype';

export type JsonParser = (request: FastifyRequest, body: Buffer) => unknown;

/**
 * Fastify's own parser, which refuses `__proto__` and `constructor.prototype`, behind a check for UTF-8.
 * Throws `invalid_json`. Depth costs no stack: neither V8's parser nor the scan for keys recurses.
 */
export function jsonParserOf(app: FastifyInstance): JsonParser {
  const parse = app.getDefaultJsonParser('error', 'error');
  return (request, body) => {
    if (body.length === 0) throw new StateStoreError('invalid_json', 'the body is empty; this call takes JSON');
    if (!isUtf8(body)) throw new StateStoreError('invalid_json', 'the body is not UTF-8');
    let failure: Error | null = null;
    let value: unknown;
    void parse(request, body.toString('utf8'), (error, parsed: unknown) => {
      failure = error;
      value = parsed;
    });
    if (failure !== null) throw new StateStoreError('invalid_json', notJson, { cause: failure });
    return value;
  };
}

/** Whether arrays and objects nest deeper than this. Looks no further down than that. */
export function isDeeper(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depthMax === 0) return true;
  return Object.values(value).some((member) => isDeeper(member, depthMax - 1));
}
