// The one URL that names a repository, taken apart: file:///path or s3://bucket/prefix?endpoint=…&region=….
// What its parts may be is the business of repository-settings.ts. The URL itself is never shown: somebody may have
// put a password in it.
import { StateStoreError } from '@statestore/core';

/** Parameters that a URL may have, and the settings that they are. No secret is among them: URLs are shown and logged. */
const parameters: Readonly<Record<string, string>> = {
  endpoint: 'repositoryEndpoint',
  region: 'repositoryRegion',
  forcePathStyle: 'repositoryForcePathStyle',
};

export type SaidByUrl =
  | { readonly type: 'folder'; readonly url: URL }
  | { readonly type: 's3'; readonly values: ReadonlyMap<string, string> };

/** Throws `invalid_settings`, without the URL. */
export function parseRepositoryUrl(text: string, allowed: string): SaidByUrl {
  if (!URL.canParse(text)) throw noUrl(allowed);
  // `URL` resolves `..`, so that what was written would not be what is meant.
  if (/(^|[/\\])(\.|%2e){1,2}([/\\?#]|$)/i.test(text)) throw wrong('has a part . or ..', allowed);
  const url = new URL(text);
  const { protocol, username, password, host, pathname, hash } = url;
  if (username !== '' || password !== '') {
    throw wrong('holds a user or password', 'a URL without one: --repository-access-key-id and the like are for them');
  }
  if (hash !== '') throw wrong('has a part after #', allowed);
  if (protocol === 'file:') {
    if (host !== '') throw wrong('names a host', allowed);
    if (url.search !== '') throw wrong('has parameters', allowed);
    return { type: 'folder', url };
  }
  if (protocol !== 's3:') throw wrong(`begins with ${protocol}`, allowed);
  const values = new Map([['repositoryBucket', host]]);
  const prefix = pathname.replace(/^\//, '');
  if (prefix !== '') values.set('repositoryPrefix', prefix);
  for (const [parameter, value] of url.searchParams) {
    const setting = parameters[parameter];
    if (setting === undefined) {
      throw wrong(`has a parameter that is none: ${nameOnly(parameter)}`, Object.keys(parameters).join(', '));
    }
    if (values.has(setting)) throw wrong(`has ${parameter} twice`, allowed);
    values.set(setting, value);
  }
  return { type: 's3', values };
}

export function noUrl(allowed: string): StateStoreError {
  return wrong('is no URL', allowed);
}

function wrong(what: string, allowed: string): StateStoreError {
  return new StateStoreError('invalid_settings', `--repository ${what}; it may be ${allowed}`);
}

/** A parameter's name is told, unless it is not one but something that was pasted. */
function nameOnly(parameter: string): string {
  return /^[A-Za-z-]{1,40}$/.test(parameter) ? parameter : '(not shown)';
}
