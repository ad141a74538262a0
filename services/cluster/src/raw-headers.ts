// Headers of NATS messages as the text that travels. nats.js makes an object of them: 5 µs a message to read
// and 5 to write, where the text takes 0.6 and 0.3; a node reads and writes thousands each second.
import { Buffer } from 'node:buffer';
import { MsgHdrsImpl, MsgImpl } from '@nats-io/nats-core/internal';
import type { Msg, MsgHdrs } from '@nats-io/transport-node';

class RawHeaders extends MsgHdrsImpl {
  readonly #text: string;

  constructor(text: string) {
    super();
    this.#text = text;
  }

  override encode(): Uint8Array {
    return Buffer.from(this.#text, 'latin1');
  }
}

/** `lines`: each one `Name: value\r\n`, of Latin-1. Only to be sent: nothing else of it says what it has. */
export function headersToSend(lines: string): MsgHdrs {
  return new RawHeaders(`NATS/1.0\r\n${lines}\r\n`);
}

/** As received: a first line with a status perhaps, then a line each. Empty where there are none. */
export function headerText(message: Msg): string {
  if (!(message instanceof MsgImpl)) throw new TypeError('the message is not of nats.js');
  const { _rdata: bytes, _msg: head } = message;
  if (head.hdr <= 0) return '';
  return Buffer.from(bytes.buffer, bytes.byteOffset, head.hdr).toString('latin1');
}

/** Value of the first header of this name, exactly so written; empty where there is none. */
export function headerValue(text: string, name: string): string {
  const found = text.indexOf(`\r\n${name}: `);
  if (found === -1) return '';
  const start = found + name.length + 4;
  return text.slice(start, text.indexOf('\r\n', start));
}

/** Status of a message that is one, as 503; 0 otherwise. */
export function headerStatus(text: string): number {
  return text.startsWith('NATS/1.0 ') ? Number(text.slice(9, 12)) : 0;
}
