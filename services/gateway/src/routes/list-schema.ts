// What OpenAPI says of listings.
import { limits } from '@statestore/core';
import { Type } from 'typebox';
import {
  cursorParameter,
  encoding,
  etag,
  expiresAt,
  keyCodes,
  named,
  nextCursor,
  problems,
  readFields,
  sessionHeaders,
  storePath,
} from '../schemas.ts';

const text = (description: string) => Type.Optional(Type.String({ description, maxLength: limits.keyBytesMax }));
const listedEntry = named(
  'ListedEntry',
  Type.Object({
    key: Type.String(),
    etag,
    value: Type.Optional(Type.String({ description: 'Where values=true.' })),
    encoding: Type.Optional(encoding),
    size: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes of the value, where values=true.' })),
    contentType: Type.Optional(Type.String()),
    expiresAt: Type.Optional(expiresAt),
  }),
);
const page = named('EntryPage', Type.Object({ entries: Type.Array(listedEntry), cursor: nextCursor }));

export const listSchema = {
  operationId: 'listEntries',
  summary: 'List entries in key order',
  description:
    'Order is that of the bytes of the keys. A page may hold fewer entries than asked for; it is the last one where cursor ' +
    'is null. With Accept: application/x-ndjson the whole range is streamed, one entry a line; a stream that ' +
    'breaks off is not complete.',
  tags: ['many'],
  params: storePath,
  querystring: Type.Object({
    prefix: text('Only keys that start with it.'),
    start: text('The least key wanted.'),
    end: text('The first key not wanted any more; empty: to the end.'),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.listLimitMax, default: limits.listLimitDefault })),
    cursor: Type.Optional(cursorParameter('Of the page before, with the same prefix, start, end and reverse.')),
    reverse: Type.Optional(Type.Boolean({ description: 'From the greatest key down.', default: false })),
    values: Type.Optional(Type.Boolean({ description: 'With values.', default: false })),
    ...readFields,
  }),
  headers: sessionHeaders,
  response: {
    200: {
      description: 'A page, or a stream of lines',
      content: {
        'application/json': { schema: page },
        'application/x-ndjson': { schema: listedEntry },
      },
    },
    ...problems(...keyCodes, 'invalid_cursor', 'not_acceptable'),
  },
};
