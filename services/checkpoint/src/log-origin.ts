// Which log a partition was split off: pure. A log of a child names it, or only its partition and generation; and where the
// source's log was lost between fence and hand-over, it names the log after the one that has the fence.
import type { ArchivedLog } from './archived-log.ts';

export type OriginLog = Pick<
  ArchivedLog,
  'incarnation' | 'cluster' | 'partition' | 'generation' | 'continues' | 'origin' | 'lineage'
>;

/** In a log: what comes after the position is not in the child's state. */
export interface OriginPoint {
  readonly incarnation: string;
  readonly position: bigint;
}

/** Whether it is the first log of a partition that was split off. */
export function isSplitOff({ origin, continues }: Pick<OriginLog, 'origin' | 'continues'>): boolean {
  return origin !== undefined && continues?.position === origin.position;
}

/** By incarnation of the child's first log. Those of which nobody knows whose they are have none. */
export function originsOf(logs: readonly OriginLog[]): ReadonlyMap<string, OriginPoint> {
  const byIncarnation = new Map(logs.map((log) => [log.incarnation, log]));
  const found = new Map<string, OriginPoint>();
  for (const log of logs) {
    // One that carries on the first log before anything was written to that is none itself.
    if (!isSplitOff(log) || byIncarnation.has(log.continues!.incarnation)) continue;
    const { position } = log.origin!;
    let incarnation = log.origin!.incarnation ?? namedBy(log, logs)?.incarnation;
    for (let steps = 0; incarnation !== undefined && steps <= logs.length; steps++) {
      const continues: ArchivedLog['continues'] = byIncarnation.get(incarnation)?.continues;
      if (continues === undefined || continues.position < position || isSplitOff(byIncarnation.get(incarnation)!))
        break;
      incarnation = continues.incarnation;
    }
    if (incarnation !== undefined) found.set(log.incarnation, { incarnation, position });
  }
  return found;
}

/** The only one of the cluster that it can be. */
function namedBy({ cluster, lineage, origin }: OriginLog, logs: readonly OriginLog[]): OriginLog | undefined {
  const { partition, generation } = origin!;
  const [one, ...others] = logs.filter(
    (each) =>
      each.cluster === cluster &&
      each.partition === partition &&
      each.generation === generation &&
      (each.lineage === undefined || lineage === undefined || each.lineage === lineage),
  );
  return others.length === 0 ? one : undefined;
}
