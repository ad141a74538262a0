// The settings of `npm run load`, read once and checked by one schema; every bad one is named with
// what it was and what it may be.
import { Command, CommanderError } from 'commander';
import { StateStoreError, limits } from '@statestore/core';
import { z } from 'zod';
import { wholeNumber } from '../settings.ts';
import { formatNames } from './formats.ts';

const httpUrl = z
  .string()
  .refine((text) => URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol))
  .transform((text) => new URL(text).origin);

/** Schema and what is allowed, in words, side by side: the words are what a bad setting is answered with. */
const fields = {
  file: { schema: z.string().min(1), allowed: 'a file, or - for standard input' },
  store: {
    schema: z.string().min(1).max(limits.storeNameCharsMax),
    allowed: `a store name of 1 to ${limits.storeNameCharsMax} characters`,
  },
  url: { schema: httpUrl.default('http://127.0.0.1:8080'), allowed: 'an http or https URL' },
  format: { schema: z.enum(formatNames).optional(), allowed: formatNames.join(', ') },
  key: { schema: z.string().min(1).optional(), allowed: 'the name of a field or column' },
  batch: { schema: wholeNumber(1, limits.batchKeysMax).default(100), allowed: `1 to ${limits.batchKeysMax}` },
  concurrency: {
    schema: wholeNumber(1, limits.loadConcurrencyMax).default(8),
    allowed: `1 to ${limits.loadConcurrencyMax}`,
  },
  prefix: {
    schema: z.string().max(limits.keyBytesMax).default(''),
    allowed: `at most ${limits.keyBytesMax} characters`,
  },
  retryFor: {
    schema: wholeNumber(0, limits.loadRetryForMsMax / 1000).default(60),
    allowed: `0 to ${limits.loadRetryForMsMax / 1000} seconds`,
  },
  verify: { schema: z.boolean().default(false), allowed: 'no value' },
  journal: { schema: z.string().min(1).optional(), allowed: 'a file' },
  json: { schema: z.string().min(1).optional(), allowed: 'a file' },
};

const schema = z.object({
  file: fields.file.schema,
  store: fields.store.schema,
  url: fields.url.schema,
  format: fields.format.schema,
  key: fields.key.schema,
  batch: fields.batch.schema,
  concurrency: fields.concurrency.schema,
  prefix: fields.prefix.schema,
  retryFor: fields.retryFor.schema,
  verify: fields.verify.schema,
  journal: fields.journal.schema,
  json: fields.json.schema,
});

export type LoadSettings = z.infer<typeof schema> & { readonly format: (typeof formatNames)[number] };

function command(): Command {
  return new Command('load')
    .description('Loads entries from a file into a store through the HTTP API.')
    .option('--file <file>', 'what to load; - is standard input')
    .option('--store <name>', 'the store to load into')
    .option('--url <url>', 'where StateStore listens (default http://127.0.0.1:8080)')
    .option('--format <name>', `${formatNames.join(', ')} (default: by the file's name, else ndjson)`)
    .option(
      '--key <field>',
      'where the key is: ndjson a dotted path (default key), tsv a column (default the first),' +
        ' deb822 a field (default Package)',
    )
    .option('--batch <n>', 'entries a call (default 100)')
    .option('--concurrency <n>', 'calls in flight (default 8)')
    .option('--prefix <text>', 'put before every key')
    .option('--retry-for <seconds>', 'how long a call is tried again while the server cannot take it (default 60)')
    .option('--verify', 'afterwards read every key back and compare byte for byte')
    .option('--journal <file>', 'append each acknowledged key with the SHA-256 of its value (NDJSON)')
    .option('--json <file>', 'write the summary as JSON')
    .allowExcessArguments(false);
}

/** Throws `invalid_settings`, naming every bad one; undefined where help was asked for (and printed). */
export function loadSettings(argv: readonly string[]): LoadSettings | undefined {
  const program = command()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  try {
    program.parse(argv, { from: 'user' });
  } catch (cause) {
    if (cause instanceof CommanderError && cause.code === 'commander.helpDisplayed') return undefined;
    throw new StateStoreError('invalid_settings', (cause as Error).message, { cause, hint: 'See --help.' });
  }
  const given = program.opts<Record<string, unknown>>();
  const parsed = schema.safeParse(given);
  if (parsed.success) return { ...parsed.data, format: parsed.data.format ?? formatOfName(parsed.data.file) };
  const names = [...new Set(parsed.error.issues.map((issue) => issue.path[0] as keyof typeof fields))];
  const complaints = names.map((name) => {
    const option = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const was = given[name] === undefined ? 'missing' : JSON.stringify(given[name]);
    return `--${option} is ${was}; it may be ${fields[name].allowed}`;
  });
  throw new StateStoreError('invalid_settings', complaints.join('\n'), { hint: 'See --help.' });
}

function formatOfName(file: string): (typeof formatNames)[number] {
  if (file.endsWith('.tsv') || file.endsWith('.tab')) return 'tsv';
  return file.endsWith('.deb822') || /(^|\/)Packages$/.test(file) ? 'deb822' : 'ndjson';
}
