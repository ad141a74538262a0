// The checkpoint of a cluster that is asked for, made, or was made last, as a port: one document, changed by
// compare-and-set, so that there is one run at a time and everybody knows who conducts it. Beside it the catalogue: what
// the repository had when it was last looked at. One contract suite for the key-value bucket and for the memory of one
// process. What a run may become: checkpoint-run-steps.ts.

export type RunTrigger = 'manual' | 'schedule' | 'shutdown';
export type RunState = 'requested' | 'running' | 'completed' | 'failed';

/** All times are of the clock of whoever wrote them, ms since 1970: for people, and for no decision. */
export interface CheckpointRun {
  /** UUID of version 7. The checkpoint has its own. */
  readonly id: string;
  readonly trigger: RunTrigger;
  readonly state: RunState;
  readonly requestedAtMs: number;
  /** A node, a gateway or a person. */
  readonly requestedBy: string;
  /** The last time of the schedule that this run or one before it was requested for. */
  readonly scheduledForMs?: number;
  /** 1, and one more with each run that is requested because the one before failed. */
  readonly attempt: number;
  /** +1 whenever its conductor says something. Who sees it stand still takes the run over. */
  readonly heartbeat: number;
  /** Nodes that conduct it: one that takes it over counts on. */
  readonly conductor?: RunConductor;
  readonly startedAtMs?: number;
  /** How long it may take from its start. */
  readonly deadlineMs?: number;
  /** Of the checkpoint, as soon as there is one that may become complete. */
  readonly checkpoint?: string;
  readonly partitions: readonly RunPartition[];
  readonly finishedAtMs?: number;
  readonly error?: RunError;
}

export interface RunConductor {
  readonly node: string;
  /** UUID of its process. */
  readonly boot: string;
}

export interface RunPartition {
  readonly partition: number;
  readonly state: 'waiting' | 'writing' | 'written';
  /** Whose replica is read. */
  readonly node?: string;
  readonly records: number;
  readonly bytes: number;
  /** 0 to 1: of what is to be read. */
  readonly part: number;
  readonly uploadedBytes: number;
  readonly reusedBytes: number;
}

export interface RunError {
  /** One of core's error codes. */
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

export interface CheckpointCatalog {
  /** Where checkpoints are kept, for people. */
  readonly repository: string;
  readonly updatedAtMs: number;
  /** The newest first. */
  readonly checkpoints: readonly CatalogEntry[];
  /** Those that ended last, the newest first. */
  readonly runs: readonly CheckpointRun[];
  readonly statistics: CheckpointStatistics;
  /** With the reason. Undefined: its version does not say. */
  readonly damaged?: readonly DamagedEntry[];
  /** When every block of the two that logs are trimmed below was last known to be whole. */
  readonly provenAtMs?: number;
  /** What became of clearing up, after the last checkpoint. */
  readonly clearing?: Clearing;
  /** Another cluster of this name makes checkpoints in the same repository: the newest one of it. */
  readonly namesake?: Namesake;
}

export interface Namesake {
  readonly checkpoint: string;
  /** UUID of that cluster; empty: its version does not say. */
  readonly lineage: string;
  readonly conductor: string;
  readonly completedAtMs: number;
}

export interface DamagedEntry {
  readonly id: string;
  readonly why: string;
  /** Listed, and found when its blocks were read. Else nothing of it can be read, and nothing is cleared up while it is there. */
  readonly read?: true;
}

export interface Clearing {
  readonly atMs: number;
  /** Nothing was removed, for these reasons; empty: what could go went. */
  readonly blockedBy: readonly string[];
  /** Since when it is blocked. */
  readonly blockedSinceMs?: number;
}

export interface CatalogEntry {
  readonly id: string;
  readonly startedAtMs: number;
  readonly completedAtMs: number;
  readonly trigger: string;
  readonly conductor: string;
  readonly version: string;
  readonly previous?: string;
  readonly partitions: number;
  readonly entries: number;
  /** Of keys and values; of all objects that a restore reads; of what was uploaded for it. */
  readonly bytes: number;
  readonly storedBytes: number;
  readonly uploadedBytes: number;
}

/** Since the bucket was made. */
export interface CheckpointStatistics {
  readonly created: number;
  readonly failed: number;
  /** Of the last one that was created. */
  readonly lastDurationMs?: number;
  readonly lastStoredBytes?: number;
  readonly lastUploadedBytes?: number;
  readonly lastSuccessAtMs?: number;
}

/** A document, and what to say to replace it and no other. */
export interface Kept<Document> {
  readonly document: Document;
  readonly revision: number;
}

export type Replaced = { readonly outcome: 'replaced'; readonly revision: number } | { readonly outcome: 'conflict' };

/** All calls reject with `unavailable` where the store cannot be asked; those that write with `outcome_unknown` where reading will tell. */
export interface CheckpointRuns {
  /** Undefined: there never was one. Rejects with `data_format` or `data_corrupt` where it cannot be read. */
  run(): Promise<Kept<CheckpointRun> | undefined>;
  /** In the place of the one of that revision; 0: of none. `conflict`: another one is there, nothing was changed. */
  replaceRun(run: CheckpointRun, revision: number): Promise<Replaced>;
  catalog(): Promise<Kept<CheckpointCatalog> | undefined>;
  replaceCatalog(catalog: CheckpointCatalog, revision: number): Promise<Replaced>;
}
