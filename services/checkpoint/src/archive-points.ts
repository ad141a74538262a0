// Where the checkpoints of a repository have a log, and from where on they need what is archived of it: what an archive can
// begin from that has nothing else. Manifests do not change, so each is read once.
import { limits } from '@statestore/core';
import type { CheckpointManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { chainToHex } from './archive-segment.ts';
import type { ChainPoint } from './archive.ts';
import { type ArchivedLog, decodeArchivedLog } from './archived-log.ts';
import { listIds, type ListedObject, readManifest } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import { isSplitOff } from './log-origin.ts';
import { isDamage } from './markers.ts';
import { archivedLogName } from './names.ts';
import type { Repository } from './repository.ts';

export interface ArchivePoints {
  /** Where checkpoints have this very log, ascending. */
  readonly own: readonly ChainPoint[];
  /** After this position what is archived of it is needed; undefined: no checkpoint leads to it. */
  readonly neededAfter: bigint | undefined;
}

interface Point extends ChainPoint {
  readonly incarnation: string;
  readonly cluster: string;
  readonly partition: number;
}

export class CheckpointPoints {
  readonly #repository: Repository;
  readonly #known = new Map<string, Promise<readonly Point[]>>();

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /** A checkpoint that is damaged counts as none. Rejects with what the repository says. */
  async of(log: ArchivedLog, signal: AbortSignal): Promise<ArchivePoints> {
    const { listed } = await listIds(this.#repository, { signal });
    const ids = new Set(listed.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    const points = (await inParallel(listed, limits.checkpointReadsMax, (info) => this.#read(info, signal))).flat();
    const own = points
      .filter(({ incarnation }) => incarnation === log.incarnation)
      .map(({ position, chain }) => ({ position, chain }))
      .toSorted((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));
    if (await this.#isLedInto(log, points, signal)) return { own, neededAfter: log.continues?.position ?? 0n };
    return { own, neededAfter: own[0]?.position };
  }

  async #read(info: ListedObject, signal: AbortSignal): Promise<readonly Point[]> {
    // Somebody else's reading, which may have been given up.
    const known = await this.#known.get(info.id)?.catch(() => undefined);
    if (known !== undefined) return known;
    signal.throwIfAborted();
    const reading = this.#points(info, signal);
    this.#known.set(info.id, reading);
    try {
      return await reading;
    } catch (error) {
      if (this.#known.get(info.id) === reading) this.#known.delete(info.id);
      throw error;
    }
  }

  async #points(info: ListedObject, signal: AbortSignal): Promise<readonly Point[]> {
    const found = await readManifest({ repository: this.#repository, signal }, info);
    return found.state === 'complete' ? pointsOf(found.manifest) : [];
  }

  /** Whether a checkpoint of a log before it, or of no log, leads to its beginning. */
  async #isLedInto(log: ArchivedLog, points: readonly Point[], signal: AbortSignal): Promise<boolean> {
    const seen = new Set<string>();
    let at: ArchivedLog | undefined = log;
    while (at !== undefined) {
      const { cluster, partition } = at;
      if (at.continues === undefined)
        return points.some(
          (each) => each.incarnation === '' && each.cluster === cluster && each.partition === partition,
        );
      const isPoint = (incarnation: string, position: bigint): boolean =>
        points.some((each) => each.incarnation === incarnation && each.position <= position);
      const { incarnation, position } = at.continues;
      if (seen.has(incarnation)) return false;
      seen.add(incarnation);
      if (isPoint(incarnation, position)) return true;
      if (!isSplitOff(at)) {
        at = await this.#described(incarnation, signal);
        continue;
      }
      const { origin }: ArchivedLog = at;
      // Of whom nobody can tell what it was split off, a checkpoint of that may lead to it.
      if (origin?.incarnation === undefined) return true;
      if (seen.has(origin.incarnation)) return false;
      seen.add(origin.incarnation);
      if (isPoint(origin.incarnation, origin.position)) return true;
      at = await this.#described(origin.incarnation, signal);
    }
    return false;
  }

  async #described(incarnation: string, signal: AbortSignal): Promise<ArchivedLog | undefined> {
    const bytes = await this.#repository.get(archivedLogName(incarnation), { signal });
    try {
      return bytes === undefined ? undefined : decodeArchivedLog(incarnation, bytes);
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }
}

function pointsOf({ cluster, partitions }: CheckpointManifest): Point[] {
  return partitions.map(({ partition, incarnation, position, chain }: PartitionSummary) => ({
    cluster,
    partition,
    incarnation,
    position,
    chain: chainToHex(chain),
  }));
}
