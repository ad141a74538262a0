// What clients felt of each hand-over of slots: made of what probes wrote and of when the topology said that slots have
// another owner. And what nodes said that they moved for it.
import type { NodeRegistry, TopologyStore } from '@statestore/cluster';
import type { Reshape, SlotRange, Topology } from '@statestore/core';
import type { ProbeWrite } from './slot-probes.ts';

export interface HandOver {
  readonly kind: Reshape['kind'];
  readonly slots: readonly SlotRange[];
  /** When the topology said so first, by performance.now(). */
  readonly atMs: number;
  /** Since it was begun. */
  readonly tookMs: number;
  /** Of its entries, as the node said that had most; each replica takes them over by itself. */
  readonly moved: Moved;
}

/** Grows with reports, the last of which come when it is over. */
interface Moved {
  bytes: number;
  entries: number;
}

interface Begun {
  readonly reshape: Reshape;
  readonly atMs: number;
}

/** Follows a cluster's splits and merges while it is open. */
export class HandOvers {
  readonly all: HandOver[] = [];
  topology: Topology | undefined;
  readonly #begun = new Map<string, Begun>();
  readonly #moved = new Map<string, Moved>();
  readonly #watches: readonly { close(): Promise<void> }[];

  constructor(topologyStore: Pick<TopologyStore, 'watch'>, registry: Pick<NodeRegistry, 'watch'>) {
    this.#watches = [
      topologyStore.watch((topology) => this.#saw(topology)),
      registry.watch((nodes) => {
        for (const { report } of nodes.values()) for (const each of report.reshapes ?? []) this.#heard(each);
      }),
    ];
  }

  async close(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.close()));
  }

  #heard({ id, bytes, entries }: { readonly id: string; readonly bytes: number; readonly entries: number }): void {
    const moved = this.#movedOf(id);
    moved.bytes = Math.max(moved.bytes, bytes);
    moved.entries = Math.max(moved.entries, entries);
  }

  #movedOf(id: string): Moved {
    const known = this.#moved.get(id) ?? { bytes: 0, entries: 0 };
    this.#moved.set(id, known);
    return known;
  }

  #saw(topology: Topology): void {
    this.topology = topology;
    const now = new Map((topology.reshapes ?? []).map((reshape) => [reshape.id, reshape]));
    for (const [id, { reshape, atMs }] of this.#begun) {
      if (now.has(id)) continue;
      const endedMs = performance.now();
      const { kind, slots } = reshape;
      if (isDone(reshape, topology))
        this.all.push({ kind, slots, atMs: endedMs, tookMs: endedMs - atMs, moved: this.#movedOf(id) });
      this.#begun.delete(id);
    }
    for (const [id, reshape] of now)
      if (!this.#begun.has(id)) this.#begun.set(id, { reshape, atMs: performance.now() });
  }
}

/** One that was given up leaves its slots where they were. */
function isDone({ target, slots }: Reshape, { partitions }: Topology): boolean {
  const [first] = slots;
  const owner = partitions.find(({ slots }) =>
    slots.some(({ start, end }) => first !== undefined && start <= first.start && first.start < end),
  );
  return owner?.partition === target;
}

/** Around the moment at which the topology changed: a fence is at most so old by then, and gateways have heard of it. */
const beforeMs = 3000;
const afterMs = 1500;

/** The longest wait of a write to one of the slots while they were handed over; undefined: nobody wrote. */
export function pauseOf(
  { slots, atMs }: Pick<HandOver, 'slots' | 'atMs'>,
  writes: readonly ProbeWrite[],
): number | undefined {
  return longest(writes, atMs - beforeMs, atMs + afterMs, (slot) => isIn(slot, slots));
}

/** The longest waits of windows that are as long and have no hand-over in them: what the load alone does. */
export function restingPauses(writes: readonly ProbeWrite[], fromMs: number, toMs: number): readonly number[] {
  const pauses: number[] = [];
  for (let at = fromMs; at + beforeMs + afterMs <= toMs; at += beforeMs + afterMs) {
    const pause = longest(writes, at, at + beforeMs + afterMs, () => true);
    if (pause !== undefined) pauses.push(pause);
  }
  return pauses;
}

/* oxlint-disable-next-line max-params -- which of what */
function longest(
  writes: readonly ProbeWrite[],
  fromMs: number,
  toMs: number,
  counts: (slot: number) => boolean,
): number | undefined {
  let most: number | undefined;
  for (const { slot, sentMs, answeredMs } of writes) {
    if (answeredMs < fromMs || sentMs > toMs || !counts(slot)) continue;
    most = Math.max(most ?? 0, answeredMs - sentMs);
  }
  return most;
}

function isIn(slot: number, slots: readonly SlotRange[]): boolean {
  return slots.some(({ start, end }) => start <= slot && slot < end);
}

/** Of a few values: the least that so many percent of them do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN;
}
