// The SDK's client, as a repository needs it: it makes one attempt (s3-attempts.ts makes more), says nothing to
// the console, and its connections are as many as requests may be under way.
import { S3Client } from '@aws-sdk/client-s3';
import type { S3Settings } from './s3-settings.ts';

/** What the SDK would print may hold parts of requests. */
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

export function makeS3Client(settings: S3Settings): S3Client {
  const { endpoint, region, keys, concurrency, ca } = settings;
  const agent = { keepAlive: true, maxSockets: concurrency };
  return new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...regionOf(endpoint, region),
    ...(keys === undefined ? {} : { credentials: keys }),
    forcePathStyle: settings.forcePathStyle,
    requestChecksumCalculation: settings.requestChecksumCalculation,
    responseChecksumValidation: settings.responseChecksumValidation,
    followRegionRedirects: false,
    maxAttempts: 1,
    // With it each larger upload makes a connection of its own.
    expectContinueHeader: false,
    logger: silent,
    requestHandler: {
      connectionTimeout: settings.connectTimeoutMs,
      httpAgent: agent,
      httpsAgent: ca === undefined ? agent : { ...agent, ca },
      logger: silent,
    },
  });
}

/** Servers other than Amazon's take any region; this one is what most of them are set to. */
function regionOf(endpoint: string | undefined, region: string | undefined): { readonly region: string } | undefined {
  if (region !== undefined) return { region };
  const isSaid = [process.env['AWS_REGION'], process.env['AWS_DEFAULT_REGION']].some((text) => (text ?? '') !== '');
  return endpoint === undefined || isSaid ? undefined : { region: 'us-east-1' };
}
