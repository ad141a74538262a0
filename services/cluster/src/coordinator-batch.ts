// The next change of the topology, as a pure function of what is seen: of the plan, what may be done now. A
// move takes several: the new replica joins, and the old one is marked as leaving; it is promoted once it
// runs near the end of its log; and the old one goes once as many others serve as are wanted. All
// that is under way is in the document, so whoever goes on with it needs to remember nothing.
import type { PartitionPlacement, ReplicaStep, Topology } from '@statestore/core';
import { planReplicas } from '@statestore/core';
import { withoutEmpty } from './change-topology.ts';
import { ResizeView } from './coordinator-resize.ts';
import { retiredChanges } from './coordinator-retired.ts';
import type { CoordinatorStep, ReplicaChange } from './coordinator-steps.ts';
import type { CoordinatorView } from './coordinator-view.ts';
import { isBehind, planNodes, specOf, whyNotReady, whyNotServing } from './coordinator-view.ts';
import { Joins } from './joins.ts';
import { withoutWish } from './resize-edits.ts';

export type CoordinatorBatch =
  | { readonly kind: 'done' }
  | { readonly kind: 'change'; readonly next: Topology; readonly steps: readonly CoordinatorStep[] }
  | { readonly kind: 'waiting'; readonly for: string };

/** `newId` draws UUIDs. Throws `invalid_settings` where the topology is of no cluster. */
export function nextBatch(view: CoordinatorView, newId: () => string): CoordinatorBatch {
  const { topology } = view;
  const resize = new ResizeView(view);
  const { replicationFactor } = specOf(topology);
  const { busy: fixed, homes, even } = resize;
  const wanted = planReplicas(topology.partitions, { replicationFactor, nodes: planNodes(view), fixed, homes, even });
  const changes = placementChanges(view, wanted);
  const changing = new Set(wanted.flatMap(({ kind, partition }) => (kind === 'prefer' ? [] : [partition])));
  const reshaped = resize.begin(changing, newId);
  const retired = retiredChanges(view);
  const all = [...changes.values()];
  const steps = [...retired.steps, ...reshaped.steps, ...all.flatMap((change) => change.steps)];
  const partitions = topology.partitions.map((placement) => changes.get(placement.partition)?.placement ?? placement);
  const next = { ...topology, epoch: topology.epoch + 1n, partitions, ...reshaped.parts, ...retired.parts };
  if (steps.length > 0) return { kind: 'change', next: withoutEmpty(next), steps };
  const waits = [...reshaped.waits, ...all.flatMap((change) => change.waits)];
  if (waits.length > 0) return { kind: 'waiting', for: waitsTold(waits) };
  return ended(topology) ?? atRest(view);
}

/** By partition, in the order in which they are begun. */
function placementChanges(view: CoordinatorView, wanted: readonly ReplicaStep[]): ReadonlyMap<number, PlacementChange> {
  const { topology } = view;
  const placements = new Map(topology.partitions.map((placement) => [placement.partition, placement]));
  const joins = new Joins(topology);
  const changes = new Map<number, PlacementChange>();
  for (const [partition, steps] of Map.groupBy(wanted, (each) => each.partition)) {
    changes.set(partition, new PlacementChange(view, placements.get(partition)!, steps, joins));
  }
  return changes;
}

/** What was wished for is there, and all is in its place, as far as it can be. */
function ended(topology: Topology): CoordinatorBatch | undefined {
  const { spec, partitions, reshapes = [] } = topology;
  if (spec?.partitions !== partitions.length || reshapes.length > 0) return undefined;
  const next = { ...topology, epoch: topology.epoch + 1n, spec: withoutWish(spec) };
  return { kind: 'change', next, steps: [{ kind: 'resized', partitions: partitions.length }] };
}

/** Nothing is to be done, which is not to say that all is as wanted: nodes may be missing, or silent. */
function atRest(view: CoordinatorView): CoordinatorBatch {
  const { topology } = view;
  const { replicationFactor } = specOf(topology);
  const accepting = new Set(planNodes(view).flatMap(({ name, accepts }) => (accepts ? [name] : [])));
  const waits = topology.partitions.flatMap((placement) => {
    const { partition, replicas, leaving = [] } = placement;
    const stay = replicas.filter((node) => accepting.has(node) && !leaving.includes(node));
    const going = replicas.filter((node) => !stay.includes(node));
    if (stay.length < replicationFactor) {
      const held = going.length === 0 ? '' : `, beside those on ${going.join(', ')}`;
      return [
        `partition ${partition} has ${stay.length} of ${replicationFactor} replicas${held}: there are not enough nodes`,
      ];
    }
    const silent = stay.flatMap((node) => whyNotServing(view, placement, node) ?? []);
    return going.length === 0 ? [] : [`partition ${partition} cannot leave ${going.join(', ')}: ${silent.join(', ')}`];
  });
  return waits.length === 0 ? { kind: 'done' } : { kind: 'waiting', for: waitsTold(waits) };
}

/** Of so many, that a person may want to read. */
const waitsToldMax = 3;

function waitsTold(waits: readonly string[]): string {
  const all = [...new Set(waits)];
  const more = all.length - waitsToldMax;
  const told = all.slice(0, waitsToldMax).join('; ');
  return more > 0 ? `${told}; and ${more} more` : told;
}

class PlacementChange {
  readonly steps: ReplicaChange[] = [];
  readonly waits: string[] = [];
  readonly #view: CoordinatorView;
  readonly #before: PartitionPlacement;
  readonly #joins: Joins;
  readonly #adds: readonly string[];
  readonly #removes: readonly string[];
  #replicas: readonly string[];
  #joining: readonly string[];
  #leaving: readonly string[];

  /* oxlint-disable-next-line max-params -- what it is made of */
  constructor(view: CoordinatorView, before: PartitionPlacement, planned: readonly ReplicaStep[], joins: Joins) {
    this.#view = view;
    this.#before = before;
    this.#joins = joins;
    this.#replicas = before.replicas;
    this.#joining = before.joining ?? [];
    this.#leaving = before.leaving ?? [];
    const nodesOf = (kind: ReplicaStep['kind']): readonly string[] =>
      planned.flatMap((step) => (step.kind === kind ? [step.node] : []));
    this.#adds = nodesOf('addReplica');
    this.#removes = nodesOf('removeReplica');
    this.#remove();
    this.#callBack();
    this.#promote();
    this.#join();
    const [preferred] = nodesOf('prefer');
    if (preferred !== undefined && this.#adds.length + this.#removes.length === 0) this.#prefer(preferred);
  }

  get placement(): PartitionPlacement {
    if (this.steps.length === 0) return this.#before;
    const { joining: _joining, leaving: _leaving, ...rest } = this.#before;
    return {
      ...rest,
      replicas: this.#replicas,
      ...(this.#joining.length === 0 ? {} : { joining: this.#joining }),
      ...(this.#leaving.length === 0 ? {} : { leaving: this.#leaving }),
    };
  }

  #did(kind: ReplicaChange['kind'], node: string): void {
    this.steps.push({ kind, partition: this.#before.partition, node });
  }

  /** Judged by who serves already: not by who is promoted in the same change, and may not know of it for a while. */
  #remove(): void {
    for (const node of this.#removes) {
      if (this.#joining.includes(node)) {
        this.#joining = without(this.#joining, node);
        this.#joins.ended(node);
      } else {
        const why = this.#whyNotRemoved(node);
        if (why.length > 0) {
          this.waits.push(...why);
          continue;
        }
        this.#replicas = without(this.#replicas, node);
        this.#leaving = without(this.#leaving, node);
      }
      this.#did('remove', node);
    }
  }

  /** Also one that is silent: it may have what those that are silent beside it have lost. Empty: it may go. */
  #whyNotRemoved(node: string): readonly string[] {
    const { partition } = this.#before;
    const { replicationFactor } = specOf(this.#view.topology);
    const others = this.#replicas.filter((other) => !this.#removes.includes(other));
    const lacking = others.filter((other) => whyNotServing(this.#view, this.#before, other) !== undefined);
    const serving = others.length - lacking.length;
    if (serving >= replicationFactor) return [];
    const whyOf = (other: string): string => whyNotServing(this.#view, this.#before, other)!;
    const behind = lacking.filter((other) => isBehind(this.#view, other));
    // Said once for all partitions.
    if (serving + behind.length >= replicationFactor) return behind.map(whyOf);
    const why = lacking.length === 0 ? '' : ` (${lacking.map(whyOf).join(', ')})`;
    return [`partition ${partition} cannot leave node ${node}: ${serving} of ${replicationFactor} others serve${why}`];
  }

  #callBack(): void {
    for (const node of this.#adds.filter((each) => this.#leaving.includes(each))) {
      this.#leaving = without(this.#leaving, node);
      this.#did('stay', node);
    }
  }

  #promote(): void {
    for (const node of this.#joining.filter((each) => this.#adds.includes(each))) {
      const why = whyNotReady(this.#view, this.#before, node);
      if (why !== undefined) {
        this.waits.push(why);
        continue;
      }
      this.#joining = without(this.#joining, node);
      this.#replicas = [...this.#replicas, node];
      this.#joins.ended(node);
      this.#did('promote', node);
    }
  }

  #join(): void {
    const known = new Set([...this.#before.replicas, ...(this.#before.joining ?? [])]);
    let began = false;
    for (const node of this.#adds.filter((each) => !known.has(each))) {
      if (!this.#joins.take(node)) {
        this.waits.push(`partition ${this.#before.partition} waits for its turn on node ${node}`);
        continue;
      }
      this.#joining = [...this.#joining, node];
      this.#did('join', node);
      began = true;
    }
    if (!began) return;
    // Said at once who goes for it, so that a plan made on the way does not choose another.
    for (const node of this.#removes) {
      if (!this.#replicas.includes(node) || this.#leaving.includes(node)) continue;
      this.#leaving = [...this.#leaving, node];
      this.#did('leave', node);
    }
  }

  #prefer(node: string): void {
    const why = whyNotServing(this.#view, this.#before, node);
    if (why !== undefined) {
      this.waits.push(why);
      return;
    }
    this.#replicas = [node, ...without(this.#replicas, node)];
    this.#did('prefer', node);
  }
}

function without(nodes: readonly string[], node: string): readonly string[] {
  return nodes.filter((other) => other !== node);
}
