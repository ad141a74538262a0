// Opens the node of one process with its own journal, as `statestore dev` and `statestore node` without a
// cluster have it.
import { resolve } from 'node:path';
import type { EmbeddedNode, JournalHold } from '@statestore/node';
import { openEmbeddedNode } from '@statestore/node';
import type { Logger } from 'pino';
import type { storageSettings } from './config.ts';
import { exitOnHalt } from './running.ts';
import type { SettingsOf } from './settings.ts';
import { version } from './version.ts';

/** As openEmbeddedNode; the process ends where a partition halts. `archive`: where its logs are archived. */
export function openEmbedded(
  settings: SettingsOf<typeof storageSettings>,
  log: Logger,
  archive?: JournalHold,
): Promise<EmbeddedNode> {
  const { data, partitions, engine, flushIntervalMs } = settings;
  return openEmbeddedNode({
    dataPath: resolve(data),
    version,
    archive,
    onHalted: exitOnHalt(log),
    onNotice: (notice, details) => log.warn(details, notice),
    ...(partitions === undefined ? {} : { partitions }),
    ...(engine === undefined ? {} : { engine }),
    ...(flushIntervalMs === undefined ? {} : { flushIntervalMs }),
  });
}
