// What is done for a repository beside making checkpoints, after each run that this node conducted, however it ended, and
// now and then: old checkpoints are deleted, garbage goes, blocks are read and compared with their hashes, logs are
// trimmed. One step that fails keeps none of the others from being done. All of it may take long, and nobody waits for
// it: the next run is made meanwhile. Several nodes that do it at once do no harm.
import type { Proven, Repository } from '@statestore/checkpoint';
import { applyRetention, BlockProofs, collectGarbage, keepRoom, provenCheckpoints } from '@statestore/checkpoint';
import type { CheckpointCatalog } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import { pause, unlessAborted } from '../cluster/pause.ts';
import { Repeated } from '../cluster/repeated.ts';
import type { Time } from '../time.ts';
import type { CatalogNews } from './catalog.ts';
import type { CheckpointSettings } from './checkpoint-settings.ts';

export interface UpkeepOptions {
  readonly repository: Repository;
  readonly cluster: string;
  /** Which cluster of the name this is; undefined: that is not known yet. */
  readonly lineage: () => string | undefined;
  readonly node: string;
  readonly settings: Pick<CheckpointSettings, 'maxCheckpoints' | 'maxAgeMs'>;
  readonly time: Time;
  readonly onNotice: OnNotice;
  readonly catalog: () => CheckpointCatalog | undefined;
  /** Rejects where repository or store do not answer. */
  readonly refresh: (news?: CatalogNews) => Promise<void>;
  /** Before the repository is relied on. Rejects where it cannot be. */
  readonly probe: () => Promise<void>;
  /** Whether it is this node that does it now and then. */
  readonly isMine: () => boolean;
  /** `proven` undefined: nothing is known to be whole. */
  readonly afterwards: (signal: AbortSignal, proven: Proven | undefined) => Promise<void>;
  readonly everyMs: number;
  /** Whether logs are trimmed because of checkpoints. */
  readonly trims: boolean;
  /** So old a checkpoint must be that a log is trimmed because of it. */
  readonly marginMs: number;
  readonly proofMs: number;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #proofs = new BlockProofs();
  readonly #abort = new AbortController();
  readonly #repeated: Repeated;
  #underWay: Promise<void> | undefined;
  #isAsked = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    const { time, everyMs, isMine } = options;
    this.#repeated = new Repeated(time, everyMs, () => {
      if (isMine()) this.ask();
    });
  }

  /** Now; once more where it is being done. */
  ask(): void {
    if (this.#abort.signal.aborted) return;
    this.#isAsked = true;
    this.#underWay ??= this.#run().finally(() => (this.#underWay = undefined));
  }

  /** Ends what is under way. Idempotent. */
  async close(): Promise<void> {
    this.#repeated.close();
    this.#abort.abort(new StateStoreError('shutting_down', 'the node stops'));
    await this.#underWay;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (this.#isAsked && !signal.aborted) {
      this.#isAsked = false;
      const isUsable = await this.#step('the repository cannot be looked after', async () => {
        await this.#options.probe();
        return true;
      });
      if (isUsable !== true) continue;
      await this.#step('old checkpoints could not be deleted', () => this.#retain());
      await this.#step('garbage of checkpoints could not be collected', () => this.#collect());
      const proven = await this.#step('it could not be proved that checkpoints are whole', () => this.#prove());
      await this.#step('after a checkpoint not everything could be tidied', () =>
        this.#options.afterwards(signal, proven),
      );
    }
  }

  async #step<T>(notice: string, work: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#abort;
    try {
      signal.throwIfAborted();
      return await unlessAborted(work(), signal);
    } catch (error) {
      if (!signal.aborted) this.#options.onNotice(notice, { error: String(error) });
      return undefined;
    }
  }

  async #retain(): Promise<void> {
    const { repository, cluster, node, time, settings, refresh, trims, marginMs } = this.#options;
    const { maxCheckpoints, maxAgeMs } = settings;
    const keepMin = limits.checkpointsKeptMin;
    const damaged = new Set(this.#suspects());
    const lineage = this.#lineage();
    const { deleted } = await applyRetention({
      repository,
      cluster,
      lineage,
      by: `retention, ${node}`,
      nowMs: () => time.nowMs(),
      policy: {
        maxCheckpoints,
        maxAgeMs,
        keepMin,
        ...(trims ? { settling: { ageMs: marginMs, count: keepMin } } : {}),
      },
      isDamaged: (id) => damaged.has(id),
      signal: this.#abort.signal,
    });
    if (deleted.length > 0) await refresh();
  }

  /** Rejects as long as it is not known: nothing of another one is to be taken for its own. */
  #lineage(): string {
    const lineage = this.#options.lineage();
    if (lineage === undefined) throw new StateStoreError('unavailable', 'the topology is not known yet');
    return lineage;
  }

  async #collect(): Promise<void> {
    const { repository, onNotice, refresh } = this.#options;
    const { signal } = this.#abort;
    const collected = await collectGarbage({ repository, signal });
    const blockedBy = collected.outcome === 'blocked' ? collected.why : [];
    if (blockedBy.length > 0) onNotice('garbage of checkpoints cannot be collected', { why: blockedBy.slice(0, 3) });
    await keepRoom(repository, { signal });
    await refresh({ blockedBy });
  }

  async #prove(): Promise<Proven> {
    const { repository, cluster, time, refresh, marginMs, proofMs } = this.#options;
    const { signal } = this.#abort;
    const proven = await provenCheckpoints({
      repository,
      cluster,
      lineage: this.#lineage(),
      proofs: this.#proofs,
      marginMs,
      proofMs,
      suspects: this.#suspects(),
      elapsedMs: () => time.elapsedMs(),
      pace: (bytes) => pause(time, (bytes * 1000) / limits.checkpointProofBytesPerSecond, signal),
      signal,
    });
    const { good, damaged } = proven;
    await refresh({ read: { damaged, isProven: good.length >= limits.checkpointsKeptMin } });
    return proven;
  }

  #suspects(): string[] {
    return (this.#options.catalog()?.damaged ?? []).flatMap(({ id, read }) => (read === true ? [id] : []));
  }
}
