// Which of a node's replicas it archives: those that run, and do for their partition what one replica does for all.
import type { ArchiveSource } from '../checkpoint/archivers.ts';
import type { Replica } from './replica.ts';

export function archiveSourcesOf(
  replicas: readonly Pick<Replica, 'partition' | 'state' | 'running'>[],
  restoredFrom: string | undefined,
): ArchiveSource[] {
  return replicas.flatMap(({ partition, state, running }) => {
    if (state !== 'running' || running?.isFirst !== true) return [];
    const point = (): { readonly position: bigint; readonly chain: string } => {
      const { position, chain } = running.facts;
      return { position, chain };
    };
    const chainAt = (position: bigint): string | undefined => running.chainAt(position);
    const source = running.log.unguarded;
    const began = (): Promise<bigint | undefined> => source.beganNanos?.() ?? Promise.resolve(undefined);
    return [{ partition, log: { ...running.follows, restoredFrom }, source, point, chainAt, began }];
  });
}
