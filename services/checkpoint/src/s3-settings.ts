// What a repository in S3-compatible storage is told. Made by repository-settings.ts out of text.

export type ChecksumMode = 'WHEN_REQUIRED' | 'WHEN_SUPPORTED';

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Settings {
  readonly type: 's3';
  readonly bucket: string;
  /** Empty, or ends in `/`. */
  readonly prefix: string;
  /** Undefined: Amazon's, of the region. */
  readonly endpoint: string | undefined;
  /** Undefined: what the environment or the shared configuration file says. */
  readonly region: string | undefined;
  /** `endpoint/bucket`, not `bucket.endpoint`. */
  readonly forcePathStyle: boolean;
  /**
   * Undefined: the usual chain of Amazon's SDKs: AWS_ACCESS_KEY_ID, the shared files, a web identity token
   * (AWS_WEB_IDENTITY_TOKEN_FILE), a container's or machine's role. It renews them by itself.
   */
  readonly keys: S3Keys | undefined;
  readonly requestChecksumCalculation: ChecksumMode;
  readonly responseChecksumValidation: ChecksumMode;
  readonly connectTimeoutMs: number;
  /** Of one attempt, its bodies with it. */
  readonly requestTimeoutMs: number;
  readonly attempts: number;
  readonly concurrency: number;
  /** Certificates (PEM) that the endpoint's is checked against, beside none else. */
  readonly ca: string | undefined;
}

/** For people and logs: no secret is part of it. */
export function s3Location({ bucket, prefix, endpoint }: S3Settings): string {
  const at = endpoint === undefined ? '' : ` at ${new URL(endpoint).origin}`;
  return `s3://${bucket}/${prefix}${at}`;
}
