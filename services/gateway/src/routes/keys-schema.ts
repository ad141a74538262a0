// What OpenAPI says of one entry's routes.
import { Type } from 'typebox';
import {
  anyContent,
  etagHeader,
  expiresHeader,
  jsonAnswer,
  keyCodes,
  keyPath,
  problems,
  readHeaders,
  readQuerySchema,
  ttlQuery,
  writeCodes,
  writeHeaders,
} from '../schemas.ts';

const entryHeaders = {
  ETag: etagHeader,
  'StateStore-Expires-At': expiresHeader,
  'Content-Security-Policy': {
    type: 'string',
    enum: ['sandbox'],
    description: 'Only of types that a browser would run scripts of: HTML, XML, SVG',
  },
};
const readResponses = {
  304: { description: 'The entry has an ETag of If-None-Match', type: 'null', headers: { ETag: etagHeader } },
  ...problems(...keyCodes, 'invalid_condition', 'not_found', 'precondition_failed'),
};

export const readEntrySchema = {
  operationId: 'readEntry',
  summary: 'Read an entry',
  tags: ['entries'],
  params: keyPath,
  querystring: readQuerySchema,
  headers: readHeaders,
  response: {
    200: {
      description: 'The value, with the content type that it was written with',
      headers: entryHeaders,
      content: anyContent,
    },
    ...readResponses,
  },
};

export const existsEntrySchema = {
  ...readEntrySchema,
  operationId: 'entryExists',
  summary: 'Whether there is an entry, and its ETag, size and expiry',
  response: { 200: { description: 'There is one', type: 'null', headers: entryHeaders }, ...readResponses },
};

export const rawBody = { content: anyContent };

export const putEntrySchema = {
  operationId: 'putEntry',
  summary: 'Write an entry',
  description: 'The body is the value, of any content type, up to 1 MiB. Without ttl the default of the store holds.',
  tags: ['entries'],
  params: keyPath,
  querystring: ttlQuery,
  headers: writeHeaders,
  body: rawBody,
  response: {
    200: { description: 'An entry was replaced', type: 'null', headers: entryHeaders },
    201: { description: 'An entry was made', type: 'null', headers: entryHeaders },
    ...problems(...writeCodes, 'invalid_ttl', 'invalid_body', 'value_too_large', 'unsupported_media_type'),
  },
};

export const deleteEntrySchema = {
  operationId: 'deleteEntry',
  summary: 'Delete an entry',
  tags: ['entries'],
  params: keyPath,
  headers: writeHeaders,
  response: {
    200: jsonAnswer(
      'It is not there any more',
      Type.Object({ existed: Type.Boolean({ description: 'Whether it was.' }) }),
    ),
    ...problems(...writeCodes),
  },
};
