// What OpenAPI says of the operations inside many-key calls and transactions: one schema each, by `op`, so that
// generated clients know which fields an operation has. What is wrong is judged elsewhere, with its own code.
import { Type } from 'typebox';
import { contentType } from '../batch-json.ts';
import { closed, encoding, ifMatch, ifNoneMatch, jsonKey, named, ttl, wordOf } from '../schemas.ts';

const key = jsonKey;
const value = Type.String({ description: 'Text, or base64 where encoding says so.' });
const conditions = { ifMatch: Type.Optional(ifMatch), ifNoneMatch: Type.Optional(ifNoneMatch) };
const bytesFields = {
  value,
  encoding: Type.Optional(encoding),
  contentType: Type.Optional(contentType),
  ttl: Type.Optional(ttl),
};
export const jsonInteger = Type.Union(
  [
    Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
    Type.String({ pattern: '^-?(0|[1-9][0-9]{0,17})$' }),
  ],
  { description: 'Signed 64 bits; as text where it is past 2^53.' },
);
export const incrementFields = {
  delta: Type.Optional(jsonInteger),
  min: Type.Optional(jsonInteger),
  max: Type.Optional(jsonInteger),
  ttl: Type.Optional(ttl),
};

export const get = named('GetOperation', closed({ op: wordOf(['get']), key }));
export const put = named('PutOperation', closed({ op: wordOf(['put']), key, ...bytesFields, ...conditions }));
export const remove = named('DeleteOperation', closed({ op: wordOf(['delete']), key, ...conditions }));
export const increment = named(
  'IncrementOperation',
  closed({ op: wordOf(['increment']), key, ...incrementFields, ...conditions }),
);
export const append = named('AppendOperation', closed({ op: wordOf(['append']), key, ...bytesFields, ...conditions }));
export const mergePatch = named(
  'MergePatchOperation',
  closed({
    op: wordOf(['mergePatch']),
    key,
    patch: Type.Unknown({ description: 'Any JSON, at most 64 levels deep.' }),
    ttl: Type.Optional(ttl),
    ...conditions,
  }),
);
export const touch = named('TouchOperation', closed({ op: wordOf(['touch']), key, ttl, ...conditions }));
export const check = named('TransactionCheck', closed({ key, ...conditions }));
