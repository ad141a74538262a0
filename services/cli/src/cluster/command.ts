// What the commands have in common that look at a cluster or change it: they connect within a while or give up,
// stop when interrupted, and close what they opened.
import { makeLog, stopSignal } from '../running.ts';
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
  const interrupted = stopSignal();
  const connection = await connectCluster(settings, {
    name: `statestore-${command}`,
    log: makeLog('error', 'statestore'),
    waitMs: connectTimeoutMs,
    signal: interrupted,
  });
  try {
    await work(connection, interrupted);
  } finally {
    await connection.close();
  }
}
