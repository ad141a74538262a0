// The next change of the topology, as a pure function of what is seen: of the plan, what may be done now. A
// move takes several: the new replica joins, and the old one is marked as leaving; it is promoted once it
// runs near the end of its log; and the old one goes once as many others serve as are wanted. All
// that is under way is in the document, so whoever goes on with it needs to remember nothing.
import type { PartitionPlacement, PlanStep, Topology } from '@statestore/core';
import { limits, plan } from '@statestore/core';
import type { CoordinatorView } from './coordinator-view.ts';
import { isBehind, planNodes, specOf, whyNotReady, whyNotServing } from './coordinator-view.ts';

export interface CoordinatorStep {
  readonly kind:
    /** Begins to build a replica. */
    | 'join'
    /** Serves from now on. */
    | 'promote'
    /** Is to go, once others serve. */
    | 'leave'
    /** Is not to go after all. */
    | 'stay'
    | 'remove'
    /** Is preferred as proposer. */
    | 'prefer';
  readonly partition: number;
  readonly node: string;
}

export type CoordinatorBatch =
  | { readonly kind: 'done' }
  | { readonly kind: 'change'; readonly next: Topology; readonly steps: readonly CoordinatorStep[] }
  | { readonly kind: 'waiting'; readonly for: string };

/** Throws `invalid_settings` where the topology is of no cluster. */
export function nextBatch(view: CoordinatorView): CoordinatorBatch {
  const { topology } = view;
  const { replicationFactor } = specOf(topology);
  const wish = { partitions: topology.partitions.length, replicationFactor };
  const planned = Map.groupBy(plan(topology, wish, planNodes(view)), ({ partition }) => partition);
  if (planned.size === 0) return atRest(view);
  const joins = new Joins(topology);
  const steps: CoordinatorStep[] = [];
  const waits: string[] = [];
  const partitions = topology.partitions.map((placement) => {
    const wanted = planned.get(placement.partition);
    if (wanted === undefined) return placement;
    const change = new PlacementChange(view, placement, wanted, joins);
    steps.push(...change.steps);
    waits.push(...change.waits);
    return change.placement;
  });
  if (steps.length > 0) return { kind: 'change', next: { ...topology, epoch: topology.epoch + 1n, partitions }, steps };
  return { kind: 'waiting', for: waitsTold(waits) };
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

/** How much is being built, so that copies do not take the cluster from its clients. */
class Joins {
  readonly #byNode = new Map<string, number>();
  #all = 0;

  constructor({ partitions }: Topology) {
    for (const { joining = [] } of partitions) for (const node of joining) this.#count(node, 1);
  }

  take(node: string): boolean {
    if (this.#all >= limits.joinsMax || (this.#byNode.get(node) ?? 0) >= limits.joinsPerNodeMax) return false;
    this.#count(node, 1);
    return true;
  }

  ended(node: string): void {
    this.#count(node, -1);
  }

  #count(node: string, by: number): void {
    this.#byNode.set(node, (this.#byNode.get(node) ?? 0) + by);
    this.#all += by;
  }
}

type NodeStep = Extract<PlanStep, { readonly node: string }>;

class PlacementChange {
  readonly steps: CoordinatorStep[] = [];
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
  constructor(view: CoordinatorView, before: PartitionPlacement, planned: readonly PlanStep[], joins: Joins) {
    this.#view = view;
    this.#before = before;
    this.#joins = joins;
    this.#replicas = before.replicas;
    this.#joining = before.joining ?? [];
    this.#leaving = before.leaving ?? [];
    const nodesOf = (kind: NodeStep['kind']): readonly string[] =>
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

  #did(kind: CoordinatorStep['kind'], node: string): void {
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
