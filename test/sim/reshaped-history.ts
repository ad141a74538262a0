// A random history of a cluster whose partitions are split and merged, with checkpoints now and then and everything archived:
// what a restore to any of its moments is tried on. What entries there were is kept after each batch.
import { randomBytes, randomUUID } from 'node:crypto';
import type { ArchivedLog, Repository } from '@statestore/checkpoint';
import {
  beginCheckpoint,
  commitCheckpoint,
  describeArchivedLog,
  storeSegment,
  writePartition,
} from '@statestore/checkpoint';
import type {
  BatchRecord,
  BinaryString,
  Command,
  GivenStore,
  Hash128,
  ReshapeCommand,
  SlotRange,
} from '@statestore/core';
import {
  binaryFromBytes,
  bytesFromBinary,
  childRecords,
  defaultTtl,
  encodeBatch,
  hashToBytes,
  hashToHex,
  incarnationKey,
  keyspace,
  limits,
  noCondition,
  OwnRecords,
  prefixRange,
  rememberedAtFence,
  slotOf,
  slotRanges,
} from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { childIncarnation } from '../../services/node/src/reshape/child-incarnation.ts';
import { Replica } from './replica.ts';
import { entriesOf } from './reshaped-entries.ts';
import { SortedMap } from './sorted-map.ts';

const { entryKeyPrefix, entryKeyPrefixLength, entryExpiry, expiryKey } = keyspace;
const { signal } = new AbortController();
export const cluster = 'reshaped';
export const beganNanos = 1_700_000_000_000_000_000n;
const secondNanos = 1_000_000_000n;

interface LivePartition {
  readonly partition: number;
  readonly log: ArchivedLog;
  readonly replica: Replica;
  readonly records: BatchRecord[];
  /** After each batch of the log, and before the first. */
  readonly chains: string[];
}

/** What there was from a time on. */
export interface Moment {
  readonly nanos: bigint;
  /** Store, key and value of each entry. */
  readonly entries: readonly string[];
  /** Slots are nobody's to write, or about to be. */
  readonly isBetween: boolean;
  readonly partitions: readonly number[];
}

export class ReshapedHistory {
  readonly lineage = randomUUID();
  readonly moments: Moment[] = [];
  readonly all: LivePartition[] = [];
  readonly live = new Map<number, LivePartition>();
  /** Of the first checkpoint. */
  checkpointedNanos = 0n;
  #nanos = beganNanos;
  #epoch = 1n;
  #generation = 1;
  #isBetween = false;
  #source: LivePartition | undefined;

  constructor(partitions: number) {
    for (let partition = 0; partition < partitions; partition++) {
      const log = { cluster, partition, generation: 1, incarnation: randomUUID() };
      this.#add(partition, log, new Replica());
      const border = (nth: number): number => Math.floor((nth * 4096) / partitions);
      const slots = [{ start: border(partition), end: border(partition + 1) }];
      this.#owned.set(partition, slots);
      this.#begun.set(partition, slots);
    }
  }

  /** By the topology. */
  readonly #owned = new Map<number, readonly SlotRange[]>();
  readonly #begun = new Map<number, readonly SlotRange[]>();

  get nanos(): bigint {
    return this.#nanos;
  }

  /* oxlint-disable-next-line max-params -- what it is made of */
  #add(partition: number, log: Omit<ArchivedLog, 'beganNanos' | 'lineage'>, replica: Replica): LivePartition {
    const described = { ...log, beganNanos: this.#nanos, lineage: this.lineage };
    const one = { partition, log: described, replica, records: [], chains: [hashToHex(replica.state.chain)] };
    this.all.push(one);
    this.live.set(partition, one);
    return one;
  }

  slotsOf(partition: number): readonly SlotRange[] {
    return this.#owned.get(partition)!;
  }

  /** Counts where its state does not say otherwise. */
  #begunWith(partition: number): readonly SlotRange[] {
    return this.#begun.get(partition) ?? [];
  }

  #ownerOf(store: string, key: BinaryString): LivePartition {
    const slot = slotOf(store, key);
    const [partition] = [...this.#owned].find(([, slots]) => slotRanges.containsSlot(slots, slot))!;
    return this.live.get(partition)!;
  }

  /** One batch, a second later than the one before. */
  append(one: LivePartition, commands: readonly Command[]): readonly { readonly code: string }[] {
    this.#nanos += secondNanos;
    const position = one.replica.state.position + 1n;
    const number = Number(position);
    const bytes = encodeBatch({ partition: one.partition, proposer: 'proposer-0123456', number, commands });
    const record = { position, timestampNanos: this.#nanos, bytes };
    const { results } = one.replica.apply(record);
    one.records.push(record);
    one.chains.push(hashToHex(one.replica.state.chain));
    this.#note();
    return results;
  }

  put(store: string, key: BinaryString, value: string, ttlMs?: number): void {
    const ttl = ttlMs === undefined ? defaultTtl : ({ kind: 'after', ms: ttlMs } as const);
    const operation = {
      kind: 'put',
      key,
      condition: noCondition,
      value: Buffer.from(value),
      contentType: '',
      ttl,
    } as const;
    const idempotency = value.length % 3 === 0 ? { id: hash16(value), fingerprint: hash16(key) } : undefined;
    this.append(this.#ownerOf(store, key), [
      {
        ...(idempotency === undefined ? {} : { idempotency }),
        body: { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] },
      },
    ]);
  }

  remove(store: string, key: BinaryString): void {
    const operation = { kind: 'delete', key, condition: noCondition } as const;
    this.append(this.#ownerOf(store, key), [
      { body: { kind: 'mutate', store, atomic: false, checks: [], operations: [operation] } },
    ]);
  }

  clear(store: string): void {
    for (const one of this.live.values()) this.append(one, [{ body: { kind: 'clear', store } }]);
  }

  sweep(partition: number): void {
    this.append(this.live.get(partition)!, [
      { body: { kind: 'sweep', limit: 1000, changesKeptBytes: limits.changesKeptBytes, countStore: '' } },
    ]);
  }

  #reshape(one: LivePartition, body: ReshapeCommand): void {
    const [result] = this.append(one, [{ body }]);
    if (result!.code !== 'done') throw new Error(`${body.kind}: ${result!.code}`);
  }

  /** The upper part of its slots becomes a partition of its own. `while`: what is written while they are fenced. */
  split(partition: number, child: number, during: () => void = () => undefined): void {
    const source = this.live.get(partition)!;
    const owned = this.slotsOf(partition);
    const last = owned.at(-1)!;
    const slots = [{ start: last.start + Math.floor((last.end - last.start) / 2), end: last.end }];
    if (slots[0]!.start === last.start) return;
    const slotsEpoch = ++this.#epoch;
    const generation = ++this.#generation;
    const reshape = binaryFromBytes(randomBytes(16));
    this.#isBetween = true;
    this.#source = source;
    this.#reshape(source, { kind: 'fence', reshape, slots, slotsEpoch, ownedBefore: owned });
    const fenced = source.replica.state.fenced!;
    during();
    const records = new SortedMap([
      ...childRecords(source.replica.state, source.replica.records, { partition: child, generation, slotsEpoch }),
    ]);
    const made = new Replica(records);
    const incarnation = childIncarnation(child, hashToBytes(made.state.chain));
    const given = [...made.state.stores.values()].map(givenOf);
    this.#reshape(source, { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position, stores: given });
    const { position } = fenced;
    const continues = { incarnation, position, chain: hashToHex(made.state.chain) };
    const origin = { partition, generation: source.log.generation, incarnation: source.log.incarnation, position };
    records.write(new Map([[incarnationKey, bytesFromBinary(incarnation)]]));
    this.#owned.set(partition, slotRanges.without(owned, slots));
    this.#owned.set(child, slots);
    this.#add(child, { cluster, partition: child, generation, incarnation: randomUUID(), continues, origin }, made);
    this.#isBetween = false;
    this.#note();
  }

  /** `from` ends, and `into` takes its slots. */
  merge(from: number, into: number, during: () => void = () => undefined): void {
    const source = this.live.get(from)!;
    const target = this.live.get(into)!;
    const slots = this.slotsOf(from);
    const ownedBefore = this.slotsOf(into);
    const slotsEpoch = ++this.#epoch;
    const reshape = binaryFromBytes(randomBytes(16));
    const names = [...source.replica.state.stores.values()]
      .filter(({ entries }) => entries > 0)
      .map(({ name }) => name);
    this.#isBetween = true;
    this.#source = source;
    this.#reshape(source, { kind: 'fence', reshape, slots, slotsEpoch, ownedBefore: slots });
    const fenced = source.replica.state.fenced!;
    during();
    this.#reshape(target, { kind: 'prepareAbsorb', reshape, stores: names, ownedBefore });
    const remembered = [...rememberedAtFence(fenced, source.replica.records)];
    if (remembered.length > 0) this.#reshape(target, { kind: 'remember', reshape, records: remembered });
    const { stores, expired } = source.replica.state;
    const absorbed = [...stores.values()].map((store) => ({
      ...givenOf(store),
      ordinal: store.entries === 0 ? 0 : target.replica.state.stores.get(store.name)!.ordinal,
      expired: store.expired,
      settings: store.settings,
      settingsVersion: store.settingsVersion,
      allowanceEntries: store.allowanceEntries,
      allowanceBytes: store.allowanceBytes,
    }));
    this.#stage(source, target, slots);
    const given = absorbed.map(({ name, entries, bytes, hash }) => ({ name, entries, bytes, hash }));
    this.#reshape(source, { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position, stores: given });
    during();
    const { revision, clockNanos } = fenced;
    this.#reshape(target, {
      kind: 'absorb',
      reshape,
      slots,
      slotsEpoch,
      ownedBefore,
      revision,
      clockNanos,
      expired,
      stores: absorbed,
    });
    this.#owned.set(into, slotRanges.joined([...ownedBefore, ...slots]));
    this.#owned.delete(from);
    this.live.delete(from);
    this.#isBetween = false;
    this.#note();
  }

  #stage(source: LivePartition, target: LivePartition, slots: readonly SlotRange[]): void {
    const writes = new Map<BinaryString, Uint8Array | undefined>();
    // What an earlier split left there is of another time.
    const own = OwnRecords.of(target.replica.state, target.replica.records)!;
    for (const key of target.replica.records.keys({})) if (!own.has(key)) writes.set(key, undefined);
    for (const store of source.replica.state.stores.values()) {
      const ordinal = target.replica.state.stores.get(store.name)?.ordinal ?? 0;
      if (store.ordinal === 0 || store.entries === 0) continue;
      for (const { key, value } of source.replica.records.range(prefixRange(store.keyPrefix))) {
        const userKey = key.slice(entryKeyPrefixLength);
        if (!slotRanges.containsSlot(slots, slotOf(store.name, userKey))) continue;
        writes.set(entryKeyPrefix(ordinal) + userKey, value);
        const expiry = entryExpiry(value);
        if (expiry !== undefined && expiry !== 0) writes.set(expiryKey(expiry, ordinal, userKey), new Uint8Array(0));
      }
    }
    target.replica.records.write(writes);
  }

  #note(): void {
    const entries = [...this.live.values()].flatMap(({ replica }) => entriesOf(replica.records));
    const noted = { nanos: this.#nanos, entries: entries.toSorted(), isBetween: this.#isBetween };
    if (this.moments.at(-1)?.nanos === this.#nanos) this.moments.pop();
    // While slots are handed from one to the other they are in neither; what was last is what there is.
    const before = this.moments.at(-1);
    const isWhole = !this.#isBetween || before === undefined || this.#slotsAreWhole();
    this.moments.push({
      ...noted,
      entries: isWhole ? noted.entries : this.#withFenced(),
      partitions: [...this.live.keys()],
    });
  }

  #slotsAreWhole(): boolean {
    const slots = [...this.live].flatMap(([partition, { replica }]) => replica.state.slots ?? this.slotsOf(partition));
    return slotRanges.slotCountOf(slots) === 4096;
  }

  /** With what a hand-over gave away, as long as nobody took it. */
  #withFenced(): readonly string[] {
    const { replica } = this.#source!;
    const given = entriesOf(replica.records, replica.state.ended!.fenced!.slots);
    return [...[...this.live.values()].flatMap((each) => entriesOf(each.replica.records)), ...given].toSorted();
  }

  /** Puts a checkpoint of what there is now into a repository, later. */
  checkpointed: ((repository: Repository) => Promise<CheckpointManifest>) | undefined;

  checkpointHere(): void {
    const copied = [...this.live.values()].map((one) => ({ ...one, replica: new Replica(one.replica.records.copy()) }));
    this.checkpointed = (repository) => this.#checkpointOf(repository, copied);
  }

  checkpoint(repository: Repository): Promise<CheckpointManifest> {
    return this.#checkpointOf(repository, [...this.live.values()]);
  }

  async #checkpointOf(repository: Repository, parts: readonly LivePartition[]): Promise<CheckpointManifest> {
    if (this.checkpointedNanos === 0n) this.checkpointedNanos = this.#nanos;
    const nowMs = (): number => Number(this.#nanos / 1_000_000n);
    const random = (bytes: number): Uint8Array => randomBytes(bytes);
    const { lineage } = this;
    const begun = await beginCheckpoint({ repository, cluster, lineage, conductor: 'n', nowMs, random, mode: 'auto' });
    const partitions = await Promise.all(
      parts.map(async ({ partition, log, replica }) => {
        const own = new Map([[incarnationKey, bytesFromBinary(log.incarnation)]]);
        const reader = replica.records.copy();
        if (replica.state.position > (log.continues?.position ?? 0n)) reader.write(own);
        const previous = begun.previous?.partitions.find(({ summary }) => summary?.partition === partition);
        const { generation } = log;
        const written = await writePartition({
          reader,
          cluster,
          partition,
          slots: this.#begunWith(partition),
          generation,
          repository,
          previous,
          signal,
          checkpointId: begun.id,
        });
        return written.summary;
      }),
    );
    const committed = await commitCheckpoint({
      repository,
      begun,
      partitions,
      lineage,
      version: '1',
      nowMs,
      isLate: () => false,
      trigger: CheckpointTrigger.MANUAL,
    });
    if (committed.outcome !== 'committed') throw new Error(committed.outcome);
    return committed.manifest;
  }

  /** Everything so far, in segments of a few batches. */
  async archive(repository: Repository, batches = 4): Promise<void> {
    for (const { log, records, chains } of this.all) {
      await describeArchivedLog(repository, log);
      for (let from = 0; from < records.length; from += batches) {
        const some = records.slice(from, from + batches);
        const chain = chains[from + some.length]!;
        await storeSegment(repository, { ...log, batches: some, chainBefore: chains[from]!, chain }, signal);
      }
    }
  }
}

function givenOf({
  name,
  entries,
  bytes,
  hash,
}: {
  name: string;
  entries: number;
  bytes: number;
  hash: Hash128;
}): GivenStore {
  return { name, entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
}

function hash16(text: string): BinaryString {
  return text.padEnd(16, '-').slice(0, 16);
}
