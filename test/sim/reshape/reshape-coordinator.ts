// Who wishes: begins splits and merges at random, takes some back, moves replicas, and forgets partitions that were merged
// away when nobody can need them any more.
import type { PartitionPlacement, Reshape } from '@statestore/core';
import { slotCountOf } from '../../../services/core/src/slot-ranges.ts';
import type { Around } from './reshape-node.ts';
import type { Edit, TopologyDocument } from './reshape-topology.ts';
import { begun, binaryOf, cancelled, logOfPlacement, unretired, uuid, withReplicas } from './reshape-topology.ts';
import type { ReshapeWatcher } from './reshape-watcher.ts';

const partitionsMax = 6;
const reshapesMax = 2;

export class ReshapeCoordinator {
  splits = 0;
  merges = 0;
  cancels = 0;
  readonly #around: Around;
  readonly #document: TopologyDocument;
  readonly #watcher: ReshapeWatcher;

  constructor(around: Around, document: TopologyDocument, watcher: ReshapeWatcher) {
    this.#around = around;
    this.#document = document;
    this.#watcher = watcher;
  }

  step(mayBegin: boolean): void {
    const { random } = this.#around.world;
    const { reshapes = [], partitions } = this.#document.now;
    this.#promote();
    if (random.chance(0.3)) this.#forget();
    if (!mayBegin) return;
    const free = partitions.filter(
      ({ partition, joining }) =>
        joining === undefined && !reshapes.some(({ source, target }) => source === partition || target === partition),
    );
    if (random.chance(0.15) && reshapes.length > 0) return this.#cancel(random.pick(reshapes));
    if (free.length === 0) return;
    if (random.chance(0.25)) return this.#move(random.pick(free));
    if (reshapes.length >= reshapesMax) return;
    if (random.chance(partitions.length / partitionsMax)) this.#merge(free);
    else this.#split(random.pick(free));
  }

  #change(edit: Edit, why: string): boolean {
    return this.#document.change(this.#document.now, edit, why);
  }

  #begun(reshape: Reshape): void {
    const { source, target, kind } = reshape;
    this.#change(begun(reshape), `${kind} of ${source} and ${target} begins`);
    if (reshape.kind === 'split') this.#around.referee.knowSplit(binaryOf(reshape.id), reshape);
  }

  #split({ partition, slots }: PartitionPlacement): void {
    const { partitions, retired = [], reshapes = [], epoch } = this.#document.now;
    if (slotCountOf(slots) < 2) return;
    const all = [...partitions, ...retired.map(({ placement }) => placement)];
    const taken = new Set(all.map((each) => each.partition));
    const target = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].find(
      (number) => !taken.has(number) && !reshapes.some((each) => each.target === number),
    );
    if (target === undefined) return;
    const { start, end } = slots.at(-1)!;
    const given = slots.length > 1 ? [{ start, end }] : [{ start: Math.floor((start + end) / 2), end }];
    const slotsEpoch = epoch + 1n;
    const log = { generation: Number(slotsEpoch), incarnation: uuid(this.#around.world) };
    this.splits++;
    this.#begun({
      kind: 'split',
      id: uuid(this.#around.world),
      source: partition,
      target,
      slots: given,
      slotsEpoch,
      log,
    });
  }

  #merge(free: readonly PartitionPlacement[]): void {
    const { random } = this.#around.world;
    if (free.length < 2) return;
    const source = random.pick(free);
    const together = ({ partition, replicas }: PartitionPlacement): boolean =>
      partition !== source.partition && replicas.toSorted().join() === source.replicas.toSorted().join();
    const targets = free.filter(together);
    if (targets.length === 0) {
      // Brought together first.
      const other = random.pick(free);
      if (other.partition === source.partition || !other.replicas.every((name) => this.#serves(other, name))) return;
      const joining = source.replicas.filter((name) => !other.replicas.includes(name));
      const replicas = joining.length > 0 ? other.replicas : source.replicas;
      this.#change(withReplicas(other.partition, replicas, joining), `${other.partition} comes to ${joining.join()}`);
      return;
    }
    const { partition } = random.pick(targets);
    const { epoch } = this.#document.now;
    this.merges++;
    const id = uuid(this.#around.world);
    this.#begun({
      kind: 'merge',
      id,
      source: source.partition,
      target: partition,
      slots: source.slots,
      slotsEpoch: epoch + 1n,
    });
  }

  #cancel({ id, cancelled: isOff }: Reshape): void {
    if (isOff) return;
    this.cancels++;
    this.#change(cancelled(id), `${id} is cancelled`);
  }

  #move(placement: PartitionPlacement): void {
    const { partition, replicas } = placement;
    if (!replicas.every((name) => this.#serves(placement, name))) return;
    const { nodes, world } = this.#around;
    const other = nodes().find(({ name }) => !replicas.includes(name));
    if (other !== undefined && world.random.chance(0.6))
      this.#change(withReplicas(partition, replicas, [other.name]), `${partition} to ${other.name}`);
    else this.#leave(partition, replicas, world.random.pick(replicas));
  }

  #serves(placement: PartitionPlacement, name: string): boolean {
    const replica = this.#around
      .nodes()
      .find((node) => node.name === name)
      ?.replicas.get(logOfPlacement(placement));
    return replica !== undefined && replica.log.last - replica.live.state.position < 10n;
  }

  /** Those who joined and are near the end serve; where there are more than two then, one goes. */
  #promote(): void {
    const { world } = this.#around;
    for (const placement of this.#document.now.partitions) {
      const { partition, joining = [], replicas } = placement;
      const ready = joining.filter((name) => this.#serves(placement, name));
      if (ready.length === 0) continue;
      const rest = joining.filter((name) => !ready.includes(name));
      const mayLeave = replicas.length > 2 && replicas.every((name) => this.#serves(placement, name));
      const stay = mayLeave && world.random.chance(0.5) ? replicas.slice(1) : replicas;
      this.#change(withReplicas(partition, [...stay, ...ready], rest), `${partition} is served by ${ready.join()}`);
      return;
    }
  }

  #leave(partition: number, replicas: readonly string[], name: string): void {
    if (replicas.length < 3) return;
    const rest = replicas.filter((each) => each !== name);
    this.#change(withReplicas(partition, rest, []), `${name} gives ${partition} up`);
  }

  /** A grace time is longer than anybody asks for what became of a request, and than a watch is behind. */
  #forget(): void {
    const { world, referee } = this.#around;
    for (const retired of this.#document.now.retired ?? []) {
      const id = logOfPlacement(retired.placement);
      if (world.waiting > 0 || !this.#watcher.hasPassed(id, retired.sealedPosition)) continue;
      referee.all.get(id)!.log.isGone = true;
      this.#change(unretired(retired), `${id} is forgotten`);
      return;
    }
  }
}
