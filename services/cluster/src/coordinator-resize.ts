// How far the number of partitions can be changed now, as a pure function of what is seen: which splits and merges
// begin, which are given up, and what that means for replicas. What was begun is in the topology, and nodes carry it
// out (reshape-edits.ts is what they make of it).
import type { Merge, PartitionPlacement, Reshape, SlotsStep, Split, Topology } from '@statestore/core';
import { limits, mergeHomes, planResize } from '@statestore/core';
import type { ReshapeChange } from './coordinator-steps.ts';
import type { CoordinatorView } from './coordinator-view.ts';
import { isGivenUp, specOf, whyNotRunning } from './coordinator-view.ts';

export class ResizeView {
  readonly #view: CoordinatorView;
  readonly #steps: readonly SlotsStep[];
  readonly #giveUp: ReadonlySet<Reshape>;
  /** In splits and merges under way: nothing is to be changed about them. */
  readonly busy: ReadonlySet<number>;
  /** Of those that are to be merged soon: where they go in the end. */
  readonly homes: ReadonlyMap<number, number>;
  /** Among which replicas move for the sake of evenness. */
  readonly even: ReadonlySet<number>;

  constructor(view: CoordinatorView) {
    const { topology } = view;
    const { partitions, reshapes = [] } = topology;
    const spec = specOf(topology);
    const isPaused = spec.resizePaused === true;
    const wish = isPaused ? undefined : spec.partitions;
    const planned = wish === undefined ? undefined : planResize(topology, wish);
    this.#view = view;
    this.#steps = planned?.steps ?? [];
    this.#giveUp = new Set([...(planned?.giveUp ?? []), ...reshapes.filter((each) => this.#hasLost(each))]);
    this.busy = new Set(reshapes.flatMap(({ source, target }) => [source, target]));
    this.homes = new Map([...mergeHomes(this.#steps, limits.mergesAheadMax)].filter(([each]) => !this.busy.has(each)));
    const isMerging = this.#steps[0]?.kind === 'merge';
    const isUnfinished =
      reshapes.length > 0 || (spec.partitions !== undefined && spec.partitions !== partitions.length);
    const evened = isMerging ? planned!.partitions : isUnfinished ? [] : partitions;
    this.even = new Set(evened.map(({ partition }) => partition));
  }

  /** A replica of it has to be made elsewhere, which cannot be meanwhile. */
  #hasLost({ source, target }: Reshape): boolean {
    const { partitions } = this.#view.topology;
    const those = partitions.filter(({ partition }) => partition === source || partition === target);
    return those.some(({ replicas }) => replicas.some((node) => isGivenUp(this.#view, node)));
  }

  /** `changing`: partitions whose replicas are not where they are to be. */
  begin(changing: ReadonlySet<number>, newId: () => string): ResizeChange {
    const change = new ResizeChange(this.#view, newId);
    for (const reshape of this.#giveUp) change.giveUp(reshape);
    const touched = new Set(this.busy);
    // Those that begin get the numbers of those that come first: else gaps would add up.
    const numbers = this.#steps.flatMap((step) => (step.kind === 'split' ? [step.child] : []));
    for (const step of this.#steps) {
      const { partition } = step;
      const other = step.kind === 'split' ? step.child : step.into;
      const isFree = !touched.has(partition) && !touched.has(other);
      touched.add(partition).add(other);
      if (!isFree) continue;
      const [child = 0] = numbers;
      if (change.begin(step.kind === 'split' ? { ...step, child } : step, changing)) numbers.shift();
    }
    return change;
  }
}

/** What of it is done in one change of the topology. */
export class ResizeChange {
  readonly steps: ReshapeChange[] = [];
  readonly #waits: string[] = [];
  readonly #view: CoordinatorView;
  readonly #newId: () => string;
  #reshapes: readonly Reshape[];
  #lastGeneration: number | undefined;

  constructor(view: CoordinatorView, newId: () => string) {
    this.#view = view;
    this.#newId = newId;
    this.#reshapes = view.topology.reshapes ?? [];
    this.#lastGeneration = view.topology.lastGeneration;
  }

  /** Why others do not begin, and what is under way. */
  get waits(): readonly string[] {
    return [...this.#waits, ...this.#reshapes.map((reshape) => underWay(this.#view, reshape))];
  }

  get parts(): Pick<Topology, 'reshapes' | 'lastGeneration'> {
    const lastGeneration = this.#lastGeneration;
    return { reshapes: this.#reshapes, ...(lastGeneration === undefined ? {} : { lastGeneration }) };
  }

  giveUp(reshape: Reshape): void {
    if (reshape.cancelled) return;
    this.#reshapes = this.#reshapes.map((each) => (each === reshape ? { ...reshape, cancelled: true } : each));
    this.steps.push({ kind: 'giveUp', partition: reshape.source, into: reshape.target });
  }

  /** Whether it was begun. */
  begin(step: SlotsStep, changing: ReadonlySet<number>): boolean {
    if (this.#reshapes.length >= limits.reshapesMax) return false;
    const { partitions } = this.#view.topology;
    const find = (number: number): PartitionPlacement | undefined =>
      partitions.find(({ partition }) => partition === number);
    const source = find(step.partition);
    const target = step.kind === 'merge' ? find(step.into) : undefined;
    // It is of a partition that is yet to be made.
    if (source === undefined || (step.kind === 'merge' && target === undefined)) return false;
    const why = this.#whyNot(source, changing) ?? (target && (this.#whyNot(target, changing) ?? apart(source, target)));
    const into = step.kind === 'split' ? step.child : step.into;
    if (why !== undefined) {
      this.#waits.push(`the ${step.kind} of partition ${step.partition} into ${into} waits: ${why}`);
      return false;
    }
    this.#reshapes = [...this.#reshapes, step.kind === 'split' ? this.#split(source, step) : this.#merge(source, into)];
    this.steps.push({ kind: step.kind, partition: step.partition, into });
    return true;
  }

  #split({ partition }: PartitionPlacement, { child, slots }: SlotsStep & { kind: 'split' }): Split {
    const generation = greatestGeneration(this.#view.topology) + 1;
    this.#lastGeneration = generation;
    const log = { generation, incarnation: this.#newId() };
    return { kind: 'split', id: this.#newId(), source: partition, target: child, slots, slotsEpoch: this.#epoch, log };
  }

  #merge({ partition, slots }: PartitionPlacement, target: number): Merge {
    return { kind: 'merge', id: this.#newId(), source: partition, target, slots, slotsEpoch: this.#epoch };
  }

  /** Of the topology that this is a part of. */
  get #epoch(): bigint {
    return this.#view.topology.epoch + 1n;
  }

  #whyNot(placement: PartitionPlacement, changing: ReadonlySet<number>): string | undefined {
    const { partition, replicas, joining = [], leaving = [] } = placement;
    const lost = replicas.find((node) => isGivenUp(this.#view, node));
    if (lost !== undefined) return `partition ${partition} has a replica on node ${lost}, which is given up`;
    if (changing.has(partition)) return `replicas of partition ${partition} are being moved`;
    const [going = joining[0]] = leaving;
    if (going !== undefined) return `partition ${partition} cannot leave node ${going}: there are not enough nodes`;
    const lacking = replicas.flatMap((node) => whyNotRunning(this.#view, placement, node) ?? []);
    return replicas.length - lacking.length > replicas.length / 2 ? undefined : lacking.join(', ');
  }
}

function apart(source: PartitionPlacement, target: PartitionPlacement): string | undefined {
  const isSame =
    source.replicas.length === target.replicas.length &&
    source.replicas.every((node) => target.replicas.includes(node));
  if (isSame) return undefined;
  const on = ({ partition, replicas }: PartitionPlacement): string =>
    `partition ${partition} is on ${replicas.join(', ')}`;
  // No move is planned either: replicas stay where nobody else can take them.
  return `${on(source)}, ${on(target)}, and there are not enough nodes to bring them together`;
}

/** No log of this topology, or that was ever in it, has a later one. */
function greatestGeneration({ partitions, reshapes = [], retired = [], lastGeneration = 0 }: Topology): number {
  let greatest = lastGeneration;
  for (const { log } of partitions) greatest = Math.max(greatest, log?.generation ?? 0);
  for (const { placement } of retired) greatest = Math.max(greatest, placement.log?.generation ?? 0);
  for (const reshape of reshapes) if (reshape.kind === 'split') greatest = Math.max(greatest, reshape.log.generation);
  return greatest;
}

function underWay({ nodes }: CoordinatorView, { kind, id, source, target, cancelled }: Reshape): string {
  const whys = [...nodes].flatMap(([name, { report, live }]) => {
    const why = live ? report.reshapes?.find((each) => each.id === id)?.why : undefined;
    return why === undefined || why === '' ? [] : [`node ${name}: ${why}`];
  });
  const told = whys.length === 0 ? '' : ` (${whys.join(', ')})`;
  return `the ${kind} of partition ${source} into ${target} is ${cancelled ? 'being given up' : 'under way'}${told}`;
}
