// What OpenAPI says of the operations on one entry.
import { Type } from 'typebox';
import {
  closed,
  count,
  etag,
  etagHeader,
  expiresAt,
  expiresHeader,
  jsonAnswer,
  keyPath,
  named,
  problems,
  ttl,
  ttlQuery,
  writeCodes,
  writeHeaders,
} from '../schemas.ts';
import { rawBody } from './keys-schema.ts';
import { incrementFields } from './operations-schema.ts';

const headers = { ETag: etagHeader, 'StateStore-Expires-At': expiresHeader };
const sized = named('Sized', Type.Object({ size: count, etag, expiresAt: Type.Optional(expiresAt) }));
const incremented = named(
  'Incremented',
  Type.Object({
    value: Type.Union([Type.Integer(), Type.Null()], { description: 'Null past 2^53: see valueText.' }),
    valueText: Type.String({ examples: ['42'] }),
    etag,
    expiresAt: Type.Optional(expiresAt),
  }),
);

export const incrementSchema = {
  operationId: 'increment',
  summary: 'Add to a number',
  description: 'The value is decimal text of 64 bits; an absent entry counts as 0. Without a body 1 is added.',
  tags: ['entries'],
  params: keyPath,
  headers: writeHeaders,
  body: {
    content: {
      'application/json': { schema: named('Increment', closed(incrementFields)), example: { delta: 5, max: '100' } },
    },
  },
  response: {
    200: jsonAnswer('The number afterwards', incremented, headers),
    201: jsonAnswer('The same, of an entry that was made', incremented, headers),
    ...problems(
      ...writeCodes,
      'invalid_body',
      'invalid_json',
      'invalid_ttl',
      'body_too_large',
      'unsupported_media_type',
      'not_a_number',
      'out_of_bounds',
    ),
  },
};

export const appendSchema = {
  operationId: 'append',
  summary: 'Add bytes at the end of a value',
  tags: ['entries'],
  params: keyPath,
  querystring: ttlQuery,
  headers: writeHeaders,
  body: rawBody,
  response: {
    200: jsonAnswer('The size afterwards', sized, headers),
    201: jsonAnswer('The same, of an entry that was made', sized, headers),
    ...problems(
      ...writeCodes,
      'invalid_body',
      'invalid_ttl',
      'value_too_large',
      'value_would_be_too_large',
      'unsupported_media_type',
    ),
  },
};

export const mergePatchSchema = {
  operationId: 'mergePatch',
  summary: 'Change parts of a JSON value (RFC 7396)',
  tags: ['entries'],
  params: keyPath,
  querystring: ttlQuery,
  headers: writeHeaders,
  body: { content: { 'application/merge-patch+json': { schema: { description: 'The patch' } } } },
  response: {
    200: jsonAnswer('The size afterwards', sized, headers),
    201: jsonAnswer('The same, of an entry that was made', sized, headers),
    ...problems(
      ...writeCodes,
      'invalid_json',
      'invalid_ttl',
      'value_too_large',
      'value_would_be_too_large',
      'unsupported_media_type',
      'not_json',
    ),
  },
};

export const touchSchema = {
  operationId: 'touch',
  summary: 'Change when an entry expires',
  tags: ['entries'],
  params: keyPath,
  querystring: Type.Object({ ttl }),
  headers: writeHeaders,
  response: {
    200: jsonAnswer(
      'When it expires now',
      Type.Object({ etag, expiresAt: Type.Union([expiresAt, Type.Null()]) }),
      headers,
    ),
    ...problems(...writeCodes, 'invalid_ttl', 'not_found'),
  },
};
