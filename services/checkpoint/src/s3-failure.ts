// What a failed request to S3-compatible storage means: whether it may be tried again, whether it may have taken
// effect, and what it is called where the attempts are used up. By status and code, never by a message's text. What
// the SDK throws holds the request with its signature and session token: nothing of it but its name and its message
// goes further.
import type { ErrorCode } from '@statestore/core';
import { limits } from '@statestore/core';

export interface S3Failure {
  /** The same request may succeed. */
  readonly isTransient: boolean;
  /** A request that writes may have been done, or may be done later. */
  readonly mayBeDone: boolean;
  /** Of the error in the end. */
  readonly code: ErrorCode;
  /** What was said: status, code, message. */
  readonly summary: string;
  readonly hint?: string;
  readonly retryAfterMs?: number;
}

/** Thrown where an answer is not what it says of itself. */
export class DamagedAnswer extends Error {
  override readonly name = 'DamagedAnswer';
}

/** Thrown where an answer lacks what S3 always says: somebody else answered, a proxy for one. */
export class StrangeAnswer extends Error {
  override readonly name = 'StrangeAnswer';
}

/** Thrown where an attempt took too long. */
export class AttemptTimeout extends Error {
  override readonly name = 'AttemptTimeout';
}

/** What the SDK's errors have, as far as it is looked at. */
interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** Nobody heard the request. */
const unheard: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);
/** Answers of status 400 and 403 to requests that were damaged, slow or badly timed on their way: refused, and worth another attempt. */
const damagedOnTheWay: ReadonlySet<string> = new Set([
  'BadDigest',
  'IncompleteBody',
  'InvalidDigest',
  'RequestTimeout',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
]);
/** The SDK learns the server's time from the refusal, and reads expired credentials anew. */
const badlyTimed: ReadonlySet<string> = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'ExpiredToken']);
/** Of the server's certificate, as Node.js calls what OpenSSL finds. */
const untrusted: ReadonlySet<string> = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
const otherName: ReadonlySet<string> = new Set(['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH']);
const outOfDate: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
const full: ReadonlySet<string> = new Set([
  'InsufficientCapacity',
  'QuotaExceeded',
  'QuotaExceededException',
  'XMinioStorageFull',
]);

export function judgeS3Failure(error: unknown): S3Failure {
  if (error instanceof DamagedAnswer) return again(error.message, { code: 'data_corrupt', mayBeDone: true });
  if (error instanceof StrangeAnswer || error instanceof AttemptTimeout) return again(error.message);
  if (!(error instanceof Error)) return again(String(error));
  const thrown: Thrown = error;
  const status = thrown.$response?.statusCode ?? thrown.$metadata?.httpStatusCode;
  return status === undefined ? judgeUnanswered(thrown) : judgeAnswer(thrown, status);
}

export function isS3Status(error: unknown, status: number): boolean {
  if (!(error instanceof Error)) return false;
  const thrown: Thrown = error;
  return (thrown.$response?.statusCode ?? thrown.$metadata?.httpStatusCode) === status;
}

function judgeUnanswered(thrown: Thrown): S3Failure {
  const code = typeof thrown.code === 'string' ? thrown.code : '';
  const summary = code === '' ? `${thrown.name}: ${thrown.message}` : code;
  if (thrown.name === 'CredentialsProviderError' || thrown.name === 'TokenProviderError') {
    return final(summary, 'Give an access key, or credentials where the SDKs of Amazon look for them.');
  }
  const atLength = `${code}: ${thrown.message}`;
  if (untrusted.has(code)) {
    return final(
      atLength,
      'Name the authority that signed its certificate: --repository-ca, a file of certificates (PEM).',
    );
  }
  if (otherName.has(code))
    return final(atLength, 'Check the endpoint: the server presents a certificate of another name.');
  if (outOfDate.has(code)) {
    const hint = 'Renew the certificate of the server; compare the clocks of both machines.';
    return again(atLength, { mayBeDone: false, hint });
  }
  if (code === 'EPROTO')
    return again(atLength.trim(), { hint: 'Check whether the server speaks https at this endpoint.' });
  // A connection that could not be made in time is an error of this name without a code.
  return again(summary, { mayBeDone: !unheard.has(code) });
}

function judgeAnswer(thrown: Thrown, status: number): S3Failure {
  const { name } = thrown;
  const summary = `${status} ${name}: ${thrown.message}`;
  if (full.has(name) || status === 507) return again(summary, { code: 'disk_full', mayBeDone: false });
  if (damagedOnTheWay.has(name)) return again(summary, { mayBeDone: false });
  if (badlyTimed.has(name)) {
    return again(summary, {
      code: 'invalid_settings',
      mayBeDone: false,
      hint: 'Compare the clocks of both machines; renew the credentials.',
    });
  }
  const retryAfterMs = retryAfterOf(thrown);
  if (status === 409 || status === 429) return again(summary, { mayBeDone: false, retryAfterMs });
  if (status === 501) {
    return final(summary, 'The server does not know what it was asked: try the checksum settings WHEN_REQUIRED.');
  }
  if (status >= 500 || status === 408 || status === 307) return again(summary, { retryAfterMs });
  // An answer of success that could not be read.
  if (status < 300) return again(summary, { mayBeDone: true });
  return final(summary, hints[name] ?? hintOfStatus(status));
}

const hints: Readonly<Record<string, string>> = {
  NoSuchBucket: 'Make the bucket first; it is not made by itself.',
  InvalidAccessKeyId: 'Check the access key.',
  SignatureDoesNotMatch: 'Check the secret access key.',
  AuthorizationHeaderMalformed: 'Check the region.',
  PermanentRedirect: 'Check the region and the endpoint.',
  AccessDenied: 'It needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject on its objects.',
};

function hintOfStatus(status: number): string {
  // Without a body, as to a question for metadata: why is not said.
  if (status === 401 || status === 403) return `Check the keys. ${hints['AccessDenied']}`;
  return 'Check the endpoint, the bucket and the path style.';
}

interface More {
  readonly code?: ErrorCode;
  readonly mayBeDone?: boolean;
  readonly hint?: string;
  readonly retryAfterMs?: number | undefined;
}

function again(summary: string, { code = 'unavailable', mayBeDone = true, hint, retryAfterMs }: More = {}): S3Failure {
  return {
    isTransient: true,
    mayBeDone,
    code,
    summary,
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function final(summary: string, hint: string): S3Failure {
  return { isTransient: false, mayBeDone: false, code: 'invalid_settings', summary, hint };
}

/** Seconds; a date is not looked at. */
function retryAfterOf({ $response }: Thrown): number | undefined {
  const text = $response?.headers?.['retry-after'];
  if (text === undefined || !/^\d{1,6}$/.test(text)) return undefined;
  return Math.min(Number(text) * 1000, limits.repositoryRetryAfterMsMax);
}
