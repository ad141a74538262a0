// The body of an answer of S3-compatible storage, in memory: as long as it says to be, and of the hash that was
// stored beside it. The SDK hands it out as a stream, after which it looks at nothing any more.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { limits, StateStoreError } from '@statestore/core';
import { DamagedAnswer } from './s3-failure.ts';

/** Metadata of each object that this package writes: SHA-256 of its content, in hex. Other objects have none. */
export const hashMetadata = 'statestore-sha256';

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

interface Answer {
  readonly Body?: unknown;
  readonly ContentLength?: number | undefined;
  readonly Metadata?: Readonly<Record<string, string>> | undefined;
}

/** Throws DamagedAnswer, `data_corrupt` where it is larger than any object, the connection's error, or the signal's reason. */
export async function readBody(answer: Answer, signal: AbortSignal): Promise<Uint8Array> {
  const { Body: body, ContentLength: said, Metadata: metadata } = answer;
  if (!(body instanceof Readable)) throw new DamagedAnswer('an answer without a body');
  const stop = (): void => void body.destroy(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    const bytes = await collect(body, said);
    if (said !== undefined && bytes.length !== said) {
      throw new DamagedAnswer(`${bytes.length} bytes came of ${said}`);
    }
    const hash = metadata?.[hashMetadata];
    if (hash !== undefined && hash !== hashOf(bytes)) {
      throw new DamagedAnswer('what came has another SHA-256 than what was stored');
    }
    return bytes;
  } finally {
    signal.removeEventListener('abort', stop);
    body.destroy();
  }
}

async function collect(body: Readable, said: number | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const check = (bytes: number): void => {
    if (bytes <= limits.repositoryObjectBytesMax) return;
    throw new StateStoreError(
      'data_corrupt',
      `an object has ${bytes} bytes or more; it may have ${limits.repositoryObjectBytesMax}`,
    );
  };
  check(said ?? 0);
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      check(length);
      chunks.push(chunk);
    }
  } catch (error) {
    // The connection's errors have a code; what has none comes of a checksum that the SDK compared.
    if (error instanceof Error && !('code' in error)) throw new DamagedAnswer(error.message, { cause: error });
    throw error;
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
}
