// A second repository of a command, that a restore writes into: one URL, and options as those of the first one. Where both
// are S3, what the first one was given holds for it too; what a server alone may need can be said of it by itself.
import { StateStoreError } from '@statestore/core';
import type { z } from 'zod';
import {
  type GivenRepository,
  repositoryFrom,
  type RepositorySettings,
  repositoryTable,
} from './repository-settings.ts';
import { parseRepositoryUrl } from './repository-url.ts';

interface Said<S extends z.ZodType> {
  readonly schema: S;
  readonly allowed: string;
  readonly help: string;
  readonly secret?: boolean;
}

function like<S extends z.ZodType>({ schema, allowed, help, secret = false }: Said<S>): Said<S> & { fallback: string } {
  return { schema, allowed, help: `of --into: ${help}`, secret, fallback: 'that of --repository, where both are S3' };
}

/** Options of a command beside `into`. */
export const intoTable = {
  intoEndpoint: like(repositoryTable.repositoryEndpoint),
  intoRegion: like(repositoryTable.repositoryRegion),
  intoForcePathStyle: like(repositoryTable.repositoryForcePathStyle),
  intoAccessKeyId: like(repositoryTable.repositoryAccessKeyId),
  intoSecretAccessKey: like(repositoryTable.repositorySecretAccessKey),
  intoSessionToken: like(repositoryTable.repositorySessionToken),
  intoCa: like(repositoryTable.repositoryCa),
};

export type GivenInto = {
  readonly [Name in keyof typeof intoTable]: z.output<(typeof intoTable)[Name]['schema']>;
};

/** `from`: of the first one, as `given` says it. Undefined: there is no second one. Throws `invalid_settings`. */
export function intoFrom(
  url: string | undefined,
  given: GivenRepository & GivenInto,
  from: RepositorySettings,
): RepositorySettings | undefined {
  if (url === undefined) {
    const alone = Object.keys(intoTable).find((name) => isGiven(given[name as keyof GivenInto]));
    if (alone === undefined) return undefined;
    throw new StateStoreError('invalid_settings', `${alone} is set, but means nothing without --into`);
  }
  const said = parseRepositoryUrl(url, repositoryTable.repository.allowed);
  const isBoth = said.type === 's3' && from.type === 's3';
  const first = isBoth ? from : undefined;
  const isSaid = (name: string): boolean => said.type === 's3' && said.values.has(name);
  // Those of another server are not those of the first one.
  const isElsewhere = isSaid('repositoryEndpoint') || given.intoEndpoint !== undefined;
  const hasKeys = [given.intoAccessKeyId, given.intoSecretAccessKey, given.intoSessionToken].some(isGiven);
  const keys = hasKeys ? undefined : first?.keys;
  const ofServer = isElsewhere ? undefined : first;
  return repositoryFrom({
    ...given,
    repository: url,
    repositoryType: undefined,
    repositoryPath: undefined,
    repositoryBucket: undefined,
    repositoryPrefix: undefined,
    repositoryEndpoint: given.intoEndpoint ?? ofServer?.endpoint,
    repositoryRegion: given.intoRegion ?? (isSaid('repositoryRegion') ? undefined : first?.region),
    repositoryForcePathStyle:
      given.intoForcePathStyle ?? (isSaid('repositoryForcePathStyle') ? undefined : ofServer?.forcePathStyle),
    repositoryAccessKeyId: given.intoAccessKeyId ?? keys?.accessKeyId,
    repositorySecretAccessKey: given.intoSecretAccessKey ?? keys?.secretAccessKey,
    repositorySessionToken: given.intoSessionToken ?? keys?.sessionToken,
    repositoryCa: given.intoCa ?? first?.ca,
  });
}

function isGiven(value: unknown): boolean {
  return value !== undefined;
}
