// Keeps the catalogue true: written after what this node did itself, and looked after again and again, since checkpoints
// are deleted by hand, straight in the repository, and nobody else hears of it. By the same looks it is known whether
// the repository answers this node. What is in the catalogue: catalog.ts.
import type { CompleteCheckpoint } from '@statestore/checkpoint';
import { deletedCheckpoints } from '@statestore/checkpoint';
import type { CheckpointCatalog, CheckpointRun } from '@statestore/cluster';
import { isOver } from '@statestore/cluster';
import { limits } from '@statestore/core';
import type { OnNotice } from '../cluster/node-options.ts';
import { unlessAborted } from '../cluster/pause.ts';
import { Repeated } from '../cluster/repeated.ts';
import type { Time } from '../time.ts';
import type { CatalogNews, CatalogSource } from './catalog.ts';
import { refreshCatalog } from './catalog.ts';

export interface CatalogKeeperOptions extends CatalogSource {
  readonly time: Time;
  readonly onNotice: OnNotice;
  /** Before the repository is relied on. Rejects where it cannot be. */
  readonly probe: () => Promise<void>;
  readonly lookMs: number;
  readonly refreshMs: number;
}

/** The repository does not answer this node. */
export interface RepositorySilence {
  /** By the clock of this node. */
  readonly sinceMs: number;
  readonly why: string;
}

export class CatalogKeeper {
  readonly #options: CatalogKeeperOptions;
  readonly #looking: Repeated;
  readonly #abort = new AbortController();
  #catalog: CheckpointCatalog | undefined;
  /** When it was seen to be another one: no wall clock is compared with another. */
  #changedMs: number;
  /** Of this process: since when it is known that the repository answered. */
  #answeredMs: number;
  #failure: string | undefined;
  #troubled = false;
  #known = new Map<string, CompleteCheckpoint>();
  /** A run that is over and that the catalogue does not have: when it was first seen. */
  #forgotten: { readonly id: string; readonly sinceMs: number } | undefined;
  #damaged: ReadonlySet<string> = new Set();
  /** Another cluster of the name that was told of. */
  #namesake: string | undefined;

  constructor(options: CatalogKeeperOptions) {
    const { time, lookMs } = options;
    this.#options = options;
    this.#answeredMs = time.elapsedMs();
    this.#changedMs = this.#answeredMs;
    this.#looking = new Repeated(time, lookMs, () => this.#look());
    void this.#look();
  }

  /** As it was seen last; undefined: nothing is known of this repository yet. */
  get catalog(): CheckpointCatalog | undefined {
    return this.#catalog;
  }

  /** Whether nothing is known of broken blocks in it, nor in a newer one: blocks are taken from older ones. */
  isUsable(checkpoint: string): boolean {
    return (this.#catalog?.damaged ?? []).every(({ id, read }) => read !== true || id < checkpoint);
  }

  /** How long ago the repository last answered, or this process began. */
  get silentMs(): number {
    return this.#options.time.elapsedMs() - this.#answeredMs;
  }

  /** Undefined: it answered when it was last looked at. */
  get silence(): RepositorySilence | undefined {
    const { silentMs } = this;
    // One that neither answers nor refuses is found out by the look that does not end.
    if (this.#failure === undefined && silentMs < limits.checkpointSilentLooks * this.#options.lookMs) return undefined;
    const sinceMs = Math.floor(this.#options.time.nowMs() - silentMs);
    return { sinceMs, why: this.#failure ?? 'it has not answered since' };
  }

  /** Out of the bucket; where that has none of this repository, out of the repository. */
  async load(): Promise<void> {
    const { runs, repository, probe } = this.#options;
    const found = (await runs.catalog())?.document;
    if (found?.repository === repository.location) return this.#seen(found);
    await probe();
    await this.refresh();
  }

  /** Rejects where repository or store do not answer. */
  async refresh(news: CatalogNews = {}): Promise<void> {
    const { time } = this.#options;
    // What clearing up and proving have to tell comes a moment after manifests were read: after a run, or for what was deleted.
    if (news.blockedBy === undefined && news.read === undefined) this.#known = new Map();
    const refreshed = await refreshCatalog(this.#options, () => time.nowMs(), { ...news, known: this.#known });
    this.#answered();
    this.#seen(refreshed);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { runs, repository, time, onNotice, refreshMs } = this.#options;
    const { signal } = this.#abort;
    let deleted: ReadonlySet<string>;
    try {
      deleted = await unlessAborted(deletedCheckpoints(repository, { signal }), signal);
      this.#answered();
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
      return;
    }
    try {
      const catalog = (await runs.catalog())?.document;
      if (signal.aborted || catalog?.repository !== repository.location) return;
      this.#seen(catalog);
      const ended = this.#missed(catalog, (await runs.run())?.document);
      const named = [...catalog.checkpoints, ...(catalog.damaged ?? [])];
      const isOld = time.elapsedMs() - this.#changedMs >= refreshMs;
      if (ended !== undefined || isOld || named.some(({ id }) => deleted.has(id)))
        await this.refresh(ended === undefined ? {} : { ended });
      this.#troubled = false;
    } catch (error) {
      if (!signal.aborted && !this.#troubled)
        onNotice('the catalogue of checkpoints is not current', { error: String(error) });
      this.#troubled = true;
    }
  }

  /** A run whose conductor is gone, or frozen, before it told of its end here. It is left some time for that. */
  #missed(catalog: CheckpointCatalog, run: CheckpointRun | undefined): CheckpointRun | undefined {
    if (run === undefined || !isOver(run) || catalog.runs.some(({ id }) => id === run.id)) {
      this.#forgotten = undefined;
      return undefined;
    }
    const nowMs = this.#options.time.elapsedMs();
    if (this.#forgotten?.id !== run.id) this.#forgotten = { id: run.id, sinceMs: nowMs };
    return nowMs - this.#forgotten.sinceMs >= this.#options.lookMs ? run : undefined;
  }

  #seen(catalog: CheckpointCatalog): void {
    if (catalog.updatedAtMs !== this.#catalog?.updatedAtMs) this.#changedMs = this.#options.time.elapsedMs();
    this.#catalog = catalog;
    const { damaged = [] } = catalog;
    for (const { id, why } of damaged)
      if (!this.#damaged.has(id)) this.#options.onNotice('a checkpoint is damaged', { id, error: why });
    this.#damaged = new Set(damaged.map(({ id }) => id));
    const { namesake } = catalog;
    if (namesake !== undefined && namesake.lineage !== this.#namesake)
      this.#options.onNotice('another cluster of this name keeps checkpoints in the same repository', { ...namesake });
    this.#namesake = namesake?.lineage;
  }

  #answered(): void {
    if (this.#failure !== undefined) this.#options.onNotice('the repository of checkpoints answers again', {});
    this.#failure = undefined;
    this.#answeredMs = this.#options.time.elapsedMs();
  }

  #failed(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (this.#failure === undefined)
      this.#options.onNotice('the repository of checkpoints does not answer', { error: why });
    this.#failure = why.slice(0, limits.checkpointErrorCharsMax);
  }

  /** Idempotent. */
  close(): void {
    this.#abort.abort(new Error('closed'));
    this.#looking.close();
  }
}
