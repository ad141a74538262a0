// The registry of nodes in memory, for simulation and tests. It keeps text, as the bucket does.
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { decodeNodeReport, encodeNodeReport } from './node-report-codec.ts';
import type { NodeRegistry, NodeReport, ObservedNode, RegistryWatch } from './node-registry.ts';
import { ObservedNodes } from './observed-nodes.ts';

export class MemoryNodeRegistry implements NodeRegistry {
  readonly #reports = new Map<string, Uint8Array>();
  readonly #watches = new Set<ObservedNodes>();
  readonly #clock: Clock;

  constructor({ clock = systemClock }: { readonly clock?: Clock } = {}) {
    this.#clock = clock;
  }

  report(report: NodeReport): Promise<void> {
    const bytes = encodeNodeReport(report);
    this.#reports.set(report.name, bytes);
    for (const watch of this.#watches) watch.saw(decodeNodeReport(bytes));
    return Promise.resolve();
  }

  watch(onNodes: (nodes: ReadonlyMap<string, ObservedNode>) => void): RegistryWatch {
    const watch = new ObservedNodes(this.#clock, onNodes);
    this.#watches.add(watch);
    watch.sawAll(this.#all(), this.#clock.elapsedMs());
    return {
      close: () => {
        this.#watches.delete(watch);
        watch.close();
        return Promise.resolve();
      },
    };
  }

  list(): Promise<readonly NodeReport[]> {
    return Promise.resolve(this.#all());
  }

  remove(name: string): Promise<void> {
    this.#reports.delete(name);
    for (const watch of this.#watches) watch.removed(name);
    return Promise.resolve();
  }

  #all(): readonly NodeReport[] {
    return [...this.#reports.values()].map(decodeNodeReport);
  }
}
