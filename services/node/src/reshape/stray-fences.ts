// Slots that are fenced for a split or merge of which the topology knows nothing: a command that came late, from a
// driver that was away. Nobody would ever open them again.
import type { Topology, Unfence } from '@statestore/core';
import { limits } from '@statestore/core';
import type { Partition } from '../partition.ts';
import type { ReshapeContext } from './reshape-context.ts';
import { runningPartition } from './reshape-context.ts';
import { reshapeIdOf } from './reshape-id.ts';

export class StrayFences {
  readonly #context: ReshapeContext;
  /** Since when, by partition. */
  readonly #since = new Map<number, { readonly reshape: string; readonly ms: number }>();
  #underWay: Promise<void> | undefined;

  constructor(context: ReshapeContext) {
    this.#context = context;
  }

  /** Resolves at once: what takes longer is looked at the next time. */
  look(): void {
    const { topology: present, name, replicaOf, time } = this.#context;
    const topology = present();
    for (const { partition: number, replicas } of topology?.partitions ?? []) {
      // By one of them at a time; where that one does not run, its log does not either, or another one is preferred soon.
      const partition = replicas.includes(name) ? runningPartition(replicaOf(number))?.partition : undefined;
      const fenced = partition?.state.fenced;
      if (fenced === undefined || isNamed(topology, fenced.reshape)) {
        this.#since.delete(number);
        continue;
      }
      const before = this.#since.get(number);
      if (before?.reshape !== fenced.reshape) {
        this.#since.set(number, { reshape: fenced.reshape, ms: time.elapsedMs() });
      } else if (time.elapsedMs() - before.ms >= this.#waitMs(replicas)) {
        this.#underWay ??= this.#lift(partition!, fenced.reshape).finally(() => (this.#underWay = undefined));
      }
    }
  }

  /** The later a node is named, the longer it leaves it to those before. */
  #waitMs(replicas: readonly string[]): number {
    return limits.reshapeStrayFenceMs * (1 + replicas.indexOf(this.#context.name));
  }

  /** Never rejects. */
  async #lift(partition: Partition, reshape: Unfence['reshape']): Promise<void> {
    const { topologyStore, onNotice } = this.#context;
    try {
      // What this node follows may be of the past.
      const topology = await topologyStore.read();
      if (topology === undefined || isNamed(topology, reshape)) return;
      const ownedBefore = topology.partitions.find((each) => each.partition === partition.number)?.slots ?? [];
      const body: Unfence = { kind: 'unfence', reshape, slotsEpoch: topology.epoch, forGood: false, ownedBefore };
      const { code } = await partition.propose({ body });
      onNotice('slots were fenced for a split or merge that is not there', { partition: partition.number, code });
    } catch (error) {
      onNotice('slots that are fenced for nothing could not be opened', {
        partition: partition.number,
        error: String(error),
      });
    }
  }

  async close(): Promise<void> {
    await this.#underWay;
  }
}

function isNamed(topology: Topology | undefined, reshape: string): boolean {
  return topology?.reshapes?.some(({ id }) => reshapeIdOf(id) === reshape) === true;
}
