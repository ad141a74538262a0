// The settings of each service command: one table each. docs and --help are made of them.
import { limits } from '@statestore/core';
import { z } from 'zod';
import type { Setting } from './settings.ts';
import { wholeNumber } from './settings.ts';

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
  logLevel,
};

export const nodeSettings = {
  host: host('where gateways connect'),
  port: port(7070, 'its port'),
  ...storageSettings,
  logLevel,
};

export const gatewaySettings = {
  host: host('where the HTTP API listens'),
  port: port(8080, 'its port'),
  node: {
    schema: z
      .string()
      .regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]+):\d{1,5}$/)
      .refine((address) => isPort(Number(address.slice(address.lastIndexOf(':') + 1))))
      .default('127.0.0.1:7070'),
    allowed: 'host:port, with a port of 1 to 65535',
    help: 'the node to route to',
    fallback: '127.0.0.1:7070',
  } satisfies Setting<string>,
  cursorKey: {
    schema: z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=$/)
      .optional(),
    allowed: '32 bytes in base64, the same for all gateways',
    help: 'what cursors are signed with',
    fallback: 'a random one',
  } satisfies Setting<string | undefined>,
  logLevel,
};
