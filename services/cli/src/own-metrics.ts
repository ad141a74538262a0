// Metrics of a node on its own, where a gateway is another process: how far its partitions are, looked at when somebody
// scrapes. What its checkpoints and its archive tell goes into the same registry (node-checkpoints.ts).
import type { NodeService, PartitionStatus } from '@statestore/link';
import { nodeMetricTable } from '@statestore/node';
import { Gauge, Registry } from 'prom-client';

export function ownMetrics(node: Pick<NodeService, 'status'>): Registry {
  const registry = new Registry();
  const byPartition = (name: keyof typeof nodeMetricTable, value: (status: PartitionStatus) => bigint): void => {
    new Gauge<'partition'>({
      name,
      help: nodeMetricTable[name],
      labelNames: ['partition'],
      registers: [registry],
      async collect() {
        const { partitions } = await node.status();
        for (const each of partitions) this.set({ partition: String(each.partition) }, Number(value(each)));
      },
    });
  };
  byPartition('state_replica_applied_position', ({ appliedPosition }) => appliedPosition);
  byPartition('state_replica_stored_position', ({ storedPosition }) => storedPosition);
  new Gauge({
    name: 'state_node_ready',
    help: nodeMetricTable.state_node_ready,
    registers: [registry],
    async collect() {
      const { partitions } = await node.status();
      this.set(partitions.every(({ state }) => state === 'running') ? 1 : 0);
    },
  });
  return registry;
}
