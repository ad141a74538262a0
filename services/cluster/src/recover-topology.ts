// A topology bucket that was lost is made again from what nodes saw last. The newest that anybody tells of is
// taken; it is refused where somebody who may have seen a newer one has not spoken, unless that is insisted on.
import type { Topology } from '@statestore/core';
import { limits } from '@statestore/core';
import type { NodeRegistry, NodeReport } from './node-registry.ts';
import { encodeTopology } from './topology-codec.ts';
import type { TopologyStore } from './topology-store.ts';

export type TopologyDecision =
  | {
      readonly kind: 'restore';
      /** Of an epoch that was never given out before. */
      readonly topology: Topology;
      /** Of the one that it is made from. */
      readonly lastEpoch: bigint;
      /** Nodes that told of it. */
      readonly from: readonly string[];
      /** What spoke against it, where it was insisted on. */
      readonly despite: readonly string[];
    }
  | { readonly kind: 'refused'; readonly why: readonly string[] };

/** Pure. A report counts also where its node is not live: since then it has seen nothing. */
export function decideTopology(reports: readonly NodeReport[], { force = false } = {}): TopologyDecision {
  const telling = reports.filter(({ lastTopology }) => lastTopology !== undefined);
  const [first] = telling.toSorted((a, b) => compare(b.lastTopology!.epoch, a.lastTopology!.epoch) || byName(a, b));
  if (first?.lastTopology === undefined) return { kind: 'refused', why: ['no node tells of a topology that it saw'] };
  const best = first.lastTopology;
  const text = textOf(best);
  const why: string[] = [];
  for (const { name, lastTopology } of telling) {
    if (lastTopology!.epoch === best.epoch && textOf(lastTopology!) !== text) {
      why.push(`nodes ${first.name} and ${name} tell of different topologies of epoch ${best.epoch}`);
    }
  }
  for (const { name, lastTopology, epoch } of reports) {
    if (lastTopology === undefined && BigInt(epoch) > best.epoch) {
      why.push(`node ${name} acts on epoch ${epoch}, newer than ${best.epoch}, and does not tell of it`);
    }
  }
  const spoke = new Set(telling.map(({ name }) => name));
  const silent = [...namesIn(best)].filter((name) => !spoke.has(name)).sort();
  for (const name of silent) why.push(`node ${name} has not told what it saw last: it may have seen a newer one`);
  if (why.length > 0 && !force) return { kind: 'refused', why };
  return {
    kind: 'restore',
    topology: { ...best, epoch: best.epoch + limits.topologyRecoveryEpochs },
    lastEpoch: best.epoch,
    from: telling.flatMap(({ name, lastTopology }) => (lastTopology!.epoch === best.epoch ? [name] : [])),
    despite: why,
  };
}

export type TopologyRecovery =
  | Exclude<TopologyDecision, { readonly kind: 'restore' }>
  | (Omit<TopologyDecision & { kind: 'restore' }, 'kind'> & { readonly kind: 'restored' })
  /** It is not lost, or another one restored it. */
  | { readonly kind: 'present'; readonly topology: Topology };

/** Rejects with `unavailable` or `outcome_unknown`: then it may be called again. */
export async function recoverTopology(
  { topologyStore, registry }: { readonly topologyStore: TopologyStore; readonly registry: NodeRegistry },
  options: { readonly force?: boolean } = {},
): Promise<TopologyRecovery> {
  const present = await topologyStore.read();
  if (present !== undefined) return { kind: 'present', topology: present };
  const decision = decideTopology(await registry.list(), options);
  if (decision.kind === 'refused') return decision;
  if ((await topologyStore.restore(decision.topology)) === 'replaced') return { ...decision, kind: 'restored' };
  const other = await topologyStore.read();
  return other === undefined
    ? { kind: 'refused', why: ['another topology was there and is gone again'] }
    : { kind: 'present', topology: other };
}

function namesIn({ partitions, retired = [] }: Topology): ReadonlySet<string> {
  const all = [...partitions, ...retired.map(({ placement }) => placement)];
  return new Set(all.flatMap(({ replicas, joining = [] }) => [...replicas, ...joining]));
}

function textOf(topology: Topology): string {
  return new TextDecoder().decode(encodeTopology(topology));
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byName(a: NodeReport, b: NodeReport): number {
  return a.name < b.name ? -1 : 1;
}
