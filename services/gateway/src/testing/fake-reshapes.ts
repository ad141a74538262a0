// Splits and merges of the partitions of a node in memory, one step after the other as a test says: the real commands,
// and the topology that the last one leads to. Gateways are told of it when the test likes.
import {
  binaryFromBytes,
  childRecords,
  hashToBytes,
  keyspace,
  loadState,
  rememberedAtFence,
  slotOf,
  slotRanges,
  type BinaryString,
  type CommandBody,
  type CommandResult,
  type GivenStore,
  type PartitionPlacement,
  type PartitionState,
  type SlotRange,
  type Topology,
} from '@statestore/core';
import { type FakeNode, MapReader } from './fake-node.ts';

export class FakeReshapes {
  readonly node: FakeNode;
  /** The newest one. */
  topology: Topology;
  #ids = 0;
  #generations = 1;

  /** Of a cluster: partitions have logs, and the topology a spec. */
  constructor(node: FakeNode, topology: Topology) {
    this.node = node;
    const spec = { replicationFactor: 1, logReplicas: 1, drained: [] };
    const partitions = topology.partitions.map((placement) => {
      const { state, reader } = node.partition(placement.partition);
      node.add(placement.partition, state, reader, 1);
      return { ...placement, log: { generation: 1, incarnation: '' } };
    });
    this.topology = { ...topology, spec, partitions };
  }

  get numbers(): readonly number[] {
    return this.topology.partitions.map(({ partition }) => partition);
  }

  /** The steps of a split of the upper half of its slots; the last one makes the topology. */
  *split(source: number, target: number): Generator<string, void> {
    const { slots: owned, log } = this.#placement(source);
    const slots = upperHalf(owned);
    const slotsEpoch = this.#nextEpoch();
    const reshape = this.#newId();
    this.#must(source, { kind: 'fence', reshape, slots, slotsEpoch, ownedBefore: owned });
    yield 'fenced';
    const { state, reader } = this.node.partition(source);
    const fenced = state.fenced!;
    const generation = ++this.#generations;
    const child = new MapReader();
    child.write(new Map(childRecords(state, reader, { partition: target, generation, slotsEpoch })));
    const childState = loadState(child);
    yield 'built';
    const stores = [...childState.stores.values()].map(given);
    this.#must(source, { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position, stores });
    this.node.add(target, childState, child, generation);
    yield 'handed over';
    const origin = { partition: source, generation: log!.generation, position: fenced.position };
    const continues = { incarnation: log!.incarnation, position: fenced.position, chain: '' };
    this.#change(({ partitions }) => ({
      partitions: [
        ...partitions.map((each) =>
          each.partition === source ? { ...each, slots: slotRanges.without(each.slots, slots), slotsEpoch } : each,
        ),
        {
          ...this.#placement(source),
          partition: target,
          slots,
          slotsEpoch,
          origin,
          log: { generation, incarnation: '', continues },
        },
      ].toSorted((a, b) => a.partition - b.partition),
    }));
  }

  /** A fence that is taken away again. */
  *givenUp(source: number): Generator<string, void> {
    const { slots: owned } = this.#placement(source);
    const slotsEpoch = this.#nextEpoch();
    const reshape = this.#newId();
    this.#must(source, { kind: 'fence', reshape, slots: upperHalf(owned), slotsEpoch, ownedBefore: owned });
    yield 'fenced';
    this.#must(source, { kind: 'unfence', reshape, slotsEpoch, forGood: false, ownedBefore: owned });
  }

  *merge(source: number, target: number): Generator<string, void> {
    const { slots, log } = this.#placement(source);
    const { slots: ownedBefore, log: targetLog } = this.#placement(target);
    const slotsEpoch = this.#nextEpoch();
    const reshape = this.#newId();
    this.#must(source, { kind: 'fence', reshape, slots, slotsEpoch, ownedBefore: slots });
    yield 'fenced';
    const from = this.node.partition(source);
    const into = this.node.partition(target);
    const fenced = from.state.fenced!;
    const records = [...rememberedAtFence(fenced, from.reader)];
    const names = [...from.state.stores.values()].filter(({ entries }) => entries > 0).map(({ name }) => name);
    this.#must(target, { kind: 'prepareAbsorb', reshape, stores: names, ownedBefore });
    stage(from, into, slots);
    yield 'staged';
    const stores = [...from.state.stores.values()].map((store) => ({
      ...given(store),
      ordinal: into.state.stores.get(store.name)?.ordinal ?? 0,
      expired: store.expired,
      settings: store.settings,
      settingsVersion: store.settingsVersion,
      allowanceEntries: store.allowanceEntries,
      allowanceBytes: store.allowanceBytes,
    }));
    const { revision, clockNanos, expired } = from.state;
    const handed = stores.map(({ name, entries, bytes, hash }) => ({ name, entries, bytes, hash }));
    this.#must(source, { kind: 'handOver', reshape, slotsEpoch, fencedPosition: fenced.position, stores: handed });
    yield 'handed over';
    // A store that was cleared meanwhile has another keyspace: all is staged anew.
    this.#must(target, { kind: 'prepareAbsorb', reshape, stores: names, ownedBefore });
    stage(from, into, slots);
    const again = stores.map((store) => ({ ...store, ordinal: into.state.stores.get(store.name)?.ordinal ?? 0 }));
    this.#must(target, { kind: 'remember', reshape, records });
    this.#must(target, {
      kind: 'absorb',
      reshape,
      slots,
      slotsEpoch,
      ownedBefore,
      revision,
      clockNanos,
      expired,
      stores: again,
    });
    const intoPosition = into.state.position;
    yield 'absorbed';
    this.#change(({ partitions, retired = [] }) => ({
      partitions: partitions
        .filter(({ partition }) => partition !== source)
        .map((each) =>
          each.partition === target
            ? { ...each, slots: slotRanges.joined([...each.slots, ...slots]), slotsEpoch }
            : each,
        ),
      retired: [
        ...retired,
        {
          placement: { ...this.#placement(source), slots: [], log: log! },
          sealedPosition: fenced.position,
          into: { partition: target, generation: targetLog!.generation, position: intoPosition },
          slotsEpoch,
        },
      ],
    }));
  }

  /** The grace time of those that were merged away is over. */
  forget(): void {
    const { retired = [] } = this.topology;
    if (retired.length === 0) return;
    const last = retired.reduce((most, { slotsEpoch }) => (slotsEpoch > most ? slotsEpoch : most), 0n);
    const { forgotten = 0n } = this.topology;
    for (const { placement } of retired) this.node.remove(placement.partition);
    this.#change(() => ({ retired: [], forgotten: last > forgotten ? last : forgotten }));
  }

  /** As the topology has it when a reshape is put into it. */
  #nextEpoch(): bigint {
    this.#change(() => ({}));
    return this.topology.epoch;
  }

  #change(change: (topology: Topology) => Partial<Topology>): void {
    this.topology = { ...this.topology, ...change(this.topology), epoch: this.topology.epoch + 1n };
  }

  #placement(partition: number): PartitionPlacement {
    return this.topology.partitions.find((each) => each.partition === partition)!;
  }

  #newId(): BinaryString {
    return String(++this.#ids).padStart(16, '0');
  }

  #must(partition: number, body: CommandBody): CommandResult {
    const result = this.node.apply(partition, { body });
    if (result.code !== 'done') throw new Error(`${body.kind} of partition ${partition}: ${result.code}`);
    return result;
  }
}

function given({ name, entries, bytes, hash }: keyspace.StoreState): GivenStore {
  return { name, entries, bytes, hash: binaryFromBytes(hashToBytes(hash)) };
}

export function upperHalf(slots: readonly SlotRange[]): readonly SlotRange[] {
  let left = Math.floor(slotRanges.slotCountOf(slots) / 2);
  const upper: SlotRange[] = [];
  for (const { start, end } of slots.toReversed()) {
    if (left === 0) break;
    const from = Math.max(start, end - left);
    upper.push({ start: from, end });
    left -= end - from;
  }
  return upper.toReversed();
}

interface Records {
  readonly state: PartitionState;
  readonly reader: MapReader;
}

/** Entries in the slots under the ordinals that stores have in the target, and their expiry records, in the place of whatever it has there. */
function stage(from: Records, into: Records, slots: readonly SlotRange[]): void {
  const writes = new Map<BinaryString, Uint8Array | undefined>();
  for (const target of into.state.stores.values()) {
    if (target.ordinal === 0) continue;
    for (const [key, value] of entriesOf(into, target, slots)) {
      writes.set(target.keyPrefix + key, undefined);
      const expiresAtMs = keyspace.entryExpiry(value);
      if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, target.ordinal, key), undefined);
    }
    const source = from.state.stores.get(target.name);
    if (source === undefined || source.ordinal === 0) continue;
    for (const [key, value] of entriesOf(from, source, slots)) {
      writes.set(target.keyPrefix + key, value);
      const expiresAtMs = keyspace.entryExpiry(value);
      if (expiresAtMs !== 0) writes.set(keyspace.expiryKey(expiresAtMs, target.ordinal, key), new Uint8Array(0));
    }
  }
  into.reader.write(writes);
}

function* entriesOf(
  { reader }: Records,
  { name, keyPrefix }: Pick<keyspace.StoreState, 'name' | 'keyPrefix'>,
  slots: readonly SlotRange[],
): Generator<readonly [BinaryString, Uint8Array], void> {
  for (const [record, value] of reader.map) {
    if (!record.startsWith(keyPrefix)) continue;
    const key = record.slice(keyPrefix.length);
    if (slotRanges.containsSlot(slots, slotOf(name, key))) yield [key, value];
  }
}
