// Which history a cluster's partition has, by everything that a repository says of it: pure. Logs form a tree, since a
// recovery or a restore begins a new log that carries another one on from some position. The history at a time is that of
// the log that began last, and what came before it on the way there; what it left behind is none of it, whether anything
// was written to the new log or not. Why so: docs/decisions/0013-which-history.md.
import { limits, StateStoreError } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { PathEnd, PathStart, PathStep } from './archive-path.ts';
import { pathTo } from './archive-path.ts';
import { chainToHex } from './archive-segment.ts';
import type { ArchivedLog } from './archived-log.ts';
import { isSplitOff, type OriginPoint, originsOf } from './log-origin.ts';

/** A log that is described in the archive. */
export interface KnownLog extends ArchivedLog {
  /** Time of its first batch that can be read, ns since 1970; undefined: there is none, or nobody looked. */
  readonly firstNanos?: bigint | undefined;
  /** When its description was stored, ns since 1970. */
  readonly describedNanos?: bigint | undefined;
  /** The greatest position of it that is archived. */
  readonly lastArchived?: bigint | undefined;
}

export interface HistoryOptions {
  readonly cluster: string;
  /** Of any cluster. */
  readonly logs: readonly KnownLog[];
  /** All that can be read; those of other clusters are passed over. */
  readonly checkpoints: readonly CheckpointManifest[];
}

/** What a partition went on with, from a time on. */
interface Beginning {
  readonly nanos: bigint;
  readonly end: PathEnd;
  /** The checkpoint of a restore of which nobody says whether a cluster began with it. */
  readonly unsettled?: CheckpointManifest | undefined;
  /** Of the checkpoint of a restore. */
  readonly isRestored?: true;
  /** How many logs lead to it, and its generation: of two at one time the greater one is the later one. */
  readonly depth: number;
  readonly generation: number;
}

/** A partition that came to be by a split. */
export interface SplitOff {
  readonly partition: number;
  /** Of its first log that is known. */
  readonly generation: number;
  /** UUID of the state that it began with; of no log. */
  readonly incarnation: string;
  /** Of the source's log, and the child's: its first batch comes after it. */
  readonly position: bigint;
  /** Of that state: 32 hexadecimal digits. */
  readonly chain: string;
}

/** What shows that a log went on after what is archived of it. */
export interface Evidence {
  readonly what: string;
  /** From this moment on there is a state again, ns since 1970; undefined: nobody knows. */
  readonly nanos: bigint | undefined;
}

export class History {
  readonly #logs: readonly KnownLog[];
  readonly #checkpoints: readonly CheckpointManifest[];
  readonly #own: readonly KnownLog[];
  readonly #origins: ReadonlyMap<string, OriginPoint>;
  readonly #beginnings = new Map<number, readonly Beginning[]>();

  constructor({ cluster, logs, checkpoints }: HistoryOptions) {
    this.#logs = logs;
    this.#checkpoints = checkpoints.filter((each) => each.cluster === cluster);
    this.#own = logs.filter((each) => each.cluster === cluster);
    this.#origins = originsOf(logs);
  }

  /**
   * From a state to where the history leads that the partition has at a time; undefined: now. Throws
   * `invalid_parameter` where it does not lead from there, or where that cannot be told.
   */
  pathFrom(partition: number, from: PathStart, nanos: bigint | undefined): PathStep[] {
    const end = this.endAt(partition, nanos, from.incarnation);
    return end === undefined ? [] : pathTo(this.#logs, from, end);
  }

  /**
   * Where the history of a partition ends at a time. Throws `invalid_parameter` where that cannot be told. `of`: UUID of a log
   * of it, where a partition of the same number may have been split off later, when this one was merged away.
   */
  endAt(partition: number, nanos: bigint | undefined, of?: string): PathEnd | undefined {
    const all = this.#beginningsFor(partition, of);
    const last = lastUntil(all, nanos);
    if (last?.unsettled === undefined) return last?.end;
    const settled = all.filter(({ unsettled }) => unsettled === undefined);
    const before = settled.length === 0 ? undefined : lastUntil(settled, nanos)?.end;
    if (before === undefined || this.#isSame(before, last.end)) return last.end;
    throw undecided(partition, last.unsettled);
  }

  /** The partitions that were split off on a path, in order of their positions. */
  splitsOn(path: readonly PathStep[], from: bigint): SplitOff[] {
    const found = new Map<string, SplitOff>();
    for (const { incarnation, partition, generation, continues } of this.#logs) {
      const origin = this.#origins.get(incarnation);
      const step = path.find((each) => each.incarnation === origin?.incarnation);
      if (origin === undefined || step === undefined || origin.position < from) continue;
      if (step.through !== undefined && origin.position > step.through) continue;
      const known = found.get(continues!.incarnation);
      // The first of its logs; those that carry on the very same state are of the same partition.
      if (known !== undefined && known.generation <= generation) continue;
      const { incarnation: state, chain } = continues!;
      found.set(state, { partition, generation, incarnation: state, position: origin.position, chain });
    }
    return [...found.values()].toSorted((a, b) => compare(a.position, b.position));
  }

  /** Whether a time is before everything that is known of a partition: the log that was there then is another one. */
  isBeforeAll(partition: number, nanos: bigint): boolean {
    const first = this.#beginningsOf(partition)[0];
    return first !== undefined && first.nanos > nanos;
  }

  /** What shows that there was more than what is archived at the end of a path; `nanos` undefined: whenever. */
  evidenceBeyond(
    partition: number,
    path: readonly PathStep[],
    reached: bigint,
    nanos: bigint | undefined,
  ): Evidence | undefined {
    const end = path.at(-1);
    if (end === undefined || end.through !== undefined) return undefined;
    const { incarnation } = end;
    const further = this.#points(partition)
      .filter(({ summary }) => summary.incarnation === incarnation && summary.position > reached)
      .toSorted((a, b) => Number(a.summary.position - b.summary.position));
    if (further[0] !== undefined) {
      const { manifest, summary } = further[0];
      const what = `checkpoint ${manifest.id} has its position ${summary.position}`;
      return { what, nanos: summary.clockNanos };
    }
    const later = this.#logs.find(
      (log) => log.continues?.incarnation === incarnation && log.continues.position > reached,
    );
    if (later !== undefined) {
      const what = `the log ${later.incarnation} carries it on after its position ${later.continues!.position}`;
      return { what, nanos: undefined };
    }
    const child = this.#logs.find(({ incarnation: of }) => {
      const origin = this.#origins.get(of);
      return origin?.incarnation === incarnation && origin.position > reached;
    });
    if (child !== undefined) {
      const what = `partition ${child.partition} was split off it after its position ${child.origin!.position}`;
      return { what, nanos: undefined };
    }
    return nanos === undefined ? undefined : this.#loose(partition, nanos);
  }

  /** Whether a checkpoint that was begun later than that by any clock shows that nothing came after a position. */
  isKnownQuiet(partition: number, { incarnation, position }: PathStart, nanos: bigint): boolean {
    return this.#points(partition).some(
      ({ manifest, summary }) =>
        summary.incarnation === incarnation &&
        summary.position === position &&
        !isRestored(manifest) &&
        nanosOf(manifest.startedAtMs) - clocksDifferNanos >= nanos,
    );
  }

  /** A later log of which nobody knows what it carries on. */
  #loose(partition: number, nanos: bigint): Evidence | undefined {
    for (const { nanos: began, end } of this.#beginningsOf(partition)) {
      if (began <= nanos || end.incarnation === '' || end.through !== undefined) continue;
      const top = this.#topOf(end.incarnation);
      const known = this.#logs.some((log) => log.incarnation === top && log.continues === undefined);
      if (this.#isOfSplit(top)) continue;
      const isMade = this.#points(partition).some(
        ({ manifest, summary }) => isRestored(manifest) && summary.incarnation === top,
      );
      if (known || isMade) continue;
      return { what: `what came before the log ${top}, which was written to later, is not known`, nanos: undefined };
    }
    return undefined;
  }

  /** The first log that is known of the way to a log. */
  #topOf(incarnation: string): string {
    let at = incarnation;
    for (let steps = 0; steps <= this.#logs.length; steps++) {
      const continues = this.#logs.find((log) => log.incarnation === at)?.continues;
      if (continues === undefined) break;
      at = continues.incarnation;
    }
    return at;
  }

  /** Whether the first log that is known of a way begins with a state that was split off. */
  #isOfSplit(top: string): boolean {
    return this.#logs.some((log) => log.continues?.incarnation === top && isSplitOff(log));
  }

  /** Of one partition, and what came in its place; others of the same number were split off when this one was not there. */
  #beginningsFor(partition: number, of: string | undefined): readonly Beginning[] {
    const all = this.#beginningsOf(partition);
    if (of === undefined) return all;
    const own = this.#topOf(of);
    const isOwn = ({ end }: Beginning): boolean => this.#topOf(end.incarnation) === own;
    // What was there before it was split off did not come in its place.
    const since = this.#isOfSplit(own) ? all.find(isOwn)?.nanos : undefined;
    return all.filter((each) => {
      if (isOwn(each) || each.isRestored === true) return true;
      return !this.#isOfSplit(this.#topOf(each.end.incarnation)) && (since === undefined || each.nanos > since);
    });
  }

  #points(partition: number): { readonly manifest: CheckpointManifest; readonly summary: PartitionSummary }[] {
    return this.#checkpoints.flatMap((manifest) =>
      manifest.partitions.filter((each) => each.partition === partition).map((summary) => ({ manifest, summary })),
    );
  }

  #beginningsOf(partition: number): readonly Beginning[] {
    const known = this.#beginnings.get(partition);
    if (known !== undefined) return known;
    const found = [...this.#ofLogs(partition), ...this.#ofRestores(partition)];
    const sorted = found.toSorted(
      (a, b) => compare(a.nanos, b.nanos) || a.depth - b.depth || a.generation - b.generation,
    );
    this.#beginnings.set(partition, sorted);
    return sorted;
  }

  #ofLogs(partition: number): Beginning[] {
    const own = this.#own.filter((log) => log.partition === partition);
    const began = new Map(own.map((log) => [log.incarnation, this.#beganAt(log)]));
    for (const { manifest, summary } of this.#points(partition)) {
      const { incarnation } = summary;
      // Only checkpoints tell of it: it is not archived, or its description is damaged.
      if (isRestored(manifest) || incarnation === '' || this.#logs.some((log) => log.incarnation === incarnation))
        continue;
      began.set(incarnation, least(began.get(incarnation), nanosOf(manifest.startedAtMs))!);
    }
    // Whatever clocks say: what is carried on began before.
    for (const log of own.toSorted((a, b) => this.#depthOf(b.incarnation) - this.#depthOf(a.incarnation))) {
      const before = log.continues === undefined ? undefined : began.get(log.continues.incarnation);
      if (before !== undefined) began.set(log.continues!.incarnation, least(before, began.get(log.incarnation))!);
    }
    return [...began].map(([incarnation, nanos]) => {
      const generation = own.find((log) => log.incarnation === incarnation)?.generation ?? 0;
      return { nanos, end: { incarnation }, depth: this.#depthOf(incarnation), generation };
    });
  }

  #depthOf(incarnation: string): number {
    let depth = 0;
    for (let at: string | undefined = incarnation; at !== undefined && depth <= this.#logs.length; depth++) {
      const current: string = at;
      at = this.#logs.find((log) => log.incarnation === current)?.continues?.incarnation;
    }
    return depth;
  }

  /** The earliest time by which it is known to have been there. */
  #beganAt({ incarnation, partition, continues, beganNanos, firstNanos, describedNanos }: KnownLog): bigint {
    if (beganNanos !== undefined) return least(beganNanos, firstNanos)!;
    let nanos = least(firstNanos, describedNanos);
    for (const { manifest, summary } of this.#points(partition)) {
      if (summary.incarnation !== incarnation || isRestored(manifest)) continue;
      nanos = least(nanos, nanosOf(manifest.startedAtMs));
      if (summary.position > (continues?.position ?? 0n)) nanos = least(nanos, summary.clockNanos);
    }
    return nanos ?? 0n;
  }

  /** States that a cluster began with and of whose logs nothing is known yet. */
  #ofRestores(partition: number): Beginning[] {
    return this.#points(partition).flatMap(({ manifest, summary }): Beginning[] => {
      if (!isRestored(manifest)) return [];
      const own = this.#own.filter((log) => log.partition === partition);
      const told = this.#own.filter((log) => log.restoredFrom === manifest.id);
      if (told.some((log) => own.includes(log))) return [];
      const isCarriedOut = told.length > 0;
      // Told by an archiver, which does not know with what it began.
      if (isCarriedOut && own.some((log) => this.#carriesOn(log, manifest, summary))) return [];
      if (!isCarriedOut && this.#isMoot(manifest)) return [];
      const { incarnation, position } = summary;
      const end = { incarnation: position === 0n ? '' : incarnation, through: position };
      const unsettled = isCarriedOut || !this.#hasOther() ? undefined : manifest;
      // All logs of a cluster are made at one time; but what is told may be of one that was recovered since.
      const completed = nanosOf(manifest.completedAtMs);
      const began = told.map((log) => this.#beganAt(log)).reduce<bigint | undefined>(least, undefined);
      const nanos = began === undefined || began > completed + clocksDifferNanos ? completed : began;
      return [{ nanos, end, unsettled, isRestored: true, depth: this.#depthOf(incarnation), generation: 0 }];
    });
  }

  /** Whether a log that began after a checkpoint carries on its state. */
  #carriesOn(log: KnownLog, { startedAtMs }: CheckpointManifest, summary: PartitionSummary): boolean {
    if (this.#beganAt(log) < nanosOf(startedAtMs) - clocksDifferNanos) return false;
    const { continues } = log;
    if (summary.position === 0n) return continues === undefined;
    return (
      continues?.incarnation === summary.incarnation &&
      continues.position === summary.position &&
      continues.chain === chainToHex(summary.chain)
    );
  }

  /** Whether the cluster is known to have gone on as it was. */
  #isMoot(manifest: CheckpointManifest): boolean {
    const { id, completedAtMs, partitions } = manifest;
    if (this.#checkpoints.some((each) => !isRestored(each) && each.id > id)) return true;
    return this.#own.some((log) => {
      // One that was recovered, of those that were there.
      const isRecovered = this.#own.some(({ incarnation }) => incarnation === log.continues?.incarnation);
      if (!isRecovered || this.#beganAt(log) <= nanosOf(completedAtMs)) return false;
      return !partitions.some((each) => each.partition === log.partition && this.#carriesOn(log, manifest, each));
    });
  }

  /** Whether there is more of the cluster than checkpoints that restores made. */
  #hasOther(): boolean {
    return this.#own.length > 0 || this.#checkpoints.some((each) => !isRestored(each));
  }

  /** Whether nothing is known of the one history beyond where the other one ends. */
  #isSame(history: PathEnd, { incarnation, through = 0n }: PathEnd): boolean {
    if (incarnation !== '' && history.incarnation !== incarnation) return false;
    if (history.through !== undefined) return history.through === through;
    const isBeyond = (position: bigint | undefined): boolean => position !== undefined && position > through;
    return !(
      this.#logs.some(
        (log) =>
          (log.incarnation === history.incarnation &&
            (isBeyond(log.lastArchived) || isBeyond(log.continues?.position))) ||
          (log.continues?.incarnation === history.incarnation && isBeyond(log.continues.position)),
      ) ||
      this.#checkpoints.some(({ partitions }) =>
        partitions.some((each) => each.incarnation === history.incarnation && isBeyond(each.position)),
      )
    );
  }
}

/** The one that began last, but not after it; where all did, the first one: it was there before anybody asked. */
function lastUntil(beginnings: readonly Beginning[], nanos: bigint | undefined): Beginning | undefined {
  const begun = nanos === undefined ? beginnings : beginnings.filter((each) => each.nanos <= nanos);
  return begun.at(-1) ?? beginnings[0];
}

function undecided(partition: number, { id, completedAtMs }: CheckpointManifest): StateStoreError {
  const time = new Date(Number(completedAtMs)).toISOString();
  return new StateStoreError(
    'invalid_parameter',
    `partition ${partition} has two histories: checkpoint ${id} was made by a restore at ${time}, and whether a cluster went on from it or from what was there before is not known`,
    { hint: `--checkpoint ${id} takes the one, --to a time before ${time} the other` },
  );
}

function isRestored({ trigger }: CheckpointManifest): boolean {
  return trigger === CheckpointTrigger.RESTORE;
}

const nanosPerMs = 1_000_000n;
const clocksDifferNanos = BigInt(limits.historyClocksDifferMs) * nanosPerMs;

function nanosOf(ms: bigint): bigint {
  return ms * nanosPerMs;
}

function least(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}

function compare(a: bigint, b: bigint): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
