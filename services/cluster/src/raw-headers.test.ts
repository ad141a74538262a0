import { headers, MsgImpl, Parser } from '@nats-io/nats-core/internal';
import type { Msg, MsgHdrs, MsgHdrsImpl, ParserEvent } from '@nats-io/nats-core/internal';
import { expect, test } from 'vitest';
import { headersToSend, headerStatus, headerText, headerValue } from './raw-headers.ts';

/** As nats.js reads it from the wire, in two pieces. */
function received(head: Uint8Array, body: string): Msg {
  const got: MsgImpl[] = [];
  const parser = new Parser({
    push: (event) => {
      const { msg, data } = event as ParserEvent;
      if (msg !== undefined && data !== undefined) got.push(new MsgImpl(msg, data, undefined as never));
    },
  });
  const line = `HMSG a.b 1 c.d ${head.length} ${head.length + body.length}\r\n`;
  const frame = Buffer.concat([Buffer.from(line), head, Buffer.from(`${body}\r\n`)]);
  parser.parse(frame.subarray(0, 20));
  parser.parse(frame.subarray(20));
  return got[0] as Msg;
}

function encoded(some: MsgHdrs): Uint8Array {
  return (some as MsgHdrsImpl).encode();
}

test('what is sent is what nats.js would send, and is read back by both', () => {
  const theirs = headers();
  theirs.set('Nats-Msg-Id', 'abc.1');
  theirs.set('Nats-Expected-Stream', 'log');
  const ours = encoded(headersToSend('Nats-Msg-Id: abc.1\r\nNats-Expected-Stream: log\r\n'));
  expect(Buffer.compare(ours, encoded(theirs))).toBe(0);
  const message = received(ours, 'body');
  expect(message.headers?.get('Nats-Msg-Id')).toBe('abc.1');
  const text = headerText(message);
  expect(headerValue(text, 'Nats-Msg-Id')).toBe('abc.1');
  expect(headerValue(text, 'Nats-Expected-Stream')).toBe('log');
  expect(headerValue(text, 'Msg-Id')).toBe('');
  expect(headerStatus(text)).toBe(0);
  expect(Buffer.from(message.data).toString()).toBe('body');
});

test('a status is read, with and without words', () => {
  expect(headerStatus(headerText(received(Buffer.from('NATS/1.0 503\r\n\r\n'), '')))).toBe(503);
  const text = headerText(received(Buffer.from('NATS/1.0 204 EOB\r\nNats-Num-Pending: 7\r\n\r\n'), ''));
  expect(headerStatus(text)).toBe(204);
  expect(headerValue(text, 'Nats-Num-Pending')).toBe('7');
});

test('a message without headers has none', () => {
  const message = received(Buffer.from('NATS/1.0\r\n\r\n'), 'x');
  expect(headerText(message)).toBe('NATS/1.0\r\n\r\n');
  const plain = new MsgImpl(
    { subject: Buffer.from('a'), sid: 1, hdr: -1, size: 1 },
    Buffer.from('x'),
    undefined as never,
  );
  expect(headerText(plain as Msg)).toBe('');
});
