// A message of JetStream as a record of the log: as the stream's leader tells it when it stored it, or as
// a copy reads it back. Both carry where it is, when it was stored and under which subject; the subject has
// the log's incarnation in it, so that no record of another log is ever taken for one of this.
import type { Msg } from '@statestore/cluster';
import { headerValue } from '@statestore/cluster';
import type { LogRecord } from './log.ts';

export interface FoundRecord {
  readonly record: LogRecord;
  /** Nats-Msg-Id, that its append gave it. */
  readonly id: string;
}

/** Undefined where it is no record of the log with this subject. `head`: text of its headers. */
export function foundRecord(message: Msg, head: string, subject: string): FoundRecord | undefined {
  if (headerValue(head, 'Nats-Subject') !== subject) return undefined;
  const sequence = headerValue(head, 'Nats-Sequence');
  const timestampNanos = nanosOf(headerValue(head, 'Nats-Time-Stamp'));
  // Whoever may publish can say anything on a subject of core NATS.
  if (!/^[1-9]\d{0,18}$/.test(sequence) || timestampNanos === undefined) return undefined;
  return {
    record: { position: BigInt(sequence), timestampNanos, bytes: message.data },
    id: headerValue(head, 'Nats-Msg-Id'),
  };
}

const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const secondsChars = '2006-01-02T15:04:05'.length;

/** Of RFC 3339 in UTC, with up to nine digits of a second's fraction, without its last zeros; undefined: it is not that. */
export function nanosOf(timestamp: string): bigint | undefined {
  const ms = form.test(timestamp) ? Date.parse(`${timestamp.slice(0, secondsChars)}Z`) : Number.NaN;
  if (Number.isNaN(ms)) return undefined;
  const fraction = timestamp.slice(secondsChars + 1, -1);
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
