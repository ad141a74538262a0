// Opening the HTTP port: what fails here is a setting more often than not, and is told like one.
import { StateStoreError } from '@statestore/core';

type Listening = { readonly app: { listen(address: { host: string; port: number }): Promise<string> } };

/** The URL. Throws `unavailable`, with the address in its message. */
export async function listen({ app }: Listening, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    throw portTaken(host, port, cause);
  }
}

export function portTaken(host: string, port: number, cause: unknown): StateStoreError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StateStoreError('unavailable', `cannot listen on ${host}:${port}: ${why}`, {
    cause,
    hint: 'stop whatever listens there, or choose another --port or --host',
  });
}
