import type { Msg } from '@statestore/cluster';
import { MsgImpl } from '@nats-io/nats-core/internal';
import { expect, test } from 'vitest';
import { publishAnswer } from './jetstream-answer.ts';

function answer(body: string, head = ''): Msg {
  const bytes = Buffer.from(head + body);
  const hdr = head === '' ? -1 : head.length;
  return new MsgImpl(
    { subject: Buffer.from('inbox.1'), sid: 1, hdr, size: bytes.length },
    bytes,
    undefined as never,
  ) as Msg;
}

function error(code: number, err_code: number): string {
  return JSON.stringify({ error: { code, err_code, description: 'so it is' }, stream: 'log', seq: 0 });
}

test.each([
  ['{"stream":"log", "seq":7}', 7n],
  ['{"stream":"log", "seq":7,"duplicate": true}', 7n],
  ['{"stream":"log","domain":"hub","seq":9007199254740991}', 9007199254740991n],
])('%s is stored', (body, position) => {
  expect(publishAnswer(answer(body))).toEqual({ kind: 'stored', position });
});

test.each([
  [503, 10023, 'disk_full', true],
  [503, 10047, 'disk_full', true],
  [400, 10002, 'disk_full', true],
  [429, 10167, 'overloaded', true],
  [400, 10054, 'too_large', false],
  [400, 10060, 'unavailable', false],
  [400, 10109, 'unavailable', false],
] as const)('error %d/%d is a refusal: %s', (code, errorCode, reason, passes) => {
  expect(publishAnswer(answer(error(code, errorCode)))).toMatchObject({ kind: 'refused', reason, passes });
});

test('an overfull stream says so with a status too', () => {
  const head = 'NATS/1.0 429 Too Many Requests\r\n\r\n';
  expect(publishAnswer(answer(error(429, 10167), head))).toMatchObject({ kind: 'refused', reason: 'overloaded' });
});

test('that nobody listens is a refusal that passes', () => {
  expect(publishAnswer(answer('', 'NATS/1.0 503\r\n\r\n'))).toMatchObject({
    kind: 'refused',
    reason: 'unavailable',
    passes: true,
  });
});

test.each([
  ['a copy of it being stored', error(409, 10158)],
  ['a store that was closed under it', error(503, 10077)],
  ['a sequence that does not match', error(503, 10063)],
  ['an error that is not known', error(500, 12345)],
  ['an error without a number', '{"error":{"code":500}}'],
  ['no sequence', '{"stream":"log"}'],
  ['sequence 0', '{"stream":"log","seq":0}'],
  ['no JSON', 'hello'],
  ['null', 'null'],
  ['nothing', ''],
])('%s says nothing', (_, body) => {
  expect(publishAnswer(answer(body)).kind).toBe('unclear');
});
