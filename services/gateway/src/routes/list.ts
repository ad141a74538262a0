// Listings of a store in key order: pages of JSON with a cursor, or everything as a stream of lines.
import { bytesFromBinary, binaryFromBytes, limits, prefixEnd, type BinaryString } from '@statestore/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { chooseType } from '../accept.ts';
import { readingSession, sessionHeader, type ClientSession } from '../client-session.ts';
import type { GatewayContext } from '../context.ts';
import { entryJson } from '../list-json.ts';
import { afterKey, MergeScan, type MergeRange } from '../merge-scan.ts';
import { checkKeyPart, checkStoreName } from '../names.ts';
import { readBoolean, readCount, readOptionsOf, readParameters, readQuery } from '../query.ts';
import { drained, endOf } from '../streaming.ts';
import { listSchema } from './list-schema.ts';

interface Listing {
  readonly range: MergeRange;
  /** What must be the same when a cursor comes back. */
  readonly scope: readonly string[];
  readonly limit: number | undefined;
  readonly session: ClientSession;
}

type StoreRequest = FastifyRequest<{ Params: { store: string } }>;

export function listRoutes(app: FastifyInstance, context: GatewayContext): void {
  const path = '/v1/stores/:store/keys';
  // A stream takes as long as its reader does: no HEAD.
  const options = { schema: listSchema, config: { operation: 'list' }, exposeHeadRoute: false } as const;
  app.get(path, options, async (request: StoreRequest, reply) => {
    const form = chooseType(request.headers.accept, ['application/json', 'application/x-ndjson']);
    const listing = await readListing(context, request);
    return form === 'application/json' ? sendPage(context, listing, reply) : streamLines(context, listing, reply);
  });
}

const parameters = ['prefix', 'start', 'end', 'limit', 'cursor', 'reverse', 'values', ...readParameters] as const;

async function readListing(context: GatewayContext, request: StoreRequest): Promise<Listing> {
  const store = checkStoreName(request.params.store);
  const query = readQuery(request.query, parameters);
  const reverse = readBoolean('reverse', query.reverse);
  const values = readBoolean('values', query.values);
  const prefix = checkKeyPart(query.prefix ?? '', 'prefix');
  const bounds = within(
    prefix,
    checkKeyPart(query.start ?? '', 'start'),
    query.end === undefined || query.end === '' ? undefined : checkKeyPart(query.end, 'end'),
  );
  const scope = ['list', store, prefix, query.start ?? '', query.end ?? '', String(reverse)];
  const whole: MergeRange = { store, reverse, values, ...bounds };
  const last = query.cursor === undefined ? undefined : binaryFromBytes(context.cursors.open(scope, query.cursor));
  const options = readOptionsOf(query);
  return {
    range: { store, reverse, values, ...afterKey(whole, last) },
    scope,
    limit: readCount('limit', query.limit, limits.listLimitMax),
    session: await readingSession(context, request, options),
  };
}

/** Keys with the prefix that are start ≤ key < end. */
function within(
  prefix: BinaryString,
  start: BinaryString,
  end: BinaryString | undefined,
): { start?: BinaryString; end?: BinaryString } {
  const from = start > prefix ? start : prefix;
  const prefixTo = prefixEnd(prefix);
  const to = end === undefined || (prefixTo !== undefined && prefixTo < end) ? prefixTo : end;
  return { ...(from === '' ? {} : { start: from }), ...(to === undefined ? {} : { end: to }) };
}

async function sendPage(context: GatewayContext, listing: Listing, reply: FastifyReply): Promise<void> {
  const { range, scope, session, limit = limits.listLimitDefault } = listing;
  const chunks: Buffer[] = [];
  let text = '{"entries":[';
  let bytes = 0;
  let separator = '';
  let last: BinaryString | undefined;
  // In pieces, since one text of some MB would be copied again and again while it grows.
  const flush = (): void => {
    const chunk = Buffer.from(text, 'utf8');
    chunks.push(chunk);
    bytes += chunk.length;
    text = '';
  };
  const more = await new MergeScan(context, range, session).run(limit, (entry) => {
    text += separator + entryJson(entry, range.values);
    separator = ',';
    last = entry.key;
    if (text.length > chunkChars) flush();
    return bytes < limits.listPageBytesMax;
  });
  text +=
    more && last !== undefined
      ? `],"cursor":"${context.cursors.sign(scope, bytesFromBinary(last))}"}`
      : '],"cursor":null}';
  flush();
  return reply.type('application/json').send(Buffer.concat(chunks, bytes));
}

const chunkChars = 64 * 1024;

/** A connection that ends without its last chunk tells the reader that lines are missing. */
async function streamLines(
  context: GatewayContext,
  { range, session, limit }: Listing,
  reply: FastifyReply,
): Promise<void> {
  const scan = new MergeScan(context, range, session);
  let left = limit ?? Number.MAX_SAFE_INTEGER;
  let text = '';
  const next = (): Promise<boolean> => {
    text = '';
    return scan.run(Math.min(left, limits.listLimitMax), (entry) => {
      text += `${entryJson(entry, range.values)}\n`;
      left--;
      return text.length < chunkChars;
    });
  };
  // The first part decides whether this is an answer or a problem.
  let more = await next();
  reply.hijack();
  const response = reply.raw;
  const end = endOf(response, new AbortController().signal);
  // Of what its first part was read at.
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson', [sessionHeader]: session.token });
  try {
    for (;;) {
      if (text !== '') response.write(text);
      if (!more || left === 0 || end.aborted) break;
      await drained(response, end);
      more = await next();
    }
    response.end();
  } catch {
    response.destroy();
  }
}
