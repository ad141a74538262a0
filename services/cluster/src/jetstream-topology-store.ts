// The topology document in a JetStream key-value bucket: compare-and-set by the revision of its key, read
// from the bucket's leader. A leader that does not know yet that it is none may answer a read with an
// older document for some seconds: the compare-and-set of whoever acts on it fails, and watchers take no older epoch.
import { randomBytes } from 'node:crypto';
import type { KV } from '@nats-io/kv';
import type { Msg, NatsConnection } from '@nats-io/nats-core';
import type { Topology } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import { Bucket, isWrongRevision, unavailable, writeFailed } from './bucket.ts';
import { BucketWatch } from './bucket-watch.ts';
import { checkClusterName, topologyBucket, topologySubject } from './names.ts';
import { NewerTopologies } from './newer-topologies.ts';
import { decodeTopology, encodeTopology } from './topology-codec.ts';
import type { TopologyStore, TopologyWatch } from './topology-store.ts';

export interface TopologyStoreOptions {
  /** Copies of the bucket inside NATS, where it is made. */
  readonly replicas: number;
  /** What a watch met and mends by itself: a document that it cannot read, a store that does not answer. */
  readonly onProblem?: (problem: unknown) => void;
}

const documentKey = 'topology';
const secretKey = 'secret';
const secretBytes = 32;
/** Documents before the present one, for a person who wants to know what changed. */
const history = 8;

/** Does not wait for NATS: each method does, and says so. */
export async function jetStreamTopologyStore(
  nc: NatsConnection,
  cluster: string,
  options: TopologyStoreOptions,
): Promise<TopologyStore> {
  checkClusterName(cluster);
  return new JetStreamTopologyStore(nc, cluster, options);
}

interface Stored {
  /** Undefined: there is none. */
  readonly topology: Topology | undefined;
  /** Of the key's last record, that of a removal included; 0: there never was one. */
  readonly revision: number;
}

class JetStreamTopologyStore implements TopologyStore {
  readonly #nc: NatsConnection;
  readonly #bucket: Bucket;
  readonly #subject: string;
  readonly #onProblem: (problem: unknown) => void;

  constructor(nc: NatsConnection, cluster: string, { replicas, onProblem = () => {} }: TopologyStoreOptions) {
    this.#nc = nc;
    this.#subject = topologySubject(cluster);
    this.#onProblem = onProblem;
    const bucket = topologyBucket(cluster);
    const told = { from: `$KV.${bucket}.${documentKey}`, to: this.#subject };
    this.#bucket = new Bucket(nc, { bucket, replicas, history, directReads: false, told });
  }

  async read(): Promise<Topology | undefined> {
    try {
      return (await this.#bucket.repeatable(stored)).topology;
    } catch (error) {
      throw unavailable('the topology cannot be read', error);
    }
  }

  replace(next: Topology): Promise<'replaced' | 'conflict'> {
    return this.#put(next, (present) => (present?.epoch ?? 0n) + 1n === next.epoch);
  }

  restore(topology: Topology): Promise<'replaced' | 'conflict'> {
    return this.#put(topology, (present) => present === undefined);
  }

  async #put(next: Topology, fits: (present: Topology | undefined) => boolean): Promise<'replaced' | 'conflict'> {
    const document = encodeTopology(next);
    const payloadBytesMax = this.#nc.info?.max_payload ?? Infinity;
    if (document.length > payloadBytesMax) {
      throw new StateStoreError(
        'invalid_settings',
        `the topology document has ${document.length} bytes; the NATS servers take ${payloadBytesMax} (max_payload)`,
        { hint: 'raise max_payload of the NATS servers, or use fewer partitions' },
      );
    }
    let revision: number;
    try {
      const present = await this.#bucket.repeatable(stored);
      if (!fits(present.topology)) return 'conflict';
      ({ revision } = present);
    } catch (error) {
      throw unavailable('the topology cannot be read', error);
    }
    try {
      await this.#bucket.once((kv) => kv.put(documentKey, document, { previousSeq: revision }));
      return 'replaced';
    } catch (error) {
      if (isWrongRevision(error)) return 'conflict';
      throw writeFailed(`the topology of epoch ${next.epoch} could not be stored`, error);
    }
  }

  watch(onTopology: (topology: Topology) => void): TopologyWatch {
    const newer = new NewerTopologies(onTopology);
    const watch = new BucketWatch({
      nc: this.#nc,
      subject: this.#subject,
      onStored: (message) => this.#offer(newer, message),
      read: async () => newer.offer(await this.read()),
      onProblem: this.#onProblem,
    });
    return {
      close: () => {
        newer.close();
        return watch.close();
      },
    };
  }

  #offer(newer: NewerTopologies, { data }: Msg): void {
    // A removal: nothing newer is there.
    if (data.length === 0) return;
    let topology: Topology;
    try {
      topology = decodeTopology(data);
    } catch (problem) {
      this.#onProblem(problem);
      return;
    }
    newer.offer(topology);
  }

  async secret(): Promise<Uint8Array> {
    try {
      return await this.#bucket.repeatable(async (kv) => (await storedSecret(kv)) ?? (await makeSecret(kv)));
    } catch (error) {
      throw unavailable('the secret of the cluster cannot be had', error);
    }
  }
}

async function stored(kv: KV): Promise<Stored> {
  const entry = await kv.get(documentKey);
  if (entry === null) return { topology: undefined, revision: 0 };
  const { revision, operation } = entry;
  return { topology: operation === 'PUT' ? decodeTopology(entry.value) : undefined, revision };
}

async function storedSecret(kv: KV): Promise<Uint8Array | undefined> {
  const entry = await kv.get(secretKey);
  if (entry === null || entry.operation !== 'PUT') return undefined;
  if (entry.value.length === secretBytes) return entry.value;
  throw new StateStoreError(
    'data_corrupt',
    `the secret of the cluster has ${entry.value.length} bytes; it has ${secretBytes}`,
  );
}

async function makeSecret(kv: KV): Promise<Uint8Array> {
  try {
    await kv.create(secretKey, new Uint8Array(randomBytes(secretBytes)));
  } catch (error) {
    if (!isWrongRevision(error)) throw error;
  }
  // What is there counts, whoever made it.
  const made = await storedSecret(kv);
  if (made !== undefined) return made;
  throw new StateStoreError('unavailable', 'the secret of the cluster was made and is not there', {
    hint: 'ask again: the server that answered may lag',
  });
}
