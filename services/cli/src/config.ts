// The settings of each service command: one table each. docs and --help are made of them.
import { checkNodeName } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import { hostname } from 'node:os';
import { z } from 'zod';
import { checkpointSettings } from './checkpoint-settings.ts';
import { accepted, membershipSettings, secret } from './cluster-settings.ts';
import type { Setting, SettingsOf } from './settings.ts';
import { wholeNumber } from './settings.ts';

const address = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]+):\d{1,5}$/)
  .refine((text) => isPort(Number(text.slice(text.lastIndexOf(':') + 1))));
const addressAllowed = 'host:port, with a port of 1 to 65535';

const isPort = (n: number): boolean => n >= 1 && n <= 65_535;

const port = (fallback: number, help: string): Setting<number> => ({
  schema: wholeNumber(0, 65_535).default(fallback),
  allowed: '0 to 65535; 0 takes a free one',
  help,
  fallback: String(fallback),
});

const host = (help: string): Setting<string> => ({
  schema: z
    .string()
    .min(1)
    .regex(/^[A-Za-z0-9_.:-]+$/)
    .default('127.0.0.1'),
  allowed: 'an address or host name of this machine; 0.0.0.0 or :: for all',
  help,
  fallback: '127.0.0.1',
});

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const;
const logLevel: Setting<(typeof logLevels)[number]> = {
  schema: z.enum(logLevels).default('info'),
  allowed: logLevels.join(', '),
  help: 'least severity that is logged',
  fallback: 'info',
};

export const storageSettings = {
  data: {
    schema: z.string().min(1).default('./data'),
    allowed: 'a folder that this process can write to; made where it is absent',
    help: 'where the data is',
    fallback: './data',
  } satisfies Setting<string>,
  partitions: {
    schema: wholeNumber(1, limits.embeddedPartitionsMax).optional(),
    allowed: `1 to ${limits.embeddedPartitionsMax}, as when the data was made`,
    help: 'number of partitions of new data',
    fallback: '4, or what the data has',
  } satisfies Setting<number | undefined>,
  engine: {
    schema: z.enum(['lmdb', 'memory']).optional(),
    allowed: 'lmdb, memory; existing data moves over',
    help: 'where partitions keep their entries',
    fallback: 'lmdb, or what the data has',
  } satisfies Setting<'lmdb' | 'memory' | undefined>,
  flushIntervalMs: {
    schema: wholeNumber(1, 60_000).optional(),
    allowed: '1 to 60000 ms',
    help: 'how long applied writes may wait in memory (the log has them) before the engine stores them',
    fallback: String(limits.flushIntervalMs),
  } satisfies Setting<number | undefined>,
};

export const devSettings = {
  host: host('where the HTTP API listens'),
  port: port(8080, 'its port'),
  ...storageSettings,
  ...checkpointSettings,
  logLevel,
};

const zone: Setting<string> = {
  schema: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{0,63}$/)
    .default(''),
  allowed: 'at most 63 of A-Z, a-z, 0-9, -, _ and .',
  help: 'failure domain: a machine, a rack, a zone',
  fallback: 'none',
  onlyWith: 'nats',
};

/** A share of the disk; 5.5 is fine as well. */
function percent(help: string, allowed: string, fallbackShare: number): Setting<number> {
  const fallback = fallbackShare * 100;
  return {
    schema: z
      .string()
      .regex(/^\d{1,2}(\.\d{1,3})?$/)
      .transform(Number)
      .default(fallback),
    allowed,
    help,
    fallback: String(fallback),
  };
}

export const diskSettings = {
  diskLowPercent: percent(
    'free share of the disk below which writes are refused',
    'at most 99.999 %, more than --disk-critical-percent',
    limits.diskLowShare,
  ),
  diskCriticalPercent: percent(
    'free share of the disk below which nothing is applied either',
    'less than --disk-low-percent; 0: never',
    limits.diskCriticalShare,
  ),
};

/** Throws `invalid_settings` where writes would be refused after applying has stopped. */
export function diskBoundsOf({ diskLowPercent: low, diskCriticalPercent: critical }: SettingsOf<typeof diskSettings>) {
  if (low <= critical) {
    throw new StateStoreError(
      'invalid_settings',
      `--disk-low-percent is ${low}, --disk-critical-percent is ${critical}; the first must be more than the second`,
    );
  }
  return { lowShare: low / 100, criticalShare: critical / 100 };
}

const linkToken = secret('what gateways and nodes prove to nodes that they belong to them; the same for all');

const { partitions, ...clusterStorage } = storageSettings;

export const nodeSettings = {
  host: host('where gateways connect'),
  port: port(7070, 'its port'),
  ...clusterStorage,
  partitions: { ...partitions, notWith: 'nats' },
  linkToken,
  ...membershipSettings,
  name: {
    schema: accepted(checkNodeName).default(() => hostname().toLowerCase()),
    allowed: '1 to 63 of a-z, 0-9 and -, not at its ends; the same after a restart',
    help: 'the name of the node in the cluster',
    fallback: 'the host name',
    onlyWith: 'nats',
  } satisfies Setting<string>,
  advertise: {
    schema: address.optional(),
    allowed: addressAllowed,
    help: 'where gateways and other nodes reach it',
    fallback: '--host and --port',
    onlyWith: 'nats',
  } satisfies Setting<string | undefined>,
  zone,
  diskLowPercent: { ...diskSettings.diskLowPercent, onlyWith: 'nats' },
  diskCriticalPercent: { ...diskSettings.diskCriticalPercent, onlyWith: 'nats' },
  metricsHost: host('where /metrics, /healthz and /readyz are'),
  metricsPort: port(9090, 'its port'),
  ...checkpointSettings,
  logLevel,
};

export const gatewaySettings = {
  host: host('where the HTTP API listens'),
  port: port(8080, 'its port'),
  node: {
    schema: address.default('127.0.0.1:7070'),
    allowed: addressAllowed,
    help: 'the node to route to',
    fallback: '127.0.0.1:7070',
    notWith: 'nats',
  } satisfies Setting<string>,
  cursorKey: {
    schema: z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=$/)
      .optional(),
    allowed: '32 bytes in base64, the same for all gateways',
    help: 'what cursors are signed with',
    fallback: 'a random one',
    notWith: 'nats',
    secret: true,
  } satisfies Setting<string | undefined>,
  linkToken,
  ...membershipSettings,
  zone,
  logLevel,
};
