// The repository port: where checkpoints are kept. A flat set of named objects, written whole and read
// whole. One contract suite (test/contract/repository-contract.ts) runs against every kind. What the
// objects mean is the business of names.ts and the manifests.

/**
 * Names are segments of [A-Za-z0-9._-], joined by `/`; none is empty, `.` or `..`. No name is another one followed by
 * `/` and more: in a folder one of them is a file. Bounds: `limits.repositoryNameCharsMax`, `repositorySegmentCharsMax`.
 */
export type ObjectName = string;

export interface ObjectInfo {
  readonly name: ObjectName;
  readonly sizeBytes: number;
  /** By the repository's clock, ms since 1970. */
  readonly modifiedAtMs: number;
}

export interface RepositoryCall {
  readonly signal?: AbortSignal;
}

/**
 * All calls reject with StateStoreError: `unavailable` (did not answer, throttles; attempts were made),
 * `outcome_unknown` (only `put` and `create`: it may be there, or come to be there), `disk_full`,
 * `invalid_settings` (refused credentials, no such bucket), `data_corrupt` (what came is not what the
 * repository says it holds: too short, another checksum), `invalid_parameter` (a name that is none),
 * `shutting_down` (it is closed), or with the signal's reason. A `put` or `create` that was aborted may have
 * taken effect, or come to do so.
 */
export interface Repository {
  readonly kind: 'folder' | 's3';
  /** For people: a path or a URL. Never holds a secret. */
  readonly location: string;
  /**
   * Tries what the rest relies on: a created object is read back as it was, a second creation of it is
   * refused, of two at the same time one wins, a listing shows it, it can be removed. Rejects with
   * `invalid_settings` where the repository does not do so, naming what it does instead.
   */
  probe(call?: RepositoryCall): Promise<void>;
  /** Undefined: there is none. */
  get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined>;
  /** Without its content. Undefined: there is none. */
  head(name: ObjectName, call?: RepositoryCall): Promise<ObjectInfo | undefined>;
  /** Writes it, over what may be there. Readers see the old or the new one, never a part. */
  put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void>;
  /**
   * Writes it where there is none of this name; of several at once one wins. Where an attempt's answer was lost, what is
   * there is read: with these very bytes it counts as created. Who must know whose it is puts something of its own in it.
   */
  create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'>;
  /** Objects whose name starts with it, in order of names. Complete, or it throws: never a part as if it were all. */
  list(prefix: string, call?: RepositoryCall): AsyncIterable<ObjectInfo>;
  /** Resolves when none of them is there any more; one that is not there is no error. */
  remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void>;
  /** Calls that are under way end with `shutting_down`; connections are closed. */
  close(): Promise<void>;
}
