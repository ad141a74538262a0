// Runs of checkpoints in a JetStream key-value bucket: compare-and-set by the revision of a key, read from the
// bucket's leader. A leader that does not know yet that it is none may answer with an older document: the
// compare-and-set of whoever acts on it fails.
import type { KV } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { Bucket, isWrongRevision, unavailable, writeFailed } from './bucket.ts';
import { decodeCatalog, decodeRun, encodeCatalog, encodeRun } from './checkpoint-run-codec.ts';
import type { CheckpointCatalog, CheckpointRun, CheckpointRuns, Kept, Replaced } from './checkpoint-runs.ts';
import { checkClusterName, checkpointsBucket, checkpointSubject } from './names.ts';

export interface CheckpointRunsOptions {
  /** Copies of the bucket inside NATS, where it is made. */
  readonly replicas: number;
}

const runKey = 'run';
const catalogKey = 'catalog';
/** Documents before the present ones, for a person who wants to know what became of a run. */
const history = 8;

/** Does not wait for NATS: each method does, and says so. */
export function jetStreamCheckpointRuns(
  nc: NatsConnection,
  cluster: string,
  { replicas }: CheckpointRunsOptions,
): CheckpointRuns {
  checkClusterName(cluster);
  const bucket = checkpointsBucket(cluster);
  const told = { from: `$KV.${bucket}.${runKey}`, to: checkpointSubject(cluster) };
  return new JetStreamCheckpointRuns(new Bucket(nc, { bucket, replicas, history, directReads: false, told }));
}

class JetStreamCheckpointRuns implements CheckpointRuns {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  run(): Promise<Kept<CheckpointRun> | undefined> {
    return this.#read(runKey, decodeRun);
  }

  replaceRun(run: CheckpointRun, revision: number): Promise<Replaced> {
    return this.#replace(runKey, encodeRun(run), revision);
  }

  catalog(): Promise<Kept<CheckpointCatalog> | undefined> {
    return this.#read(catalogKey, decodeCatalog);
  }

  replaceCatalog(catalog: CheckpointCatalog, revision: number): Promise<Replaced> {
    return this.#replace(catalogKey, encodeCatalog(catalog), revision);
  }

  async #read<Document>(key: string, decode: (bytes: Uint8Array) => Document): Promise<Kept<Document> | undefined> {
    let entry: Awaited<ReturnType<KV['get']>>;
    try {
      entry = await this.#bucket.repeatable((kv) => kv.get(key));
    } catch (error) {
      throw unavailable(`what checkpoints are under way cannot be read (${key})`, error);
    }
    if (entry === null || entry.operation !== 'PUT') return undefined;
    return { document: decode(entry.value), revision: entry.revision };
  }

  async #replace(key: string, bytes: Uint8Array, revision: number): Promise<Replaced> {
    try {
      const previousSeq = revision === 0 ? await this.#removedAt(key) : revision;
      const stored = await this.#bucket.once((kv) => kv.put(key, bytes, { previousSeq }));
      return { outcome: 'replaced', revision: stored };
    } catch (error) {
      if (isWrongRevision(error)) return { outcome: 'conflict' };
      throw writeFailed(`what checkpoints are under way could not be stored (${key})`, error);
    }
  }

  /** Where a person removed the key: what is put in the place of none is put in the place of that. */
  async #removedAt(key: string): Promise<number> {
    const entry = await this.#bucket.repeatable((kv) => kv.get(key));
    return entry === null || entry.operation === 'PUT' ? 0 : entry.revision;
  }
}
