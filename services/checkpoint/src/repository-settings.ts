// Which repository, out of settings: a table of options as the commands of the project have them (name, schema, what
// it may be), or one URL for the place and the options for the rest. Everything is checked before anything starts, and
// named where it is wrong, with what it was and what it may be; secrets are not shown.
import { limits, StateStoreError } from '@statestore/core';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { FolderSettings } from './folder-repository.ts';
import type { Repository } from './repository.ts';
import { noUrl, parseRepositoryUrl } from './repository-url.ts';
import type { S3Keys, S3Settings } from './s3-settings.ts';

export type RepositorySettings = FolderSettings | S3Settings;

/** As a command's table of settings has them. */
interface Setting<T> {
  readonly schema: z.ZodType<T>;
  readonly allowed: string;
  readonly help: string;
  readonly fallback?: string;
  readonly secret?: boolean;
  readonly notWith?: string;
}

function wholeNumber(min: number, max: number, fallback: number, help: string): Setting<number> {
  return {
    schema: z
      .string()
      .regex(/^\d{1,9}$/)
      .transform(Number)
      .refine((n) => n >= min && n <= max)
      .default(fallback),
    allowed: `${min} to ${max}`,
    help,
    fallback: String(fallback),
  };
}

function text(pattern: RegExp, allowed: string, help: string): Setting<string | undefined> {
  return { schema: z.string().regex(pattern).optional(), allowed, help };
}

/** A secret as it stands, or the first line of a file of one. */
function secret(help: string): Setting<string | undefined> {
  return {
    schema: z.string().min(1).transform(readSecret).optional(),
    allowed: 'the secret itself, or @PATH of a file whose first line it is',
    help,
    secret: true,
  };
}

function readSecret(given: string, context: z.RefinementCtx): string {
  if (!given.startsWith('@')) return given;
  const line = readText(given.slice(1))?.split(/\r?\n/, 1)[0] ?? '';
  if (line === '') context.addIssue({ code: 'custom', message: 'no such file' });
  return line;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** One that holds none would be a list that trusts nobody. */
function holdsCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

const checksumModes = ['WHEN_REQUIRED', 'WHEN_SUPPORTED'] as const;

function checksums(help: string): Setting<(typeof checksumModes)[number]> {
  return {
    schema: z.enum(checksumModes).default('WHEN_REQUIRED'),
    allowed: checksumModes.join(', '),
    help,
    fallback: 'WHEN_REQUIRED',
  };
}

const isPrefix = (prefix: string): boolean =>
  prefix.length <= limits.repositoryPrefixCharsMax &&
  prefix
    .replace(/\/$/, '')
    .split('/')
    .every((part) => part !== '.' && part !== '..' && /^[A-Za-z0-9._-]+$/.test(part));

/** `http://host:port`, without a user, a path or a query: all that is to be asked follows from the other settings. */
function isEndpoint(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, password, pathname, search, hash } = new URL(url);
  return (
    ['http:', 'https:'].includes(protocol) && [username, password, search, hash].join('') === '' && pathname === '/'
  );
}

const withoutUrl = { notWith: 'repository' } as const;

/** Options of a command, and the variables STATESTORE_REPOSITORY and so on. */
export const repositoryTable = {
  repository: {
    schema: z.string().min(1).optional(),
    allowed: 'file:///PATH or s3://BUCKET/PREFIX, with ?endpoint=…&region=…&forcePathStyle=true where wanted',
    help: 'where checkpoints are kept',
    // A URL may hold a secret by mistake.
    secret: true,
  } satisfies Setting<string | undefined>,
  repositoryType: {
    schema: z.enum(['folder', 's3']).optional(),
    allowed: 'folder, s3',
    help: 'kind of place where checkpoints are kept',
    fallback: 'none: no checkpoints',
    ...withoutUrl,
  } satisfies Setting<'folder' | 's3' | undefined>,
  repositoryPath: {
    schema: z.string().refine(isAbsolute).optional(),
    allowed: 'an absolute path of a folder that this process can write to; made where it is absent',
    help: 'folder of checkpoints',
    ...withoutUrl,
  } satisfies Setting<string | undefined>,
  repositoryBucket: {
    ...text(
      /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/,
      '3 to 63 of a-z, 0-9, ., _ and -',
      'bucket of checkpoints; it must exist',
    ),
    ...withoutUrl,
  },
  repositoryPrefix: {
    schema: z.string().refine(isPrefix).optional(),
    allowed: `parts of A-Z, a-z, 0-9, ., _ and - with / between them, none of them . or .., at most ${limits.repositoryPrefixCharsMax} characters`,
    help: 'what all keys in the bucket begin with',
    fallback: 'none',
    ...withoutUrl,
  } satisfies Setting<string | undefined>,
  repositoryEndpoint: {
    schema: z.string().refine(isEndpoint).optional(),
    allowed: 'http://HOST:PORT or https://HOST:PORT, without a user, a path or a query',
    help: 'S3-compatible server',
    fallback: "Amazon's",
  } satisfies Setting<string | undefined>,
  repositoryRegion: {
    ...text(/^[A-Za-z0-9_-]{1,63}$/, '1 to 63 of A-Z, a-z, 0-9, _ and -', 'region of the bucket'),
    fallback: 'AWS_REGION, the shared configuration; us-east-1 with an endpoint',
  },
  repositoryForcePathStyle: {
    schema: z
      .enum(['true', 'false'])
      .transform((given) => given === 'true')
      .optional(),
    allowed: 'true, false',
    help: 'HOST/BUCKET/…, not BUCKET.HOST/…',
    fallback: 'true with an endpoint',
  } satisfies Setting<boolean | undefined>,
  repositoryAccessKeyId: secret('access key of the bucket'),
  repositorySecretAccessKey: secret('its secret'),
  repositorySessionToken: secret('its session token, where it is a temporary one'),
  repositoryRequestChecksums: checksums('checksums beside the signature on uploads; some servers refuse them'),
  repositoryResponseChecksums: checksums("checks of the server's own checksums on downloads, beside ours"),
  repositoryCa: {
    schema: z
      .string()
      .transform((path, context) => {
        const found = readText(path);
        if (found === undefined || !holdsCertificate(found)) {
          context.addIssue({ code: 'custom', message: 'no such file, or none of certificates' });
        }
        return found ?? '';
      })
      .optional(),
    allowed: 'the path of a file of certificates (PEM) that this process can read',
    help: 'what the certificate of the server is checked against',
    fallback: "those of Node's own list",
  } satisfies Setting<string | undefined>,
  repositoryConnectTimeoutMs: wholeNumber(
    1,
    limits.repositoryTimeoutMsMax,
    limits.repositoryConnectTimeoutMs,
    'how long the server may take to accept a connection',
  ),
  repositoryRequestTimeoutMs: wholeNumber(
    1,
    limits.repositoryTimeoutMsMax,
    limits.repositoryRequestTimeoutMs,
    'how long one attempt of a request may take, its bodies with it',
  ),
  repositoryAttempts: wholeNumber(
    1,
    limits.repositoryAttemptsMax,
    limits.repositoryAttemptsDefault,
    'attempts of one request',
  ),
  repositoryConcurrency: wholeNumber(
    1,
    limits.repositoryConcurrencyMax,
    limits.repositoryConcurrencyDefault,
    'requests, or files, at a time',
  ),
};

export type RepositoryTable = typeof repositoryTable;
/** As a command reads them. */
export type GivenRepository = {
  readonly [Name in keyof RepositoryTable]: z.output<RepositoryTable[Name]['schema']>;
};
type Place = Pick<GivenRepository, 'repositoryType' | 'repositoryPath' | 'repositoryBucket' | 'repositoryPrefix'> &
  Pick<GivenRepository, 'repositoryEndpoint' | 'repositoryRegion' | 'repositoryForcePathStyle'>;

/** Undefined: none is wanted. Throws `invalid_settings`. */
export function repositoryFrom(given: GivenRepository): RepositorySettings | undefined {
  const place = given.repository === undefined ? given : { ...given, ...placeOf(given.repository, given) };
  switch (place.repositoryType) {
    case undefined:
      refuseAll(place, ['repositoryPath', 'repositoryBucket'], 'without --repository-type');
      return undefined;
    case 'folder':
      refuseAll(place, [...onlyS3, 'repositoryBucket', 'repositoryPrefix'], 'with a folder');
      return {
        type: 'folder',
        path: needed(place.repositoryPath, 'repositoryPath'),
        concurrency: given.repositoryConcurrency,
      };
    case 's3':
      refuseAll(place, ['repositoryPath'], 'with S3');
      return s3From(place);
  }
}

/** For a process that is told one URL and has no options: everything else as where none is given. */
export function repositoryFromUrl(url: string, more: Readonly<Record<string, string>> = {}): RepositorySettings {
  const parsed = Object.entries(repositoryTable).map(([name, rule]): [string, unknown] => {
    const found = name === 'repository' ? url : more[name];
    const { data, success } = rule.schema.safeParse(found);
    if (!success) throw bad(name, rule, found);
    return [name, data];
  });
  const settings = repositoryFrom(Object.fromEntries(parsed) as unknown as GivenRepository);
  if (settings === undefined) throw noUrl(repositoryTable.repository.allowed);
  return settings;
}

/** Nothing is tried yet: `Repository.probe` does. */
export async function openRepository(settings: RepositorySettings): Promise<Repository> {
  if (settings.type === 'folder') return (await import('./folder-repository.ts')).FolderRepository.open(settings);
  return new (await import('./s3-repository.ts')).S3Repository(settings);
}

const onlyS3 = [
  'repositoryEndpoint',
  'repositoryRegion',
  'repositoryForcePathStyle',
  'repositoryAccessKeyId',
  'repositorySecretAccessKey',
  'repositorySessionToken',
  'repositoryCa',
] as const;

function s3From(place: GivenRepository): S3Settings {
  const { repositoryPrefix: prefix = '', repositoryEndpoint: endpoint } = place;
  return {
    type: 's3',
    bucket: needed(place.repositoryBucket, 'repositoryBucket'),
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
    endpoint,
    region: place.repositoryRegion,
    forcePathStyle: place.repositoryForcePathStyle ?? endpoint !== undefined,
    keys: keysFrom(place),
    requestChecksumCalculation: place.repositoryRequestChecksums,
    responseChecksumValidation: place.repositoryResponseChecksums,
    connectTimeoutMs: place.repositoryConnectTimeoutMs,
    requestTimeoutMs: place.repositoryRequestTimeoutMs,
    attempts: place.repositoryAttempts,
    concurrency: place.repositoryConcurrency,
    ca: place.repositoryCa,
  };
}

function keysFrom(given: GivenRepository): S3Keys | undefined {
  const {
    repositoryAccessKeyId: accessKeyId,
    repositorySecretAccessKey: secretAccessKey,
    repositorySessionToken: sessionToken,
  } = given;
  if (accessKeyId === undefined && secretAccessKey === undefined) {
    refuseAll(given, ['repositorySessionToken'], 'without --repository-access-key-id');
    return undefined;
  }
  return {
    accessKeyId: needed(accessKeyId, 'repositoryAccessKeyId'),
    secretAccessKey: needed(secretAccessKey, 'repositorySecretAccessKey'),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
}

/** The URL's part of the settings, checked as if each of them had been given by itself. */
function placeOf(url: string, given: GivenRepository): Partial<Place> {
  const said = parseRepositoryUrl(url, repositoryTable.repository.allowed);
  const { repositoryPath: _, ...rest } = repositoryTable;
  const place: Record<string, unknown> = { repositoryType: said.type };
  if (said.type === 'folder') return { repositoryType: 'folder', repositoryPath: fileURLToPath(said.url) };
  for (const [name, value] of said.values) {
    if (!isNameOf(rest, name)) continue;
    if (name !== 'repositoryBucket' && name !== 'repositoryPrefix' && given[name] !== undefined) {
      throw new StateStoreError('invalid_settings', `--${optionOf(name)} is given, and --repository says it as well`);
    }
    const parsed = rest[name].schema.safeParse(value);
    if (!parsed.success) throw bad(name, rest[name], value);
    place[name] = parsed.data;
  }
  return place;
}

function isNameOf<Table extends object>(table: Table, name: string): name is Extract<keyof Table, string> {
  return Object.hasOwn(table, name);
}

function optionOf(setting: string): string {
  return setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function needed(value: string | undefined, name: keyof RepositoryTable): string {
  if (value !== undefined) return value;
  throw new StateStoreError(
    'invalid_settings',
    `--${optionOf(name)} is missing; it may be ${repositoryTable[name].allowed}`,
  );
}

function refuseAll(given: GivenRepository, names: readonly (keyof RepositoryTable)[], where: string): void {
  const wrong = names.find((name) => given[name] !== undefined);
  if (wrong === undefined) return;
  throw new StateStoreError('invalid_settings', `--${optionOf(wrong)} is set, but means nothing ${where}`);
}

function bad(name: string, { allowed, secret: isSecret = false }: Setting<unknown>, was: string | undefined) {
  const shown = isSecret ? 'not right' : JSON.stringify(was ?? null);
  return new StateStoreError('invalid_settings', `--${optionOf(name)} is ${shown}; it may be ${allowed}`);
}
