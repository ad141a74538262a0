// Credit of a stream: the receiver took items of so many bytes, and as many more may be sent.
import { WireReader } from '@statestore/core/wire';
import { eachField, encodeMessage } from './message.ts';

export function encodeCredit(bytes: number): Uint8Array {
  return encodeMessage((w, value) => w.uint(1, value), bytes);
}

export function decodeCredit(bytes: Uint8Array): number {
  const r = new WireReader(bytes);
  let credit = 0;
  eachField(r, (field) => {
    if (field === 1) credit = r.uint();
    else r.skip();
  });
  return credit;
}
