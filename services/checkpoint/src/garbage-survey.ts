// What of a repository is garbage: looks, in the one order in which what is seen can be relied on, and removes
// nothing of what anybody may still need. The order is argued in docs/decisions/0011-deleting-checkpoints.md; the
// steps below have its numbers. Removing is collect-garbage.ts.
import { limits } from '@statestore/core';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { callOf, type ListedObject, readManifest } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import { readPartitionManifest } from './manifest-codec.ts';
import { abandon, hasSizeOfAbandoned, isDamage, readIntent } from './markers.ts';
import {
  blocksPrefix,
  checkpointsPrefix,
  deletedPrefix,
  intentName,
  latestName,
  manifestName,
  partitionManifestName,
  startedPrefix,
  tombstoneName,
} from './names.ts';
import { parseName } from './parse-names.ts';
import { blocksOf } from './presence.ts';
import type { ObjectInfo, ObjectName, Repository } from './repository.ts';
import { isDiskFull, repositoryClock } from './repository-clock.ts';

export interface SurveyOptions {
  readonly repository: Repository;
  /** How old a deletion or a silent writer must be, by the repository's clock. */
  readonly graceMs: number;
  /** How long it is remembered that an id is decided. */
  readonly decidedKeptMs: number;
  readonly signal?: AbortSignal;
}

/** Names in the order in which they are to be removed; sizes of blocks. */
export interface Garbage {
  /** Of deleted checkpoints: they go first, so that nobody makes one listed again that has lost something. */
  readonly manifests: readonly ObjectName[];
  readonly blocks: readonly ObjectInfo[];
  readonly partitionManifests: readonly ObjectName[];
  /** Intents that are decided, and what tells of ids of which nothing is left. */
  readonly markers: readonly ObjectName[];
  /** Ids that were given up by this survey: whoever wrote them was silent for too long. */
  readonly abandoned: readonly string[];
}

export type Survey =
  /** `isFull`: nothing could be written, so that what waits for its age or for a decision is left. */
  | { readonly state: 'surveyed'; readonly garbage: Garbage; readonly isFull: boolean }
  /** Nothing may be removed while this is so: it could be anybody's. */
  | { readonly state: 'blocked'; readonly why: readonly string[] };

export async function surveyGarbage(options: SurveyOptions): Promise<Survey> {
  return new Surveyor(options).survey();
}

interface Mark {
  /** By a checkpoint that is not deleted. */
  readonly needed: boolean;
  found: boolean;
}

/** Objects of an id of which neither a beginning nor a manifest was seen. */
interface Unknown {
  readonly objects: ObjectInfo[];
  newestMs: number;
}

class Surveyor {
  readonly #options: SurveyOptions;
  readonly #repository: Repository;
  readonly #why: string[] = [];
  #nowMs = 0;
  #isFull = false;
  /** Of what is deleted, when. */
  readonly #deleted = new Map<string, number>();
  readonly #intents: string[] = [];
  /** Begun, and not decided when `started/` was listed; of each the previous one. */
  readonly #undecided = new Map<string, string | undefined>();
  readonly #manifests = new Map<string, ListedObject>();
  readonly #partitionManifests: { readonly id: string; readonly name: ObjectName; readonly info: ObjectInfo }[] = [];
  readonly #dead = new Set<string>();
  /** There never will be a checkpoint of these ids. */
  readonly #abandoned = new Set<string>();
  readonly #abandonedNow: string[] = [];
  /** What manifests refer to. */
  readonly #marked = new Map<ObjectName, Mark>();
  /** Ids of which there are blocks, or partitions' manifests. */
  readonly #withObjects = new Set<string>();

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#repository = options.repository;
  }

  get #call() {
    return callOf(this.#options);
  }

  async survey(): Promise<Survey> {
    ({ nowMs: this.#nowMs, isFull: this.#isFull } = await repositoryClock(this.#repository, this.#call));
    await this.#listDeleted();
    await this.#listStarted();
    await this.#listManifests();
    await this.#mark();
    if (this.#why.length > 0) return { state: 'blocked', why: this.#why };
    const blocks = await this.#listBlocks();
    const partitionManifests = await this.#garbagePartitionManifests();
    await this.#requireWholeListings();
    if (this.#why.length > 0) return { state: 'blocked', why: this.#why };
    const manifests = [...this.#dead].filter((id) => this.#manifests.has(id)).map(manifestName);
    const markers = [...this.#decidedIntents(), ...this.#forgotten()];
    return {
      state: 'surveyed',
      isFull: this.#isFull,
      garbage: { manifests, blocks, partitionManifests, markers, abandoned: this.#abandonedNow },
    };
  }

  #isOld(modifiedAtMs: number): boolean {
    return this.#nowMs - modifiedAtMs > this.#options.graceMs;
  }

  /** Step 1. */
  async #listDeleted(): Promise<void> {
    for await (const { name, modifiedAtMs } of this.#repository.list(deletedPrefix, this.#call)) {
      const parsed = parseName(name);
      if (parsed?.kind === 'tombstone') this.#deleted.set(parsed.id, modifiedAtMs);
    }
  }

  /** Step 2. */
  async #listStarted(): Promise<void> {
    const found: { readonly id: string; readonly modifiedAtMs: number }[] = [];
    for await (const { name, modifiedAtMs } of this.#repository.list(startedPrefix, this.#call)) {
      const parsed = parseName(name);
      if (parsed?.kind === 'intent') found.push({ id: parsed.id, modifiedAtMs });
    }
    await inParallel(found, limits.checkpointReadsMax, async ({ id, modifiedAtMs }) => {
      this.#intents.push(id);
      if (this.#isOld(modifiedAtMs) && (await this.#decide(id)) !== 'unknown') return undefined;
      const read = await readIntent(this.#repository, id, this.#call);
      if (read === 'unreadable') this.#why.push(`${intentName(id)} cannot be read: it may need anything`);
      else if (read !== 'gone') this.#undecided.set(id, read.intent.previous);
      return undefined;
    });
  }

  /** `abandoned`: no checkpoint of this id will ever be. `unknown`: there is no room to say so. */
  async #decide(id: string): Promise<'abandoned' | 'complete' | 'unknown'> {
    try {
      if ((await abandon(this.#repository, id, this.#call)) === 'complete') return 'complete';
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#isFull = true;
      return 'unknown';
    }
    this.#abandoned.add(id);
    this.#abandonedNow.push(id);
    return 'abandoned';
  }

  /** Step 3. */
  async #listManifests(): Promise<void> {
    for await (const info of this.#repository.list(checkpointsPrefix, this.#call)) {
      const parsed = parseName(info.name);
      if (parsed?.kind === 'manifest') this.#manifests.set(parsed.id, { ...info, id: parsed.id });
      if (parsed?.kind === 'partition') {
        this.#partitionManifests.push({ id: parsed.id, name: info.name, info });
        this.#withObjects.add(parsed.id);
      }
    }
    for (const id of this.#manifests.keys()) this.#undecided.delete(id);
    const needed = new Set(this.#undecided.values());
    for (const [id, deletedAtMs] of this.#deleted) if (this.#isOld(deletedAtMs) && !needed.has(id)) this.#dead.add(id);
  }

  async #mark(): Promise<void> {
    const marking = [...this.#manifests.values()].filter(({ id }) => !this.#dead.has(id));
    await inParallel(marking, limits.checkpointReadsMax, async (info) => {
      const found = await readManifest(this.#options, info);
      if (found.state === 'damaged') this.#why.push(found.damage.message);
      else if (found.state === 'complete') await this.#markAll(found.manifest);
      else if (found.state === 'abandoned') this.#abandoned.add(info.id);
      // Another collector may have removed what was deleted; of anything else nobody knows what it referred to.
      else if (!this.#deleted.has(info.id)) this.#why.push(`${info.name} was removed meanwhile`);
    });
  }

  async #markAll(manifest: CheckpointManifest): Promise<void> {
    const { id } = manifest;
    const needed = !this.#deleted.has(id);
    for (const summary of manifest.partitions) {
      this.#marked.set(partitionManifestName(id, summary.partition), { needed, found: true });
      try {
        const partition = await readPartitionManifest(this.#repository, manifest, summary, this.#call);
        for (const name of blocksOf([partition]).keys())
          if (needed || !this.#marked.has(name)) this.#marked.set(name, { needed, found: false });
      } catch (error) {
        if (!isDamage(error)) throw error;
        const collected = !needed && (await this.#repository.head(manifestName(id), this.#call)) === undefined;
        if (!collected) this.#why.push(error.message);
      }
    }
  }

  /** Step 4. Of ids that are decided, what is not marked. */
  async #listBlocks(): Promise<readonly ObjectInfo[]> {
    const garbage: ObjectInfo[] = [];
    const unknown = new Map<string, Unknown>();
    for await (const info of this.#repository.list(blocksPrefix, this.#call)) {
      const parsed = parseName(info.name);
      if (parsed?.kind !== 'block') continue;
      this.#withObjects.add(parsed.id);
      const mark = this.#marked.get(info.name);
      if (mark !== undefined) mark.found = true;
      else if (this.#isDecided(parsed.id)) garbage.push(info);
      else if (!this.#undecided.has(parsed.id)) addTo(unknown, parsed.id, info);
    }
    garbage.push(...(await this.#decideUnknown(unknown)));
    return garbage;
  }

  async #garbagePartitionManifests(): Promise<readonly ObjectName[]> {
    const garbage: ObjectName[] = [];
    const unknown = new Map<string, Unknown>();
    for (const { id, name, info } of this.#partitionManifests) {
      if (this.#marked.has(name)) continue;
      if (this.#isDecided(id)) garbage.push(name);
      else if (!this.#undecided.has(id)) addTo(unknown, id, info);
    }
    for (const { name } of await this.#decideUnknown(unknown)) garbage.push(name);
    return garbage;
  }

  /** It is complete, deleted or abandoned: nothing of it comes to be needed that is not marked. */
  #isDecided(id: string): boolean {
    return this.#manifests.has(id) || this.#deleted.has(id) || this.#abandoned.has(id);
  }

  async #decideUnknown(unknown: ReadonlyMap<string, Unknown>): Promise<readonly ObjectInfo[]> {
    const garbage: ObjectInfo[] = [];
    for (const [id, { objects, newestMs }] of unknown) {
      const isComplete = this.#isOld(newestMs)
        ? (await this.#decide(id)) === 'complete'
        : (await this.#repository.head(manifestName(id), this.#call)) !== undefined;
      if (isComplete) this.#why.push(`${manifestName(id)} is there, and was not when checkpoints were listed`);
      else if (this.#abandoned.has(id)) garbage.push(...objects);
    }
    return garbage;
  }

  /** Step 5: a listing that lacks something that is there is not to be relied on in anything. */
  async #requireWholeListings(): Promise<void> {
    for (const [name, { needed, found }] of this.#marked) {
      if (this.#why.length >= limits.checkpointFindingsMax) return;
      if (found) continue;
      const there = (await this.#repository.head(name, this.#call)) !== undefined;
      if (there) this.#why.push(`${name} is there, and a listing lacks it`);
      else if (needed) this.#why.push(`${name} is missing, and is needed`);
    }
    await this.#requireLatest();
  }

  async #requireLatest(): Promise<void> {
    const latest = await this.#repository.get(latestName, this.#call);
    const id = latest === undefined ? '' : Buffer.from(latest).toString().trim();
    const parsed = parseName(manifestName(id));
    if (parsed?.kind !== 'manifest' || this.#isDecided(id) || this.#undecided.has(id)) return;
    const info = await this.#repository.head(manifestName(id), this.#call);
    if (info !== undefined && (this.#isFull || info.modifiedAtMs < this.#nowMs))
      this.#why.push(`${manifestName(id)} is there, and a listing lacks it`);
  }

  #decidedIntents(): ObjectName[] {
    return this.#intents.filter((id) => this.#isDecided(id)).map(intentName);
  }

  /** What says that an id is decided, when nothing else is left of it and nobody can still be writing it. */
  #forgotten(): ObjectName[] {
    const { decidedKeptMs } = this.#options;
    const isForgotten = (id: string, sinceMs: number): boolean =>
      this.#nowMs - sinceMs > decidedKeptMs && !this.#withObjects.has(id) && !this.#intents.includes(id);
    const names: ObjectName[] = [];
    for (const [id, deletedAtMs] of this.#deleted)
      if (!this.#manifests.has(id) && isForgotten(id, deletedAtMs)) names.push(tombstoneName(id));
    for (const { id, name, sizeBytes, modifiedAtMs } of this.#manifests.values())
      if (this.#abandoned.has(id) && hasSizeOfAbandoned(sizeBytes) && isForgotten(id, modifiedAtMs)) names.push(name);
    return names;
  }
}

function addTo(unknown: Map<string, Unknown>, id: string, info: ObjectInfo): void {
  const known = unknown.get(id) ?? { objects: [], newestMs: 0 };
  known.objects.push(info);
  known.newestMs = Math.max(known.newestMs, info.modifiedAtMs);
  unknown.set(id, known);
}
