// What the commands have in common that look at a cluster or change it: they connect within a while or give up,
// stop when interrupted, and close what they opened.
import { makeLog } from '../running.ts';
import type { clusterSettings } from '../cluster-settings.ts';
import type { SettingsOf } from '../settings.ts';
import type { ClusterConnection } from './connect.ts';
import { connectCluster } from './connect.ts';

const connectTimeoutMs = 15_000;

/** Rejects with `unavailable` where NATS cannot be reached in time. `signal`: SIGINT or SIGTERM arrived. */
export async function withCluster(
  settings: SettingsOf<typeof clusterSettings>,
  command: string,
  work: (connection: ClusterConnection, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = (): void => {
    // The second time, whatever it is that does not end.
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    const connection = await connectCluster(settings, {
      name: `statestore-${command}`,
      log: makeLog('error', 'statestore'),
      waitMs: connectTimeoutMs,
      signal: interrupted.signal,
    });
    try {
      await work(connection, interrupted.signal);
    } finally {
      await connection.close();
    }
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}
