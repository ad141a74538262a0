// Metrics of the archive, of the node that archives a partition. What they are called: cluster/metric-table.ts.
import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';
import { nodeMetricTable, type NodeMetricName } from '../cluster/metric-table.ts';
import type { PartitionArchive } from './archivers.ts';

const values: Readonly<Partial<Record<NodeMetricName, (status: PartitionArchive) => number | undefined>>> = {
  state_archive_position: ({ position }) => (position === undefined ? undefined : Number(position)),
  state_archive_age_seconds: ({ ageMs }) => (ageMs === undefined ? undefined : ageMs / 1000),
  state_archive_bytes: ({ bytes }) => bytes,
  state_archive_failures: ({ failures }) => failures,
  state_archive_gap_positions: ({ gapPositions }) => Number(gapPositions),
};

/** Once, for a registry. */
export function watchArchive(registry: Registry, status: () => readonly PartitionArchive[]): void {
  for (const [name, value] of Object.entries(values)) {
    new Gauge({
      name,
      help: nodeMetricTable[name as NodeMetricName],
      labelNames: ['partition'],
      registers: [registry],
      collect() {
        this.reset();
        for (const each of status()) {
          const now = value(each);
          if (now !== undefined) this.set({ partition: each.partition }, now);
        }
      },
    });
  }
}
