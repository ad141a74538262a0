// A repository in S3-compatible storage: an object is an object, its name the key after the prefix. Everything is
// tried again (s3-attempts.ts); a creation whose answer was lost is settled by reading. Loaded only where it is used:
// the SDK is large.
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3';
import { limits, StateStoreError } from '@statestore/core';
import { checkListPrefix, checkObjectName, isObjectName } from './object-name.ts';
import { OpenCalls } from './open-calls.ts';
import type { ObjectInfo, ObjectName, Repository, RepositoryCall } from './repository.ts';
import { probeRepository } from './repository-probe.ts';
import type { Attempt, AttemptSettings } from './s3-attempts.ts';
import { attempt, AttemptsFailed } from './s3-attempts.ts';
import { hashMetadata, hashOf, readBody } from './s3-body.ts';
import { makeS3Client } from './s3-client.ts';
import { isS3Status, StrangeAnswer } from './s3-failure.ts';
import type { S3Settings } from './s3-settings.ts';
import { s3Location } from './s3-settings.ts';

export interface S3Options {
  /** 0 ≤ random() < 1, for the pauses between attempts. */
  readonly random?: () => number;
}

type Run<T> = (attempt: Attempt) => Promise<T>;

/** What may end a removal of one key, by the code that the answer names. */
const removalRefusals: ReadonlySet<string> = new Set(['AccessDenied', 'MethodNotAllowed', 'InvalidRequest']);

export class S3Repository implements Repository {
  readonly kind = 's3';
  readonly location: string;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #client: S3Client;
  readonly #calls: OpenCalls;
  readonly #attempts: AttemptSettings;

  constructor(settings: S3Settings, { random = Math.random }: S3Options = {}) {
    this.location = s3Location(settings);
    this.#bucket = settings.bucket;
    this.#prefix = settings.prefix;
    this.#client = makeS3Client(settings);
    this.#calls = new OpenCalls(this.location, settings.concurrency);
    const { attempts, requestTimeoutMs, keys } = settings;
    const secrets = [keys?.secretAccessKey, keys?.sessionToken].filter((text) => text !== undefined);
    const scrub = (text: string): string => secrets.reduce((left, secret) => left.replaceAll(secret, '…'), text);
    this.#attempts = { attempts, requestTimeoutMs, location: this.location, random, scrub };
  }

  probe(call?: RepositoryCall): Promise<void> {
    return probeRepository(this, call);
  }

  get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    return this.#run(`read ${name}`, [name], call, ({ signal }) => this.#read(name, signal));
  }

  head(name: ObjectName, call?: RepositoryCall): Promise<ObjectInfo | undefined> {
    return this.#run(`look at ${name}`, [name], call, async ({ signal }) => {
      try {
        const said = await this.#client.send(new HeadObjectCommand(this.#at(name)), { abortSignal: signal });
        return infoOf(name, said.ContentLength, said.LastModified);
      } catch (error) {
        if (isS3Status(error, 404)) return undefined;
        throw error;
      }
    });
  }

  async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    try {
      await this.#run(`write ${name}`, [name], call, ({ signal }) => this.#write(name, bytes, {}, signal));
    } catch (error) {
      throw unknownOutcome(error);
    }
  }

  async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    try {
      return await this.#run(`create ${name}`, [name], call, async ({ signal, mayBeDone }) => {
        try {
          await this.#write(name, bytes, { IfNoneMatch: '*' }, signal);
          return 'created';
        } catch (error) {
          if (!isS3Status(error, 412)) throw error;
          // An attempt before this one may have made it, unheard.
          if (!mayBeDone) return 'exists';
          const found = await this.#read(name, signal);
          if (found === undefined) throw new StrangeAnswer(`${name} exists and cannot be read`, { cause: error });
          return isSame(found, bytes) ? 'created' : 'exists';
        }
      });
    } catch (error) {
      return await this.#settle(name, bytes, call, error);
    }
  }

  async *list(prefix: string, call?: RepositoryCall): AsyncGenerator<ObjectInfo> {
    checkListPrefix(prefix);
    let before = '';
    let token: string | undefined;
    do {
      const page = await this.#run(`list ${prefix === '' ? 'all objects' : prefix}`, [], call, (one) =>
        this.#page(prefix, token, one),
      );
      for (const info of page.infos) {
        // Else an object could be missed, or told twice, unnoticed.
        if (info.name <= before) throw this.#unordered(info.name, before);
        before = info.name;
        yield info;
      }
      token = page.next;
    } while (token !== undefined);
  }

  async remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void> {
    for (const name of names) checkObjectName(name);
    for (let at = 0; at < names.length; at += limits.repositoryRemovePage) {
      let left: readonly ObjectName[] = names.slice(at, at + limits.repositoryRemovePage);
      await this.#run(`remove ${left.length} objects`, [], call, async ({ signal }) => {
        left = await this.#removePage(left, signal);
        if (left.length > 0) throw new StrangeAnswer(`${left.length} are still there, as ${left[0]}`);
      });
    }
  }

  async close(): Promise<void> {
    await this.#calls.close();
    this.#client.destroy();
  }

  #at(name: ObjectName): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: `${this.#prefix}${name}` };
  }

  /* oxlint-disable-next-line max-params -- what, of which names, until when, how */
  async #run<T>(
    doing: string,
    names: readonly ObjectName[],
    call: RepositoryCall | undefined,
    run: Run<T>,
  ): Promise<T> {
    for (const name of names) checkObjectName(name);
    return this.#calls.run(call, (signal) => attempt(doing, run, signal, this.#attempts));
  }

  async #read(name: ObjectName, signal: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      const answer = await this.#client.send(new GetObjectCommand(this.#at(name)), { abortSignal: signal });
      return await readBody(answer, signal);
    } catch (error) {
      if (isS3Status(error, 404) && !isNoBucket(error)) return undefined;
      throw error;
    }
  }

  /* oxlint-disable-next-line max-params -- where, what, on which condition, until when */
  async #write(
    name: ObjectName,
    bytes: Uint8Array,
    condition: { readonly IfNoneMatch?: '*' },
    signal: AbortSignal,
  ): Promise<void> {
    const said = await this.#client.send(
      new PutObjectCommand({
        ...this.#at(name),
        ...condition,
        Body: bytes,
        ContentLength: bytes.length,
        ContentType: 'application/octet-stream',
        Metadata: { [hashMetadata]: hashOf(bytes) },
      }),
      { abortSignal: signal },
    );
    if (said.ETag === undefined) throw new StrangeAnswer('an upload was answered without an ETag');
  }

  /** After the attempts of a creation failed: what is there says what became of them, unless nothing is. */
  /* oxlint-disable-next-line max-params -- what was to be where, until when, how it failed */
  async #settle(
    name: ObjectName,
    bytes: Uint8Array,
    call: RepositoryCall | undefined,
    error: unknown,
  ): Promise<'created' | 'exists'> {
    if (!(error instanceof AttemptsFailed) || !error.mayBeDone) throw error;
    const found = await this.get(name, call).catch((cause: unknown) => {
      if (call?.signal?.aborted === true) throw cause;
      return undefined;
    });
    if (found === undefined) throw unknownOutcome(error);
    return isSame(found, bytes) ? 'created' : 'exists';
  }

  async #page(prefix: string, token: string | undefined, { signal }: Attempt): Promise<Page> {
    const answer = await this.#client.send(
      new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: `${this.#prefix}${prefix}`,
        MaxKeys: limits.repositoryListPage,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
      { abortSignal: signal },
    );
    const infos: ObjectInfo[] = [];
    for (const { Key, Size, LastModified } of answer.Contents ?? []) {
      if (Key?.startsWith(`${this.#prefix}${prefix}`) !== true) {
        throw new StrangeAnswer(`a listing of ${this.#prefix}${prefix} holds ${Key ?? 'an object without a key'}`);
      }
      const name = Key.slice(this.#prefix.length);
      // Such as the marks of folders that some tools make: none of ours.
      if (isObjectName(name)) infos.push(infoOf(name, Size, LastModified));
    }
    return { infos, next: nextOf(answer, token) };
  }

  /** Names that are still there, after failures that may pass. */
  async #removePage(names: readonly ObjectName[], signal: AbortSignal): Promise<ObjectName[]> {
    const nameOf = new Map(names.map((name) => [`${this.#prefix}${name}`, name]));
    const answer = await this.#client.send(
      new DeleteObjectsCommand({
        Bucket: this.#bucket,
        Delete: { Objects: [...nameOf.keys()].map((Key) => ({ Key })), Quiet: false },
      }),
      { abortSignal: signal },
    );
    const done = new Set((answer.Deleted ?? []).map(({ Key }) => Key));
    for (const { Key = '', Code = '', Message = '' } of answer.Errors ?? []) {
      if (Code === 'NoSuchKey') done.add(Key);
      if (!removalRefusals.has(Code)) continue;
      throw new StateStoreError(
        'invalid_settings',
        this.#attempts.scrub(`could not remove ${nameOf.get(Key) ?? Key} from ${this.location}: ${Code}: ${Message}`),
        { hint: 'It needs s3:DeleteObject on the objects of the bucket.' },
      );
    }
    return [...nameOf].filter(([key]) => !done.has(key)).map(([, name]) => name);
  }

  #unordered(name: string, before: string): StateStoreError {
    return new StateStoreError(
      'invalid_settings',
      `${this.location} does not list objects in order of their names: ${name} comes after ${before}`,
      { hint: 'Directory buckets (S3 Express) do so; use a general purpose bucket.' },
    );
  }
}

interface Page {
  readonly infos: readonly ObjectInfo[];
  readonly next: string | undefined;
}

/** The token of the next page. Throws where the answer does not say whether it is complete. */
function nextOf(answer: ListObjectsV2CommandOutput, token: string | undefined): string | undefined {
  const { IsTruncated: isTruncated, NextContinuationToken: next, KeyCount: count, Contents: contents } = answer;
  if (isTruncated === undefined) throw new StrangeAnswer('a listing that does not say whether it is complete');
  if (count !== undefined && count !== (contents?.length ?? 0)) {
    throw new StrangeAnswer(`a listing of ${count} objects that holds ${contents?.length ?? 0}`);
  }
  if (!isTruncated) return undefined;
  if (next === undefined || next === '' || next === token) {
    throw new StrangeAnswer('a listing that is not complete and does not say how it goes on');
  }
  return next;
}

function infoOf(name: string, sizeBytes: number | undefined, modified: Date | undefined): ObjectInfo {
  const modifiedAtMs = modified?.getTime() ?? Number.NaN;
  if (sizeBytes === undefined || Number.isNaN(modifiedAtMs)) {
    throw new StrangeAnswer(`${name} without a size or a time`);
  }
  return { name, sizeBytes, modifiedAtMs };
}

function isNoBucket(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchBucket';
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** What a failed write is called where it may have taken effect. */
function unknownOutcome(error: unknown): unknown {
  if (!(error instanceof AttemptsFailed) || !error.mayBeDone || error.code === 'invalid_settings') return error;
  return new StateStoreError('outcome_unknown', error.message, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
