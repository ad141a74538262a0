// What is left of logs, of the node that trims them. What it is called: cluster/metric-table.ts.
import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';
import { nodeMetricTable } from '../cluster/metric-table.ts';
import type { TrimOutcome } from './trim.ts';

/** Once, for a registry. `outcomes`: of the last time; none where this node did not trim. */
export function watchTrim(registry: Registry, outcomes: () => readonly TrimOutcome[]): void {
  const name = 'state_log_kept_positions';
  new Gauge({
    name,
    help: nodeMetricTable[name],
    labelNames: ['partition'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { partition, left } of outcomes()) if (left !== undefined) this.set({ partition }, Number(left));
    },
  });
}
