// Writing to a client at the client's pace.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** Resolves when the response has room again. Rejects where it was closed or the signal aborts. */
export async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (!response.writableNeedDrain) return;
  await once(response, 'drain', { signal });
}

/** Aborts when the response is closed or `stop` aborts, whichever comes first. */
export function endOf(response: ServerResponse, stop: AbortSignal): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  return AbortSignal.any([gone.signal, stop]);
}
