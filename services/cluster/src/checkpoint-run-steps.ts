// What a run of a checkpoint may become, and asking for one. Functions of documents; the one that writes says what
// came of it.
//
//   (none or over) → requested → running → completed
//                                  │  └──→ failed
//                                  └ taken over: running, with another conductor
import { randomBytes } from 'node:crypto';
import { limits, StateStoreError } from '@statestore/core';
import type { CheckpointRun, CheckpointRuns, Kept, RunConductor, RunError, RunTrigger } from './checkpoint-runs.ts';

export interface RunRequest {
  readonly id: string;
  readonly trigger: RunTrigger;
  readonly requestedBy: string;
  readonly nowMs: number;
  readonly scheduledForMs?: number;
  /** Default: 1. */
  readonly attempt?: number;
}

/** UUID of version 7. */
export function newRunId(nowMs: number): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Math.floor(nowMs), 0, 6);
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function isOver({ state }: CheckpointRun): boolean {
  return state === 'completed' || state === 'failed';
}

export function requestedRun(previous: CheckpointRun | undefined, request: RunRequest): CheckpointRun {
  const { id, trigger, requestedBy, nowMs, attempt = 1 } = request;
  const scheduledForMs = request.scheduledForMs ?? previous?.scheduledForMs;
  return {
    id,
    trigger,
    state: 'requested',
    requestedAtMs: nowMs,
    requestedBy,
    ...(scheduledForMs === undefined ? {} : { scheduledForMs }),
    attempt,
    heartbeat: 0,
    partitions: [],
  };
}

export function begunRun(
  run: CheckpointRun,
  conductor: RunConductor,
  at: { readonly nowMs: number; readonly deadlineMs: number },
): CheckpointRun {
  return {
    ...run,
    state: 'running',
    conductor,
    heartbeat: run.heartbeat + 1,
    startedAtMs: at.nowMs,
    deadlineMs: at.deadlineMs,
  };
}

/** By who is to find out what became of it. */
export function takenOverRun(run: CheckpointRun, conductor: RunConductor): CheckpointRun {
  return { ...run, state: 'running', conductor, heartbeat: run.heartbeat + 1 };
}

/** `progress`: what is different. */
export function livingRun(run: CheckpointRun, progress: Partial<Pick<CheckpointRun, 'checkpoint' | 'partitions'>>) {
  return { ...run, ...progress, heartbeat: run.heartbeat + 1 };
}

export function completedRun(run: CheckpointRun, nowMs: number): CheckpointRun {
  return { ...run, state: 'completed', heartbeat: run.heartbeat + 1, finishedAtMs: nowMs };
}

export function failedRun(run: CheckpointRun, error: RunError, nowMs: number): CheckpointRun {
  return { ...run, state: 'failed', heartbeat: run.heartbeat + 1, finishedAtMs: nowMs, error };
}

export function runErrorOf(error: unknown): RunError {
  const { code, retryable } =
    error instanceof StateStoreError ? error : { code: 'internal' as const, retryable: false };
  const message = error instanceof Error ? error.message : String(error);
  return { code, message: message.slice(0, limits.checkpointErrorCharsMax), retryable };
}

export type RequestOutcome =
  | { readonly outcome: 'requested'; readonly run: CheckpointRun }
  /** Another one is asked for, or under way. */
  | { readonly outcome: 'running'; readonly run: CheckpointRun };

/**
 * Asks for a checkpoint. `mayReplace`: whether one that is not over makes room. Rejects with `unavailable` where the
 * store cannot be asked, or others change the run again and again; with `outcome_unknown`.
 */
export async function requestCheckpoint(
  runs: CheckpointRuns,
  request: RunRequest,
  mayReplace: (present: CheckpointRun) => boolean = () => false,
): Promise<RequestOutcome> {
  let unknown: StateStoreError | undefined;
  for (let attempt = 0; attempt < limits.checkpointRunAttempts; attempt++) {
    const present: Kept<CheckpointRun> | undefined = await runs.run();
    if (present?.document.id === request.id) return { outcome: 'requested', run: present.document };
    if (present !== undefined && !isOver(present.document) && !mayReplace(present.document))
      return { outcome: 'running', run: present.document };
    const run = requestedRun(present?.document, request);
    try {
      const { outcome } = await runs.replaceRun(run, present?.revision ?? 0);
      if (outcome === 'replaced') return { outcome: 'requested', run };
    } catch (error) {
      if (!(error instanceof StateStoreError) || error.code !== 'outcome_unknown') throw error;
      unknown = error;
    }
  }
  throw (
    unknown ??
    new StateStoreError('unavailable', 'others ask for checkpoints all the time', {
      retryAfterMs: limits.bucketRetryMs,
    })
  );
}

/** Sees whether a run moves, by a clock of one's own: no wall clock is compared with another. */
export class RunSight {
  #seen = '';
  #sinceMs = 0;

  /** For how long the document has been as it is, as far as was seen. `elapsedMs`: of a clock that is never set. */
  stillMs(run: CheckpointRun | undefined, elapsedMs: number): number {
    const now = run === undefined ? '' : `${run.id} ${run.state} ${run.heartbeat}`;
    if (now !== this.#seen) {
      this.#seen = now;
      this.#sinceMs = elapsedMs;
    }
    return elapsedMs - this.#sinceMs;
  }
}
