// For tests of repositories in S3: settings of one, and the faults that requests may meet.
import { repositoryFromUrl } from '@statestore/checkpoint';
import type { RepositorySettings } from '@statestore/checkpoint';
import type { Rule } from '../servers/s3-proxy.ts';
import { s3Keys } from '../servers/s3-server.ts';

/** Of the bucket `checkpoints`; further settings by their names. */
export function s3Settings(endpoint: string, more: Readonly<Record<string, string>> = {}): RepositorySettings {
  const { repositoryBucket = 'checkpoints', repositoryPrefix = '', ...rest } = more;
  return repositoryFromUrl(`s3://${repositoryBucket}/${repositoryPrefix}?endpoint=${encodeURIComponent(endpoint)}`, {
    repositoryAccessKeyId: s3Keys.accessKeyId,
    repositorySecretAccessKey: s3Keys.secretAccessKey,
    ...rest,
  });
}

/** All that a request may meet and a later attempt get over, in a pattern that depends on nothing but their order. */
export function everyFault(): Rule[] {
  return [
    { every: 7, fault: { kind: 'answer', status: 503, body: slowDown() } },
    { every: 11, fault: { kind: 'cut' } },
    { every: 13, fault: { kind: 'lose answer' } },
    { every: 17, fault: { kind: 'answer', status: 500 } },
    { every: 19, fault: { kind: 'replace answer', status: 502, body: '<html>Bad gateway</html>' } },
    { every: 23, method: 'GET', fault: { kind: 'truncate', afterBytes: 100 } },
    { every: 27, method: 'GET', path: /\/blocks\//, fault: { kind: 'flip answer', at: 50 } },
    { every: 29, method: 'PUT', fault: { kind: 'flip request', at: 5 } },
    { every: 31, fault: { kind: 'delay', ms: 20 } },
  ];
}

export function slowDown(): string {
  return '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>';
}

export function errorAnswer(code: string, message = 'No.'): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
}
