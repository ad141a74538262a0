// One change of the topology by compare-and-set, made again on what others made of it meanwhile.
import type { Topology } from '@statestore/core';
import { StateStoreError, limits } from '@statestore/core';
import type { TopologyStore } from './topology-store.ts';

export interface TopologyChange {
  /** False: there was nothing to change. */
  readonly changed: boolean;
  /** As it is now. */
  readonly topology: Topology;
}

/**
 * `change` gets the present topology and returns the parts that are to be different; undefined: none, it is as it should
 * be. Called again where another change came between, so it may not assume anything. Rejects with
 * `unavailable`, also where there is no topology, and with `outcome_unknown`.
 */
export async function changeTopology(
  store: Pick<TopologyStore, 'read' | 'replace'>,
  change: (topology: Topology) => Partial<Omit<Topology, 'epoch'>> | undefined,
): Promise<TopologyChange> {
  for (let attempt = 0; attempt < limits.topologyAttemptsMax; attempt++) {
    const topology = await store.read();
    if (topology === undefined) {
      throw new StateStoreError('unavailable', 'the cluster has no topology', {
        hint: 'make one (statestore init), or recover it where it was lost (statestore recover)',
      });
    }
    const changes = change(topology);
    if (changes === undefined) return { changed: false, topology };
    const next = withoutEmpty({ ...topology, ...changes, epoch: topology.epoch + 1n });
    if ((await store.replace(next)) === 'replaced') return { changed: true, topology: next };
  }
  throw new StateStoreError(
    'unavailable',
    `the topology was changed by others ${limits.topologyAttemptsMax} times while it was to be changed`,
    { retryAfterMs: limits.bucketRetryMs },
  );
}

/** Of what there is none, nothing is said. */
export function withoutEmpty({ reshapes = [], retired = [], ...rest }: Topology): Topology {
  return {
    ...rest,
    ...(reshapes.length === 0 ? {} : { reshapes }),
    ...(retired.length === 0 ? {} : { retired }),
  };
}
