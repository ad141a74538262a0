// What a set of segments of one log covers: pure. Segments may overlap, since two archivers may have been at work;
// what they cover together is what counts.

/** first ≤ position ≤ last. */
export interface PositionSpan {
  readonly first: bigint;
  readonly last: bigint;
}

export interface Coverage {
  /** What is there, ascending, neither touching nor overlapping. */
  readonly spans: readonly PositionSpan[];
  /** What is missing between them. */
  readonly gaps: readonly PositionSpan[];
  /** What more than one segment has. */
  readonly overlaps: readonly PositionSpan[];
}

export function coverageOf(segments: readonly PositionSpan[]): Coverage {
  const spans: PositionSpan[] = [];
  const overlaps: PositionSpan[] = [];
  for (const { first, last } of ascending(segments)) {
    const before = spans.at(-1);
    if (before === undefined || first > before.last + 1n) {
      spans.push({ first, last });
      continue;
    }
    if (first <= before.last) overlap(overlaps, { first, last: least(last, before.last) });
    if (last > before.last) spans[spans.length - 1] = { first: before.first, last };
  }
  const gaps = spans.slice(1).map(({ first }, at) => ({ first: spans[at]!.last + 1n, last: first - 1n }));
  return { spans, gaps, overlaps };
}

function overlap(overlaps: PositionSpan[], { first, last }: PositionSpan): void {
  const before = overlaps.at(-1);
  if (before === undefined || first > before.last + 1n) overlaps.push({ first, last });
  else if (last > before.last) overlaps[overlaps.length - 1] = { first: before.first, last };
}

/**
 * Up to which position a log is archived, as far as that can be: everything from `logFirst` on, but for what could
 * not be archived any more when archiving began. logFirst - 1 where nothing is. Below it the archive needs the log no more.
 */
export function archivedThrough(segments: readonly PositionSpan[], logFirst: bigint): bigint {
  const span = coverageOf(segments).spans.find(({ last }) => last >= logFirst - 1n);
  return span === undefined ? logFirst - 1n : span.last;
}

export interface FillingPlan {
  /** Position after which to go on. */
  readonly after: bigint;
  /** Where the next segments begin that are there already. */
  readonly until: bigint | undefined;
}

/** Where an archiver goes on: after the first segments whose successor the log still has. Undefined: after none. */
export function planFilling(segments: readonly PositionSpan[], logFirst: bigint): FillingPlan | undefined {
  const { spans } = coverageOf(segments);
  const at = spans.findIndex(({ last }) => last + 1n >= logFirst);
  return at === -1 ? undefined : { after: spans[at]!.last, until: spans[at + 1]?.first };
}

function ascending<S extends PositionSpan>(segments: readonly S[]): S[] {
  return segments.toSorted((a, b) => compare(a.first, b.first) || compare(a.last, b.last));
}

function compare(a: bigint, b: bigint): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
