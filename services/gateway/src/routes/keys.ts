// One entry: read, write, delete. The hot path: no hooks, no schema run, no promise where the node
// answers at once, and the head of a read written straight to the socket's response.
import type { ServerResponse } from 'node:http';
import { binaryFromBytes, limits, type Operation, type Ttl, defaultTtl, StateStoreError } from '@statestore/core';
import type { Entry, Found } from '@statestore/link';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { takeRawBodies } from '../bodies.ts';
import { readingSession, sessionHeader, sessionOf, tellSession, type ClientSession } from '../client-session.ts';
import { etagOf, namesRevision, writeCondition } from '../conditions.ts';
import type { GatewayContext } from '../context.ts';
import { idempotencyKey, idempotencyOf } from '../idempotency.ts';
import { outcomeOf } from '../metrics.ts';
import { checkKey, checkStoreName } from '../names.ts';
import { noQuery, readOptionsOf, readParameters, readQuery, sessionRead } from '../query.ts';
import { readKey } from '../reads.ts';
import { notFound } from '../refusals.ts';
import { formatTime, parseTtl } from '../ttl.ts';
import { deleteEntrySchema, existsEntrySchema, putEntrySchema, readEntrySchema } from './keys-schema.ts';

export interface KeyParams {
  readonly store: string;
  readonly key: string;
}
export type KeyRequest = FastifyRequest<{ Params: KeyParams }>;

const path = '/v1/stores/:store/keys/:key';
const octets = 'application/octet-stream';

export function keyRoutes(app: FastifyInstance, context: GatewayContext): void {
  takeRawBodies(app, limits.valueBytesMax, 'value_too_large');
  const read = (request: KeyRequest, reply: FastifyReply): Promise<void> | void => readEntry(context, request, reply);
  app.get(path, { schema: readEntrySchema, config: { operation: 'get' }, exposeHeadRoute: false }, read);
  app.head(path, { schema: existsEntrySchema, config: { operation: 'get', swagger: { exposeHeadRoute: true } } }, read);
  app.put(path, { schema: putEntrySchema, config: { operation: 'put' } }, (request: KeyRequest, reply) =>
    putEntry(context, request, reply),
  );
  app.delete(path, { schema: deleteEntrySchema, config: { operation: 'delete' } }, (request: KeyRequest, reply) =>
    deleteEntry(context, request, reply),
  );
}

function readEntry(context: GatewayContext, request: KeyRequest, reply: FastifyReply): Promise<void> | void {
  const started = performance.now();
  const store = checkStoreName(request.params.store);
  const key = checkKey(request.params.key);
  const query: unknown = request.query;
  const options = query === noQuery ? sessionRead : readOptionsOf(readQuery(query, readParameters));
  const answer = ({ entry }: Found): void => {
    if (entry === undefined) throw notFound(store, request.params.key);
    const status = sendEntry(request, reply, entry);
    context.metrics.operations.get.record(outcomeOf(status), performance.now() - started);
  };
  const read = (session: ClientSession): Promise<void> | void => {
    const found = readKey(context, store, key, session);
    return found instanceof Promise ? found.then(answer) : answer(found);
  };
  const session = readingSession(context, request, options);
  return session instanceof Promise ? session.then(read) : read(session);
}

function sendEntry(request: KeyRequest, reply: FastifyReply, entry: Entry): number {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
  const etag = etagOf(entry.revision);
  if (ifMatch !== undefined && !namesRevision(ifMatch, entry.revision)) {
    throw new StateStoreError('precondition_failed', `the entry has ETag ${etag}`, { extra: { currentEtag: etag } });
  }
  const fresh = ifNoneMatch !== undefined && namesRevision(ifNoneMatch, entry.revision);
  reply.hijack();
  const token = request.clientSession!.token!;
  const type = entry.contentType === '' ? octets : entry.contentType;
  const head = ['Content-Type', type, 'ETag', etag, sessionHeader, token];
  if (entry.expiresAtMs !== 0) head.push('StateStore-Expires-At', formatTime(entry.expiresAtMs));
  if (active.test(entry.contentType)) head.push('Content-Security-Policy', 'sandbox');
  return fresh ? sendNothing(reply.raw, head) : sendValue(reply.raw, head, entry.value);
}

/** Types that a browser would run scripts of, with this origin's rights: it is told not to. */
const active = /^(text\/(html|xml)|application\/(xhtml\+xml|xml)|image\/svg\+xml)/i;

function sendValue(response: ServerResponse, head: string[], value: Uint8Array): number {
  head.push('Content-Length', String(value.length));
  response.writeHead(200, head);
  // As text of one byte a character it goes out with the head in one write; as bytes it takes a writev of two.
  if (value.length <= limits.inlineValueBytesMax) response.end(binaryFromBytes(value), 'latin1');
  else response.end(value);
  return 200;
}

function sendNothing(response: ServerResponse, head: string[]): number {
  response.writeHead(304, head);
  response.end();
  return 304;
}

const noBytes = Buffer.alloc(0);

async function putEntry(context: GatewayContext, request: KeyRequest, reply: FastifyReply): Promise<void> {
  const started = performance.now();
  const store = checkStoreName(request.params.store);
  const key = checkKey(request.params.key);
  const { headers, body } = request;
  const operation: Operation = {
    kind: 'put',
    key,
    condition: writeCondition(headers['if-match'], headers['if-none-match']),
    value: body === undefined ? noBytes : (body as Buffer),
    contentType: contentTypeOf(request),
    ttl: ttlOf(request.query),
  };
  const session = sessionOf(context, request);
  const result = await context.writer.one(store, operation, session, idempotencyFor(request, operation));
  reply.hijack();
  const head = ['ETag', etagOf(result.revision), 'Content-Length', '0', sessionHeader, session.token!];
  if (result.expiresAtMs !== 0) head.push('StateStore-Expires-At', formatTime(result.expiresAtMs));
  reply.raw.writeHead(result.existed ? 200 : 201, head);
  reply.raw.end();
  context.metrics.operations.put.record('ok', performance.now() - started);
}

async function deleteEntry(context: GatewayContext, request: KeyRequest, reply: FastifyReply): Promise<void> {
  const started = performance.now();
  const store = checkStoreName(request.params.store);
  const key = checkKey(request.params.key);
  const { headers } = request;
  readQuery(request.query, []);
  const operation: Operation = {
    kind: 'delete',
    key,
    condition: writeCondition(headers['if-match'], headers['if-none-match']),
  };
  const session = sessionOf(context, request);
  const { existed } = await context.writer.one(store, operation, session, idempotencyFor(request, operation));
  tellSession(request, reply);
  context.metrics.operations.delete.record('ok', performance.now() - started);
  return reply.send({ existed });
}

const visible = /^[\x20-\x7e]*$/;

/** Of the body, as it will be given back. Throws `unsupported_media_type`. */
export function contentTypeOf({ headers }: FastifyRequest): string {
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') {
    throw new StateStoreError('unsupported_media_type', 'Content-Encoding is not kept, and so not taken', {
      hint: 'Send the encoded bytes without the header, with a content type that says what they are.',
    });
  }
  const type = headers['content-type'] ?? '';
  if (type.length <= limits.contentTypeBytesMax && visible.test(type)) return type;
  throw new StateStoreError(
    'unsupported_media_type',
    `the content type is longer than ${limits.contentTypeBytesMax} characters or has others than visible ASCII`,
  );
}

export function ttlOf(query: unknown): Ttl {
  if (query === noQuery) return defaultTtl;
  const { ttl } = readQuery(query, ['ttl']);
  return ttl === undefined ? defaultTtl : parseTtl(ttl);
}

/** Whatever of the request decides what it does is in the fingerprint; the key is in the scope. */
export function idempotencyFor(
  request: KeyRequest,
  operation: Operation,
): ReturnType<typeof idempotencyOf> | undefined {
  const key = idempotencyKey(request.headers);
  if (key === undefined) return undefined;
  const { store, key: entryKey } = request.params;
  const value = 'value' in operation ? operation.value : noBytes;
  const rest = JSON.stringify({ ...operation, value: undefined }, (_name, member: unknown) =>
    typeof member === 'bigint' ? String(member) : member,
  );
  return idempotencyOf(key, ['entry', store, entryKey], rest, value);
}
