// The settings that every process and command of a cluster has: which NATS servers, which cluster, and how one
// proves who one is. Secrets may stand in files, and are never shown.
import { readFileSync } from 'node:fs';
import type { NatsConnectOptions, NatsStatus } from '@statestore/cluster';
import { checkClusterName } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Setting, SettingsOf } from './settings.ts';

/** Text that passes a check that throws. */
export function accepted(check: (text: string) => void): z.ZodType<string, string> {
  return z.string().refine((text) => {
    try {
      check(text);
      return true;
    } catch (error) {
      if (error instanceof StateStoreError) return false;
      throw error;
    }
  });
}

const natsUrl = /^(nats|tls):\/\/(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]+):\d{1,5}$/;

const natsUrls = z
  .string()
  .transform((text) => text.split(',').map((url) => url.trim()))
  .refine((urls) => urls.length > 0 && urls.every((url) => natsUrl.test(url)));

/** A secret as it stands, or the first line of a file of one. */
function readSecret(text: string, context: z.RefinementCtx): string {
  if (!text.startsWith('@')) return text;
  try {
    const [line = ''] = readFileSync(text.slice(1), 'utf8').split(/\r?\n/);
    if (line !== '') return line;
  } catch {
    // Told below, without what was given: it may be a secret that begins with @.
  }
  context.addIssue({ code: 'custom', message: 'no such file' });
  return '';
}

export function secret(help: string): Setting<string | undefined> {
  return {
    schema: z.string().min(1).transform(readSecret).optional(),
    allowed: 'the secret itself, or @PATH of a file whose first line it is',
    help,
    secret: true,
  };
}

function file(help: string): Setting<string | undefined> {
  return {
    schema: z
      .string()
      .refine((path) => canRead(path))
      .optional(),
    allowed: 'the path of a file that this process can read',
    help,
  };
}

function canRead(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

const clusterName: Setting<string> = {
  schema: accepted(checkClusterName).default('statestore'),
  allowed: '1 to 32 of a-z, 0-9 and -, not at its ends',
  help: 'the name of the cluster; several may share NATS servers',
  fallback: 'statestore',
};

const natsServers = {
  allowed: 'nats://host:port or tls://host:port, without a user; several with commas between',
  help: 'the NATS servers of the cluster',
};

const logReplicas: Setting<number> = {
  schema: z.enum(['1', '3', '5']).default('3').transform(Number),
  allowed: '1, 3, 5; not more than there are NATS servers',
  help: 'copies inside NATS of logs and of what the cluster knows of itself, where they are made',
  fallback: '3',
};

/** Beside `nats` and `cluster`. */
const proofs = {
  natsUser: { schema: z.string().min(1).optional(), allowed: 'a user name', help: 'user at NATS' },
  natsPassword: secret('password of that user'),
  natsToken: secret('token at NATS'),
  natsCreds: file('credentials file of NATS (a .creds file)'),
  natsTlsCa: file('certificates (PEM) that those of the NATS servers are checked against'),
  natsTlsCert: file('certificate (PEM) shown to the NATS servers'),
  natsTlsKey: file('its key (PEM)'),
} satisfies Record<string, Setting<string | undefined>>;

/** Of commands that have nothing to do without a cluster. */
export const clusterSettings = {
  nats: {
    ...natsServers,
    schema: natsUrls.prefault('nats://127.0.0.1:4222'),
    fallback: 'nats://127.0.0.1:4222',
  } satisfies Setting<string[]>,
  cluster: clusterName,
  logReplicas,
  ...proofs,
};

/** Of commands that are part of a cluster where `nats` is given. */
export const membershipSettings = {
  nats: {
    ...natsServers,
    schema: natsUrls.optional(),
    help: 'the NATS servers of the cluster to be part of',
    fallback: 'none: no cluster',
  } satisfies Setting<string[] | undefined>,
  cluster: { ...clusterName, onlyWith: 'nats' },
  logReplicas: { ...logReplicas, onlyWith: 'nats' },
  ...onlyWithNats(proofs),
};

function onlyWithNats<Table extends Record<string, Setting<string | undefined>>>(table: Table): Table {
  return Object.fromEntries(
    Object.entries(table).map(([name, setting]) => [name, { ...setting, onlyWith: 'nats' }]),
  ) as unknown as Table;
}

type Proofs = SettingsOf<typeof proofs>;

/** What `connectNats` is told of the servers. Throws `invalid_settings` where one setting needs another. */
export function natsOptions(servers: readonly string[], settings: Proofs): Omit<NatsConnectOptions, 'name'> {
  const { natsUser: user, natsPassword: pass, natsToken: token, natsCreds: credsFile } = settings;
  const { natsTlsCa: caFile, natsTlsCert: certFile, natsTlsKey: keyFile } = settings;
  need('nats-user', user, 'nats-password', pass);
  need('nats-tls-cert', certFile, 'nats-tls-key', keyFile);
  const tls = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
  const encrypted = Object.keys(tls).length > 0 || servers.some((url) => url.startsWith('tls:'));
  return {
    servers,
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    ...(credsFile === undefined ? {} : { credsFile }),
    ...(encrypted ? { tls } : {}),
  };
}

/* oxlint-disable-next-line max-params -- two names, two values */
function need(one: string, a: string | undefined, other: string, b: string | undefined): void {
  if ((a === undefined) === (b === undefined)) return;
  const [given, missing] = a === undefined ? [other, one] : [one, other];
  throw new StateStoreError('invalid_settings', `--${given} is given, but --${missing} is not; they need each other`);
}

/** Logs what becomes of the connection. */
export function logNats(log: Logger): (status: NatsStatus) => void {
  return (status) => {
    switch (status.kind) {
      case 'connected':
        log.info({ server: status.server }, 'connected to NATS');
        break;
      case 'disconnected':
        log.warn({ server: status.server }, 'lost the connection to NATS');
        break;
      case 'waiting':
        log.warn({ cause: String(status.cause) }, 'NATS cannot be reached; trying again');
        break;
      case 'error':
        log.warn({ cause: String(status.cause) }, 'NATS complains');
        break;
    }
  };
}
