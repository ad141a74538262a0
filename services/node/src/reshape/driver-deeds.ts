// What the node that drives a split or a merge does for all: commands in the logs of the two partitions, the child's
// stream, and the topology. Each may be done twice, also by two nodes: the logs say what counts.
import { changeTopology, mergeDone, reshapeDropped, splitDone } from '@statestore/cluster';
import type {
  Absorb,
  AbsorbedStore,
  CommandBody,
  Merge,
  PartitionState,
  RememberedRecord,
  Reshape,
  Split,
  Topology,
} from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Partition } from '../partition.ts';
import type { ReshapeContext } from './reshape-context.ts';
import { placementOf } from './reshape-context.ts';
import { reshapeIdOf } from './reshape-id.ts';
import type { BuiltChild, StagedMerge } from './reshape-work.ts';

/** Whether a command did what it says; `refused`: the state is not as it was thought to be, and is to be looked at. */
export type Deeded = 'done' | 'refused';

async function propose(partition: Partition, body: CommandBody): Promise<Deeded> {
  const { code } = await partition.propose({ body });
  if (code === 'done') return 'done';
  if (code === 'precondition_failed') return 'refused';
  throw new StateStoreError('unavailable', `partition ${partition.number} answered ${code} to ${body.kind}`);
}

function ownedOf(topology: Topology | undefined, partition: number): Topology['partitions'][number]['slots'] {
  const slots = placementOf(topology, partition)?.slots;
  if (slots !== undefined) return slots;
  throw new StateStoreError('unavailable', `the topology does not name partition ${partition}`);
}

export class DriverDeeds {
  readonly #context: ReshapeContext;

  constructor(context: ReshapeContext) {
    this.#context = context;
  }

  prepare(target: Partition, { id }: Reshape, stores: readonly string[]): Promise<Deeded> {
    const ownedBefore = ownedOf(this.#context.topology(), target.number);
    return propose(target, { kind: 'prepareAbsorb', reshape: reshapeIdOf(id), stores, ownedBefore });
  }

  async makeLog({ target, log }: Split): Promise<void> {
    const replicas = this.#context.topology()?.spec?.logReplicas ?? 1;
    await this.#context.logStreams.create({ partition: target, ...log, replicas });
  }

  async startLog({ target, log }: Split, position: bigint): Promise<void> {
    await this.#context.logStreams.startAt({ partition: target, ...log }, position + 1n);
  }

  fence(source: Partition, { id, slots, slotsEpoch }: Reshape): Promise<Deeded> {
    const ownedBefore = ownedOf(this.#context.topology(), source.number);
    return propose(source, { kind: 'fence', reshape: reshapeIdOf(id), slots, slotsEpoch, ownedBefore });
  }

  /** `forGood`: it is given up, and a fence that comes late is refused. */
  unfence(source: Partition, { id, slotsEpoch }: Reshape, forGood: boolean): Promise<Deeded> {
    const ownedBefore = ownedOf(this.#context.topology(), source.number);
    return propose(source, { kind: 'unfence', reshape: reshapeIdOf(id), slotsEpoch, forGood, ownedBefore });
  }

  /* oxlint-disable-next-line max-params -- whose slots, and what is in them */
  handOver(
    source: Partition,
    { id, slotsEpoch }: Reshape,
    fencedPosition: bigint,
    stores: (BuiltChild | StagedMerge)['stores'],
  ): Promise<Deeded> {
    const given = stores
      .filter(({ entries }) => entries > 0)
      .map(({ name, entries, bytes, hash }) => ({ name, entries, bytes, hash }));
    return propose(source, { kind: 'handOver', reshape: reshapeIdOf(id), slotsEpoch, fencedPosition, stores: given });
  }

  async remember(target: Partition, { id }: Merge, remembered: readonly RememberedRecord[]): Promise<Deeded> {
    const reshape = reshapeIdOf(id);
    for (let at = 0; at < remembered.length;) {
      const records = fitting(remembered, at);
      const deeded = await propose(target, { kind: 'remember', reshape, records });
      if (deeded === 'refused') return deeded;
      at += records.length;
    }
    return 'done';
  }

  absorb(target: Partition, merge: Merge, source: Readonly<PartitionState>, staged: StagedMerge): Promise<Deeded> {
    const ownedBefore = ownedOf(this.#context.topology(), target.number);
    return propose(target, absorbOf(merge, source, staged, ownedBefore));
  }

  async splitDone({ id }: Split, { incarnation, position, chain }: BuiltChild): Promise<boolean> {
    const continues = { incarnation, position, chain };
    const { changed } = await changeTopology(this.#context.topologyStore, (topology) =>
      splitDone(topology, id, { continues }),
    );
    return changed;
  }

  /* oxlint-disable-next-line max-params -- where it ended in both logs */
  async mergeDone({ id }: Merge, sealedPosition: bigint, intoPosition: bigint): Promise<boolean> {
    const { changed } = await changeTopology(this.#context.topologyStore, (topology) =>
      mergeDone(topology, id, { sealedPosition, intoPosition }),
    );
    return changed;
  }

  /** It was given up: its log goes first, since nobody names it afterwards. */
  async drop(reshape: Reshape): Promise<boolean> {
    const { logStreams, topologyStore } = this.#context;
    if (reshape.kind === 'split') {
      const { generation, incarnation } = reshape.log;
      await logStreams.remove(reshape.target, generation, incarnation);
    }
    return (await changeTopology(topologyStore, (topology) => reshapeDropped(topology, reshape.id))).changed;
  }
}

/** As many as one command takes. */
function fitting(remembered: readonly RememberedRecord[], from: number): readonly RememberedRecord[] {
  let operations = 0;
  let until = from;
  while (until < remembered.length && until - from < limits.reshapeRememberRecords) {
    operations += 1 + remembered[until]!.result.operations.length;
    if (until > from && operations > limits.reshapeRememberOperations) break;
    until++;
  }
  return remembered.slice(from, until);
}

/* oxlint-disable-next-line max-params -- what it is made of */
function absorbOf(
  { id, slots, slotsEpoch }: Merge,
  source: Readonly<PartitionState>,
  staged: StagedMerge,
  ownedBefore: Absorb['ownedBefore'],
): Absorb {
  const byName = new Map(staged.stores.map((store) => [store.name, store]));
  const stores: AbsorbedStore[] = [...source.stores.values()].map((store) => {
    const { name, settings, settingsVersion, allowanceEntries, allowanceBytes, expired } = store;
    const own = { settings, settingsVersion, allowanceEntries, allowanceBytes };
    const none = { name, entries: 0, bytes: 0, hash: '\0'.repeat(16), ordinal: 0, expired };
    return { ...(byName.get(name) ?? none), ...own };
  });
  const { revision, clockNanos } = staged;
  return {
    kind: 'absorb',
    reshape: reshapeIdOf(id),
    slots,
    slotsEpoch,
    ownedBefore,
    revision,
    clockNanos,
    expired: source.expired,
    stores: stores.sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}
