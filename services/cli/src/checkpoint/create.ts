// `statestore checkpoint create`: asks a gateway for a checkpoint, and waits for it where that is wanted. Ends with
// 3 where it failed.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '@statestore/core';
import { isErrorCode, StateStoreError } from '@statestore/core';
import { z } from 'zod';
import { problemsExitCode } from '../cluster/status.ts';
import { stopSignal } from '../running.ts';
import type { Setting } from '../settings.ts';
import { flag, readSettings } from '../settings.ts';
import { durationOf, ProgressLine, sizeOf } from './columns.ts';

const createSettings = {
  url: {
    schema: z
      .string()
      .regex(/^https?:\/\/[^/?#@]+\/?$/)
      .default('http://127.0.0.1:8080'),
    allowed: 'http://host:port or https://host:port',
    help: 'a gateway',
    fallback: 'http://127.0.0.1:8080',
  } satisfies Setting<string>,
  wait: flag('until it is complete or failed'),
  json: flag('one JSON document'),
};

interface Run {
  readonly id: string;
  readonly state: 'requested' | 'running' | 'completed' | 'failed';
  readonly part: number;
  readonly conductor?: string;
  readonly checkpoint?: string;
  readonly partitions: readonly { readonly state: string; readonly bytes: number }[];
  readonly error?: { readonly code: string; readonly message: string };
}

interface Told {
  readonly run?: Run;
  readonly checkpoint?: {
    readonly id: string;
    readonly entries: number;
    readonly storedBytes: number;
    readonly uploadedBytes: number;
    readonly startedAt: string;
    readonly completedAt: string;
  };
}

const pollMs = 300;
const requestTimeoutMs = 15_000;
/** A gateway may be away for so long, while it is waited for. */
const patienceMs = 60_000;

export async function create(argv: readonly string[]): Promise<void> {
  const description = 'Asks for a checkpoint of all partitions.';
  const settings = readSettings('statestore checkpoint create', description, createSettings, {
    argv,
    env: process.env,
  });
  if (settings === undefined) return;
  const { json, wait } = settings;
  const url = settings.url.replace(/\/$/, '');
  const interrupted = stopSignal();
  const run = (await ask('POST', `${url}/v1/checkpoints`, interrupted)) as Run;
  if (!wait) return print(json, { run }, `checkpoint run ${run.id} is requested`);
  const told = await waitFor(`${url}/v1/checkpoints/${run.id}`, interrupted);
  print(json, told, sentenceOf(told));
  if (told.run?.state !== 'completed') process.exitCode = problemsExitCode;
}

async function waitFor(url: string, signal: AbortSignal): Promise<Told> {
  const line = new ProgressLine(process.stderr);
  let heardMs = performance.now();
  try {
    for (;;) {
      const told = await ask('GET', url, signal).catch((error: unknown): undefined => {
        const mayPass = error instanceof StateStoreError && error.retryable && !signal.aborted;
        if (!mayPass || performance.now() - heardMs > patienceMs) throw error;
      });
      if (told !== undefined) {
        heardMs = performance.now();
        const { run, checkpoint } = told as Told;
        const isListed = checkpoint !== undefined || run?.state !== 'completed';
        if (run === undefined || run.state === 'failed' || (run.state === 'completed' && isListed)) return told as Told;
        line.show(progressOf(run));
      }
      await sleep(pollMs, undefined, { signal });
    }
  } finally {
    line.clear();
  }
}

function progressOf({ state, part, conductor, partitions }: Run): string {
  if (state === 'requested') return 'waiting for a node that makes it';
  const done = partitions.filter((each) => each.state === 'written').length;
  const bytes = partitions.reduce((sum, each) => sum + each.bytes, 0);
  const by = conductor === undefined ? '' : `, conducted by ${conductor}`;
  return `${(part * 100).toFixed(0)} %  ${done} of ${partitions.length} partitions, ${sizeOf(bytes)} read${by}`;
}

function sentenceOf({ run, checkpoint }: Told): string {
  if (run?.state === 'failed') return `checkpoint run ${run.id} failed: ${run.error?.message ?? 'nobody says why'}`;
  if (checkpoint === undefined) return `checkpoint ${run?.checkpoint ?? ''} is complete`;
  const { id, entries, storedBytes, uploadedBytes, startedAt, completedAt } = checkpoint;
  const took = durationOf(Date.parse(completedAt) - Date.parse(startedAt));
  return `checkpoint ${id} is complete: ${entries} entries, ${sizeOf(storedBytes)}, of them ${sizeOf(uploadedBytes)} uploaded, in ${took}`;
}

function print(json: boolean, document: unknown, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(document, undefined, 2) : text}\n`);
}

/** Rejects with what the gateway says, or `unavailable`. */
async function ask(method: 'GET' | 'POST', url: string, signal: AbortSignal): Promise<unknown> {
  let response: Response;
  let body: unknown;
  try {
    const either = AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]);
    response = await fetch(url, { method, signal: either });
    body = await response.json();
  } catch (cause) {
    throw new StateStoreError('unavailable', `${new URL(url).origin} does not answer as a gateway does`, {
      cause,
      hint: 'say with --url where a gateway listens',
    });
  }
  if (response.ok) return body;
  const { code, detail, hint } = body as Partial<Record<'code' | 'detail' | 'hint', string>>;
  const known: ErrorCode = code !== undefined && isErrorCode(code) ? code : 'internal';
  throw new StateStoreError(known, detail ?? `it answered ${response.status}`, hint === undefined ? {} : { hint });
}
