// Somebody who follows all changes across splits and merges, by what topology and replicas say: each change once, and those
// of a key in their order.
import type { Change } from '@statestore/core';
import type { LogId } from './reshape-log.ts';
import { logId } from './reshape-log.ts';
import type { Around } from './reshape-node.ts';
import { logOfPlacement } from './reshape-topology.ts';
import type { ReshapeGateway } from './reshape-gateway.ts';

export class ReshapeWatcher {
  readonly #around: Around;
  readonly #gateway: ReshapeGateway;
  /** The next position of each log that is followed. */
  readonly #next = new Map<LogId, bigint>();
  /** By key: where each change was, in the order in which it was told of. */
  readonly told = new Map<string, string[]>();

  constructor(around: Around, gateway: ReshapeGateway) {
    this.#around = around;
    this.#gateway = gateway;
    for (const placement of gateway.view.partitions) this.#next.set(logOfPlacement(placement), 1n);
  }

  /** False: there was nothing. */
  step(): boolean {
    const { world, nodes, referee } = this.#around;
    const { view } = this.#gateway;
    const retired = view.retired ?? [];
    const all = [...view.partitions, ...retired.map(({ placement }) => placement)];
    const placement = world.random.pick(all);
    const id = logOfPlacement(placement);
    const next = this.#next.get(id) ?? this.#begin(placement.origin);
    if (next === undefined) return false;
    this.#next.set(id, next);
    const replica = world.random.pick(nodes()).replicas.get(id);
    if (replica === undefined || replica.live.state.position < next) return false;
    // Changes of a layout that is not known yet: first whoever gave slots is to be followed to its end.
    if (
      replica.live.state.slotsEpoch > (placement.slotsEpoch ?? 0n) &&
      !retired.some((each) => each.placement === placement)
    ) {
      this.#gateway.refresh();
      return false;
    }
    const merges =
      world.bug === 'watch-does-not-wait'
        ? []
        : retired.filter(({ into }) => logId(into.partition, into.generation) === id);
    const waits = merges.some((merge) => {
      const followed = this.#next.get(logOfPlacement(merge.placement)) ?? 0n;
      return next > merge.into.position && followed <= merge.sealedPosition;
    });
    if (waits) return false;
    for (const change of referee.all.get(id)!.changes.get(next) ?? []) this.#tell(id, change);
    this.#next.set(id, next + 1n);
    return true;
  }

  /** A child is followed when its source was followed to where it begins. */
  #begin(
    origin: { readonly partition: number; readonly generation: number; readonly position: bigint } | undefined,
  ): bigint | undefined {
    if (origin === undefined) return undefined;
    const followed = this.#next.get(logId(origin.partition, origin.generation));
    return followed !== undefined && followed > origin.position ? origin.position + 1n : undefined;
  }

  #tell(id: LogId, { store, key, revision, kind }: Change): void {
    if (kind === 'clear') return;
    const name = `${store}/${key}`;
    this.told.set(name, [...(this.told.get(name) ?? []), `${kind} ${id} ${revision}`]);
  }

  isAtEnd(): boolean {
    const { partitions, retired = [] } = this.#gateway.view;
    if (!retired.every((each) => this.hasPassed(logOfPlacement(each.placement), each.sealedPosition))) return false;
    return partitions.every((placement) => {
      const id = logOfPlacement(placement);
      const log = this.#around.referee.all.get(id)?.log;
      return log !== undefined && (this.#next.get(id) ?? 0n) > log.last;
    });
  }

  /** Whether the retired partition's changes are of no more use to it. */
  hasPassed(id: LogId, sealed: bigint): boolean {
    return (this.#next.get(id) ?? 0n) > sealed;
  }

  refresh(): void {
    this.#gateway.refresh();
  }

  check(): void {
    const { world, referee } = this.#around;
    const names = new Set([...this.told.keys(), ...referee.changes.keys()]);
    for (const name of names) {
      const [told, truly] = [this.told.get(name) ?? [], referee.changes.get(name) ?? []];
      const at = truly.findIndex((change, i) => change !== told[i]);
      if (at === -1 && told.length === truly.length) continue;
      world.wrong(
        `a watch is told ${told[Math.max(at, 0)]} of ${name} instead of ${truly[Math.max(at, 0)]} (${told.length} of ${truly.length})`,
      );
    }
  }
}
