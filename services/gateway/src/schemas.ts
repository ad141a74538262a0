// Pieces of the route schemas. They are the documentation (OpenAPI) of every route, and the check of JSON
// bodies; paths, queries and headers are read by hand, strictly, where they are used.
import { errorKinds, limits, type ErrorCode } from '@statestore/core';
import { Type, type Static, type TSchema, type TUnsafe } from 'typebox';
import { ttlPattern } from './ttl.ts';

/** Schemas with a name, so that generated clients have types with names. */
export const components: { readonly $id: string }[] = [];

/** A reference to the schema under its name. */
export function named<T extends TSchema>(name: string, schema: T): TUnsafe<Static<T>> {
  components.push({ ...schema, $id: name });
  return Type.Unsafe<Static<T>>({ $ref: `${name}#` });
}

/** One of a few words. */
export function wordOf<const Words extends string[]>(words: [...Words], options: Record<string, unknown> = {}) {
  return Type.Enum(words, { type: 'string', ...options });
}

export const storeParameter = Type.String({
  description: 'Name of the store; it is made by the first write.',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  examples: ['carts'],
});
export const keyParameter = Type.String({
  description:
    'The key, percent-encoded as one segment (a/b is a%2Fb): 1 to 1024 bytes of UTF-8 without control characters.',
  minLength: 1,
  maxLength: limits.keyBytesMax,
  examples: ['user:42'],
});
export const storePath = Type.Object({ store: storeParameter });
export const keyPath = Type.Object({ store: storeParameter, key: keyParameter });

export const ttl = Type.String({
  description: 'Time to live: 500ms, 30s, 15m, 12h, 7d or never.',
  pattern: ttlPattern,
  examples: ['30s'],
});
export const ttlQuery = Type.Object({ ttl: Type.Optional(ttl) });
export const consistency = wordOf(['session', 'strong', 'eventual'], {
  description:
    'strong: linearizable. session: what the session was told of, by its StateStore-Session and by this gateway, or newer. ' +
    'eventual: some earlier state.',
  default: 'session',
});
/** How to read: query.ts reads them. */
export const readFields = {
  consistency: Type.Optional(consistency),
  maxLagMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.maxLagMsMax,
      description: 'With eventual: that state was the newest at most this many milliseconds before the request.',
    }),
  ),
};
export const readQuerySchema = Type.Object(readFields);

/** openapi.ts says of each operation that takes it that its answers have it too. */
const sessionToken = Type.String({
  description:
    'As it came with the last answer; of answers to requests that ran at the same time, all of them, with commas between.',
  maxLength: limits.requestHeadBytesMax,
  pattern: '^[0-9a-z._~, -]+$',
  examples: ['1.2-6y'],
});
const sessionFields = { 'StateStore-Session': Type.Optional(sessionToken) };
export const sessionHeaders = Type.Object(sessionFields);

export const ifMatch = Type.String({
  description: 'An ETag with its quotes, or * for any entry.',
  pattern: '^(\\*|"(0|[1-9][0-9]{0,18})")$',
  examples: ['"7"'],
});
export const ifNoneMatch = wordOf(['*'], { description: 'The key must have no entry.' });
const etags = '^(\\*|(W/)?"[0-9]{1,19}"( *, *(W/)?"[0-9]{1,19}")*)$';
export const readHeaders = Type.Object({
  ...sessionFields,
  'If-Match': Type.Optional(
    Type.String({ description: '* or ETags; 412 where the entry has none of them.', pattern: etags }),
  ),
  'If-None-Match': Type.Optional(
    Type.String({ description: '* or ETags; 304 where the entry has one of them.', pattern: etags }),
  ),
});
export const idempotencyHeader = Type.String({
  description:
    'Makes a repeated request take effect once, for five minutes or more. It holds for one key, or for one call of the store in ' +
    'each slot; with another request it is refused there.',
  pattern: '^[!-~]{1,255}$',
  minLength: 1,
  maxLength: limits.idempotencyKeyCharsMax,
});
export const idempotencyHeaders = Type.Object({
  ...sessionFields,
  'Idempotency-Key': Type.Optional(idempotencyHeader),
});
export const writeHeaders = Type.Object({
  ...sessionFields,
  'If-Match': Type.Optional(ifMatch),
  'If-None-Match': Type.Optional(ifNoneMatch),
  'Idempotency-Key': Type.Optional(idempotencyHeader),
});

/** A key inside JSON. */
export const jsonKey = Type.String({
  description: '1 to 1024 bytes of UTF-8 without control characters, not percent-encoded.',
  minLength: 1,
  maxLength: limits.keyBytesMax,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
});
export const cursorParameter = (description: string) =>
  Type.String({ description, minLength: 1, pattern: '^[A-Za-z0-9_-]+$' });
export const nextCursor = Type.Union([Type.String(), Type.Null()], { description: 'Null on the last page.' });

export const etagHeader = Type.String({ description: 'Revision of the entry, in quotes.', examples: ['"7"'] });
export const expiresHeader = Type.String({
  description: 'When the entry expires, RFC 3339 in UTC; absent where it does not.',
  format: 'date-time',
});

export const encoding = wordOf(['utf8', 'base64'], {
  description: 'utf8: the value is text. base64: RFC 4648, section 4.',
});
export const etag = Type.String({ description: 'Revision of the entry, in quotes.', examples: ['"7"'] });
export const expiresAt = Type.String({ description: 'RFC 3339 in UTC.', format: 'date-time' });
export const count = Type.Integer({ minimum: 0 });

/** Closed: a field that is not known is refused by name. */
export function closed<T extends Record<string, TSchema>>(properties: T, options: Record<string, unknown> = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

export const problemSchema = {
  $id: 'Problem',
  type: 'object',
  description: 'RFC 9457 problem document',
  required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(errorKinds), description: 'Stable; what a program may rely on.' },
    retryable: { type: 'boolean', description: 'Whether the same request may succeed later, unchanged.' },
    hint: { type: 'string' },
    outcome: { type: 'string', enum: ['unknown'], description: 'Whether the write took effect is not known.' },
    currentEtag: { type: ['string', 'null'], description: 'Of a failed condition: the ETag that the entry has.' },
    parameter: { type: 'string' },
    run: { type: 'string', description: 'Of `checkpoint_running`: id of the run that is under way.' },
    failedIndex: { type: 'integer', description: 'Of a transaction: index into checks, then into operations.' },
    failedKey: { type: 'string', description: 'Of a transaction: the key of that check or operation.' },
    index: { type: 'integer', description: 'Of operations in a body: the one that is not valid.' },
  },
} as const;

/** What may answer any request. */
const anyCodes = [
  'request_timeout',
  'headers_too_large',
  'too_many_requests',
  'overloaded',
  'unavailable',
  'internal',
] as const;

/** Problem responses by status, each naming its codes. */
export function problems(...codes: ErrorCode[]): Record<number, unknown> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...codes, ...anyCodes]) {
    const { status } = errorKinds[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      status,
      {
        description: of.map((code) => `\`${code}\`: ${errorKinds[code].title}`).join('. '),
        content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
        ...(status === 503 || status === 429
          ? { headers: { 'Retry-After': { type: 'integer', description: 'Seconds' } } }
          : {}),
      },
    ]),
  );
}

export const pathCodes = ['invalid_store_name', 'invalid_parameter', 'invalid_url'] as const satisfies ErrorCode[];
export const keyCodes = ['invalid_key', ...pathCodes] as const satisfies ErrorCode[];
export const writeCodes = [
  ...keyCodes,
  'invalid_condition',
  'precondition_failed',
  'idempotency_key_reused',
  'quota_exceeded',
  'too_many_stores',
  'disk_full',
  'outcome_unknown',
] as const satisfies ErrorCode[];

/** Any bytes. */
export const bytes = { type: 'string', format: 'binary', description: 'Any bytes.' } as const;
/** First the type that client generators know how to send and receive; then all the others. */
export const anyContent = {
  'application/octet-stream': { schema: bytes },
  '*/*': { schema: { description: 'Any bytes, with their content type.' } },
} as const;

export function jsonAnswer(description: string, schema: TSchema, headers?: Record<string, TSchema>): unknown {
  return { description, content: { 'application/json': { schema } }, ...(headers === undefined ? {} : { headers }) };
}
