// Keys by the partition that they lie in, for clients that are to reach all of them.
import { binaryFromText, slotOf } from '@statestore/core';
import type { PartitionPlacement, Topology } from '@statestore/core';
import type { Pool } from 'undici';

/** Epoch and partitions, as a gateway knows them. */
export async function topologyOf(gateway: Pool): Promise<Topology> {
  const { body } = await gateway.request({ method: 'GET', path: '/v1/topology' });
  const { epoch, partitions } = (await body.json()) as { epoch: string; partitions: PartitionPlacement[] };
  return { epoch: BigInt(epoch), partitions };
}

/** The same for the same number, another one for another. `owners`: of slotOwners. */
export function keyOf(store: string, partition: number, owners: Uint16Array, number: number): string {
  for (let n = number * 1_000_000; ; n++) {
    const key = `k${n}`;
    if (owners[slotOf(store, binaryFromText(key))] === partition) return key;
  }
}
