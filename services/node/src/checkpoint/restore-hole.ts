// A hole in the archive on the way to the newest state: whoever wants the newest there is gets what lies before it, and is
// told. Whoever names a moment beyond it is refused elsewhere, by what is missing.
import { coverageOf, type ListedSegment, type PathStep } from '@statestore/checkpoint';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export interface BeforeHole {
  /** The way, up to where the first hole begins. */
  readonly path: readonly PathStep[];
  readonly warning: string;
}

/** As names of segments say; undefined: there is no hole. */
export function beforeHole(
  { partition, position: from }: Pick<PartitionSummary, 'partition' | 'position'>,
  path: readonly PathStep[],
  segments: ReadonlyMap<string, readonly ListedSegment[]>,
): BeforeHole | undefined {
  let position = from;
  for (const [at, { incarnation, through }] of path.entries()) {
    const { spans } = coverageOf(segments.get(incarnation) ?? []);
    const span = spans.find(({ first, last }) => first <= position + 1n && last > position);
    if (span !== undefined) position = through !== undefined && span.last > through ? through : span.last;
    const next = spans.find(({ first }) => first > position);
    const isWhole = through === undefined ? next === undefined : position >= through;
    if (isWhole) continue;
    const end = next === undefined || (through !== undefined && through < next.first) ? through! : next.first - 1n;
    const beyond = through === undefined ? `up to its position ${spans.at(-1)!.last}` : 'or in logs that carry it on';
    return {
      path: [...path.slice(0, at), { incarnation, through: position }],
      warning:
        `batches ${position + 1n} to ${end} of log ${incarnation} of partition ${partition} are not archived: ` +
        `it ends before them, and nothing leads to what is archived after them, ${beyond}`,
    };
  }
  return undefined;
}
