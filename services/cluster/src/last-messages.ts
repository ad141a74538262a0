// Reads the last message of each of many subjects at once, from whichever server of the stream answers.
// One request answers at most 1024 of them and some 64 MiB: what is left is asked for again.
import type { StoredMsg } from '@nats-io/jetstream';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { StateStoreError, limits } from '@statestore/core';

/** Calls for each message, in the order of the stream. Rejects where the answer did not come whole. */
export async function readLast(
  nc: NatsConnection,
  stream: string,
  subjects: string,
  onMessage: (message: StoredMsg) => void,
): Promise<void> {
  const timeout = limits.bucketRequestTimeoutMs;
  const { direct } = await jetstreamManager(nc, { timeout, checkAPI: false });
  for (let from: number | undefined = 1; from !== undefined;) {
    const request = { multi_last: [subjects], seq: from };
    const messages = await direct.getLastMessagesFor(stream, request);
    // The library ends by the last message, which never comes where the server went meanwhile.
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      messages.stop();
    }, timeout);
    let last: StoredMsg | undefined;
    try {
      for await (const message of messages) {
        onMessage(message);
        last = message;
      }
    } finally {
      clearTimeout(deadline);
    }
    if (late)
      throw new StateStoreError('unavailable', `the stream ${stream} did not answer in whole within ${timeout} ms`);
    from = last !== undefined && last.pending > 0 ? last.seq + 1 : undefined;
  }
}
