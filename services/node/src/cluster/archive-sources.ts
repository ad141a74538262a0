// Which of a node's replicas it archives: those that run, and do for their partition what one replica does for all.
import type { ArchiveSource } from '../checkpoint/archivers.ts';
import type { LogOrigin } from '@statestore/checkpoint';
import type { PartitionLog, Topology } from '@statestore/core';
import type { Replica } from './replica.ts';

/** Also those that were merged away: of whoever took their slots nothing is known without the end of their logs. */
export function archiveSourcesOf(
  replicas: readonly Pick<Replica, 'partition' | 'state' | 'running'>[],
  topology: Topology | undefined,
): ArchiveSource[] {
  const known = { restoredFrom: topology?.restoredFrom?.checkpoint, lineage: topology?.lineage };
  return replicas.flatMap(({ partition, state, running }) => {
    if (state !== 'running' || running?.isFirst !== true) return [];
    const point = (): { readonly position: bigint; readonly chain: string } => {
      const { position, chain } = running.facts;
      return { position, chain };
    };
    const chainAt = (position: bigint): string | undefined => running.chainAt(position);
    const source = running.log.unguarded;
    const began = (): Promise<bigint | undefined> => source.beganNanos?.() ?? Promise.resolve(undefined);
    const log = { ...running.follows, ...known, origin: originOf(running.follows, topology) };
    return [{ partition, log, source, point, chainAt, began }];
  });
}

/** What the partition was split off, where this is its first log. */
function originOf({ incarnation, continues }: PartitionLog, topology: Topology | undefined): LogOrigin | undefined {
  const placements = [...(topology?.partitions ?? []), ...(topology?.retired ?? []).map(({ placement }) => placement)];
  const { origin } = placements.find(({ log }) => log?.incarnation === incarnation) ?? {};
  if (origin === undefined || continues?.position !== origin.position) return undefined;
  const source = placements.find(
    ({ partition, log }) => partition === origin.partition && log?.generation === origin.generation,
  );
  return { ...origin, incarnation: source?.log?.incarnation };
}

/**
 * Partitions that were merged away, and whose logs may not go yet: of the source of a merge there is nothing else than its
 * log, where somebody restores a moment after it from a checkpoint of before. `archived`: up to where a log is.
 */
export function heldLogsOf(
  sources: readonly Pick<ArchiveSource, 'partition' | 'log' | 'point'>[],
  { retired = [] }: Pick<Topology, 'retired'>,
  archived: (partition: number) => bigint | undefined,
): ReadonlySet<number> {
  const held = sources.filter(({ partition, log, point }) => {
    const isRetired = retired.some(({ placement }) => placement.log?.incarnation === log.incarnation);
    return isRetired && (archived(partition) ?? -1n) < (point()?.position ?? 0n);
  });
  return new Set(held.map(({ partition }) => partition));
}
