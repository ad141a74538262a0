// What JetStream's answer to a publish says of the message. The order of things inside nats-server 2.15
// (stream.go, jetstream_cluster.go, jetstream_batching.go) decides: what is answered before the message is
// proposed to the stream's Raft group says that it is not in the log. All else may be.
import type { Msg } from '@statestore/cluster';
import { headerStatus, headerText, streamErrors } from '@statestore/cluster';
import type { AppendOutcome } from './log.ts';

export type PublishAnswer =
  | { readonly kind: 'stored'; readonly position: bigint }
  /** This attempt put nothing into the log. `passes`: the next one may. */
  | {
      readonly kind: 'refused';
      readonly reason: Extract<AppendOutcome, { kind: 'refused' }>['reason'];
      readonly passes: boolean;
      readonly cause: unknown;
    }
  /** It may be in the log, or be so soon. */
  | { readonly kind: 'unclear'; readonly cause: unknown };

interface Acknowledgement {
  readonly seq?: number;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** err_code → why, for what is said before anything is proposed. */
const refusals: ReadonlyMap<number, Pick<Extract<PublishAnswer, { kind: 'refused' }>, 'reason' | 'passes'>> = new Map([
  // The stream's ingest queue is full.
  [10167, { reason: 'overloaded', passes: true }],
  // Its leader steps down with that: the next one may have room.
  [streamErrors.insufficientResources, { reason: 'disk_full', passes: true }],
  [streamErrors.accountExceeded, { reason: 'disk_full', passes: true }],
  [streamErrors.memoryExceeded, { reason: 'disk_full', passes: true }],
  [streamErrors.storageExceeded, { reason: 'disk_full', passes: true }],
  // Message, or its headers, larger than the stream takes.
  [10054, { reason: 'too_large', passes: false }],
  [10097, { reason: 'too_large', passes: false }],
  // Another stream listens to the subject; the stream is sealed; JetStream is off, or off for this account.
  [10060, { reason: 'unavailable', passes: false }],
  [10109, { reason: 'unavailable', passes: false }],
  [10076, { reason: 'unavailable', passes: true }],
  [10039, { reason: 'unavailable', passes: true }],
]);

/**
 * Among the unclear: 10158, an earlier copy is being stored; 10077, which also says that the store of a
 * server that ends was closed under a message that was agreed on; 10063, said when it is applied.
 */
export function publishAnswer(message: Msg): PublishAnswer {
  const status = headerStatus(headerText(message));
  // Nobody listens: the stream has no leader now, or is not there.
  if (status === 503 && message.data.length === 0) {
    return { kind: 'refused', reason: 'unavailable', passes: true, cause: new Error('the log has no leader') };
  }
  const { seq, error } = acknowledgementOf(message);
  if (error === undefined) {
    if (typeof seq === 'number' && seq > 0) return { kind: 'stored', position: BigInt(seq) };
    return { kind: 'unclear', cause: new Error('JetStream answered, and did not say where') };
  }
  const cause = new Error(`JetStream: ${error.description} (${error.err_code})`);
  const refusal = refusals.get(error.err_code ?? 0);
  return refusal === undefined ? { kind: 'unclear', cause } : { kind: 'refused', ...refusal, cause };
}

function acknowledgementOf(message: Msg): Acknowledgement {
  try {
    return message.json<Acknowledgement | null>() ?? {};
  } catch {
    return {};
  }
}
