// The moments that can be restored and what is archived, as `statestore checkpoint` shows them.
import type { ArchiveVerification, MomentRange } from '@statestore/checkpoint';
import { sizeOf } from './columns.ts';

/** The whole fraction: a restore to it takes it as it stands. */
export function momentOf(nanos: bigint): string {
  const seconds = new Date(Number(nanos / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const fraction = (nanos % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`;
}

export function momentsJson(ranges: readonly MomentRange[]): object[] {
  return ranges.map(({ cluster, fromNanos, throughNanos }) => ({
    cluster,
    from: momentOf(fromNanos),
    through: momentOf(throughNanos),
  }));
}

/** One line for each range; none where there is no checkpoint. */
export function momentsText(ranges: readonly MomentRange[]): string[] {
  return ranges.map(({ cluster, fromNanos, throughNanos }) =>
    fromNanos === throughNanos
      ? `${cluster}: ${momentOf(fromNanos)} can be restored`
      : `${cluster}: any moment from ${momentOf(fromNanos)} to ${momentOf(throughNanos)} can be restored`,
  );
}

export function archiveJson(archive: ArchiveVerification): object {
  return {
    ...archive,
    partitions: archive.partitions.map(({ position, nanos, ...more }) => ({
      ...more,
      position: String(position),
      time: momentOf(nanos),
    })),
    gaps: archive.gaps.map(({ first, last, afterNanos, untilNanos, ...more }) => ({
      ...more,
      first: String(first),
      last: String(last),
      after: momentOf(afterNanos),
      ...(untilNanos === undefined ? {} : { until: momentOf(untilNanos) }),
    })),
  };
}

export function archiveText({ partitions, gaps, findings, findingsTotal, ...read }: ArchiveVerification): string[] {
  const batches = partitions.reduce((sum, each) => sum + each.batches, 0);
  const what = `${read.segments} segments, ${batches} batches after it, ${sizeOf(read.storedBytes)}`;
  if (findingsTotal === 0) return [`archive is good: ${what}`];
  const missing = gaps.map(({ partition, first, last, afterNanos, untilNanos }) => {
    const until = untilNanos === undefined ? 'nothing is behind it' : `until ${momentOf(untilNanos)}`;
    return `  partition ${partition} has a gap: ${first} to ${last}, after ${momentOf(afterNanos)}, ${until}`;
  });
  const lines = findings.map(({ object, what: why }) => `  ${why.startsWith(object) ? why : `${object}: ${why}`}`);
  const more = findingsTotal > findings.length ? [`  and ${findingsTotal - findings.length} more`] : [];
  return ['archive is damaged:', ...missing, ...lines, ...more, `good of it: ${what}`];
}
