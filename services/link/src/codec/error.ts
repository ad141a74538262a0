// StateStoreErrors on the link: everything a caller may judge or show survives; `cause` stays where it
// happened.
import { binaryFromText, errorKinds, isErrorCode, StateStoreError, textFromBinary } from '@statestore/core';
import { WireReader, type WireWriter } from '@statestore/core/wire';
import { amount, eachField, encodeMessage } from './message.ts';

export function encodeError(error: StateStoreError): Uint8Array {
  return encodeMessage(writeError, error);
}

function writeError(w: WireWriter, error: StateStoreError): void {
  if (error.extra !== undefined) w.binary(5, binaryFromText(JSON.stringify(error.extra)));
  if (error.retryAfterMs !== undefined) w.presentUint(4, amount(error.retryAfterMs));
  if (error.hint !== undefined) w.binary(3, binaryFromText(error.hint));
  w.binary(2, binaryFromText(error.message));
  w.binary(1, binaryFromText(error.code));
}

/** A code that this version does not know becomes `internal`, named in the message. */
export function decodeError(bytes: Uint8Array): StateStoreError {
  const r = new WireReader(bytes);
  let code = '';
  let message = '';
  let hint: string | undefined;
  let retryAfterMs: number | undefined;
  let extra: Record<string, unknown> | undefined;
  eachField(r, (field) => {
    if (field === 1) code = textFromBinary(r.binary());
    else if (field === 2) message = textFromBinary(r.binary());
    else if (field === 3) hint = textFromBinary(r.binary());
    else if (field === 4) retryAfterMs = r.uint();
    else if (field === 5) extra = JSON.parse(textFromBinary(r.binary())) as Record<string, unknown>;
    else r.skip();
  });
  const details = {
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(extra === undefined ? {} : { extra }),
  };
  if (isErrorCode(code)) return new StateStoreError(code, message, details);
  return new StateStoreError(
    'internal',
    `${message} (code '${code}', which is none of the ${Object.keys(errorKinds).length} known here)`,
    details,
  );
}
