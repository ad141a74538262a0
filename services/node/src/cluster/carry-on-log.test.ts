import { MemoryTopologyStore } from '@statestore/cluster';
import type { PartitionLog, Topology } from '@statestore/core';
import { evenTopology, StateStoreError } from '@statestore/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryLogs } from '../testing/memory-logs.ts';
import { carryOnLog } from './carry-on-log.ts';

let logs: MemoryLogs;
let topologyStore: MemoryTopologyStore;
let lost: PartitionLog;
const chain = 'ab'.repeat(16);

beforeEach(async () => {
  logs = new MemoryLogs();
  topologyStore = new MemoryTopologyStore();
  lost = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  const [placement] = evenTopology(1, ['a']).partitions;
  const spec = { replicationFactor: 1, logReplicas: 1, drained: [] };
  await topologyStore.replace({ epoch: 1n, spec, partitions: [{ ...placement!, log: lost }] });
});

const carryOn = (position = 9n): Promise<void> =>
  carryOnLog({ topologyStore, logStreams: logs }, { partition: 0, incarnation: lost.incarnation, position, chain });

async function named(): Promise<PartitionLog> {
  return (await topologyStore.read())!.partitions[0]!.log!;
}

/** Others change the topology whenever it is about to be changed. */
function interfere(change: (topology: Topology) => Topology, times: number): void {
  const replace = topologyStore.replace.bind(topologyStore);
  let left = times;
  topologyStore.replace = async (next) => {
    if (left-- > 0) {
      const topology = (await topologyStore.read())!;
      await replace({ ...change(topology), epoch: topology.epoch + 1n });
    }
    return replace(next);
  };
}

describe('a lost log', () => {
  test('is carried on by one that begins after what is kept, and says so', async () => {
    await carryOn();
    const log = await named();
    expect(log).toMatchObject({ generation: 2, continues: { incarnation: lost.incarnation, position: 9n, chain } });
    expect(log.incarnation).not.toBe(lost.incarnation);
    expect(await logs.describe(0, 2)).toMatchObject({ log, first: 10n, last: 9n });
    expect((await topologyStore.read())?.epoch).toBe(2n);
  });

  test('is named although the topology changes meanwhile', async () => {
    interfere((topology) => topology, 3);
    await carryOn();
    expect((await named()).generation).toBe(2);
    expect(await logs.describe(0, 3)).toBeUndefined();
  });

  test('is left to somebody else who was first, and nothing stays behind', async () => {
    const theirs: PartitionLog = { generation: 7, incarnation: '00000000-0000-4000-8000-000000000007' };
    const change = (topology: Topology): Topology => ({
      ...topology,
      partitions: topology.partitions.map((each) => ({ ...each, log: theirs })),
    });
    interfere(change, 1);
    await carryOn();
    expect(await named()).toEqual(theirs);
    expect(await logs.describe(0, 2)).toBeUndefined();
    await carryOn();
    expect(await named()).toEqual(theirs);
  });

  test('takes up the stream of an attempt that did not come to its end', async () => {
    const replace = topologyStore.replace.bind(topologyStore);
    topologyStore.replace = () => Promise.reject(new StateStoreError('outcome_unknown', 'lost'));
    await expect(carryOn()).rejects.toMatchObject({ code: 'outcome_unknown' });
    topologyStore.replace = replace;
    await carryOn();
    expect((await named()).generation).toBe(2);
  });

  test('leaves the stream of another attempt alone', async () => {
    const continues = { incarnation: lost.incarnation, position: 8n, chain };
    await logs.create({ partition: 0, generation: 2, replicas: 1, first: 9n, continues });
    await carryOn();
    expect(await named()).toMatchObject({ generation: 3, continues: { position: 9n } });
    expect(await logs.describe(0, 2)).toBeDefined();
  });

  test('cannot be where nobody answers, or no topology is', async () => {
    logs.down = true;
    await expect(carryOn()).rejects.toMatchObject({ code: 'unavailable' });
    topologyStore.lose();
    await expect(carryOn()).rejects.toMatchObject({ code: 'unavailable' });
  });
});
