// A checkpoint of a running server, asked for over its HTTP API and watched to its end. Each is as long as the first one:
// what earlier ones stored is taken out of the repository before, so that it can refer to nothing.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 25;
const patienceMs = 20 * 60_000;

interface Run {
  readonly id: string;
  readonly state: 'requested' | 'running' | 'completed' | 'failed';
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly error?: { readonly message: string };
  readonly partitions: readonly { readonly uploadedBytes: number; readonly reusedBytes: number }[];
}

interface Told {
  readonly run: Run;
  readonly checkpoint?: { readonly id: string; readonly entries: number; readonly storedBytes: number };
}

export interface CheckpointPlace {
  /** Of a gateway. */
  readonly url: string;
  /** Folder in which the objects of the repository are files by their names. */
  readonly objects: string;
}

export interface MadeCheckpoint {
  readonly id: string;
  /** From when a node took it up until it was complete. */
  readonly seconds: number;
  readonly entries: number;
  readonly megabytes: number;
}

/** Called when it is seen to be under way, and to be over. */
export interface CheckpointMarks {
  began(): void;
  ended(): void;
}

/** Resolves when it is complete, and what follows upon it is done as well. */
export async function fullCheckpoint(
  { url, objects }: CheckpointPlace,
  marks: CheckpointMarks = { began: () => undefined, ended: () => undefined },
): Promise<MadeCheckpoint> {
  await forgetCheckpoints(objects);
  const id = await requested(url);
  const of = `${url}/v1/checkpoints/${id}`;
  const over = (run: Run): boolean => run.state === 'completed' || run.state === 'failed';
  await until(of, ({ run }) => run.state === 'running' || over(run));
  marks.began();
  const { run } = await until(of, (told) => over(told.run));
  marks.ended();
  if (run.state === 'failed') throw new Error(`the checkpoint failed: ${run.error?.message}`);
  if (run.partitions.some(({ reusedBytes }) => reusedBytes > 0)) throw new Error('the checkpoint is not a full one');
  const { checkpoint } = await until(of, (told) => told.checkpoint !== undefined);
  return {
    id: checkpoint!.id,
    seconds: (Date.parse(run.finishedAt!) - Date.parse(run.startedAt!)) / 1000,
    entries: checkpoint!.entries,
    megabytes: checkpoint!.storedBytes / 1e6,
  };
}

/** All but the archive of the logs. Not while one is made. */
async function forgetCheckpoints(objects: string): Promise<void> {
  for (const name of ['latest', 'started', 'deleted', 'checkpoints', 'blocks'])
    await rm(join(objects, name), { recursive: true, force: true });
}

async function requested(url: string): Promise<string> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const response = await fetch(`${url}/v1/checkpoints`, { method: 'POST' });
    const text = await response.text();
    if (response.status === 202) return (JSON.parse(text) as Run).id;
    if (performance.now() > deadline || response.status !== 409)
      throw new Error(`asking for a checkpoint was answered ${response.status} ${text}`);
    await sleep(pollMs);
  }
}

async function until(url: string, isSo: (told: Told) => boolean): Promise<Told> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const response = await fetch(url);
    const text = await response.text();
    const told = response.ok ? (JSON.parse(text) as Told) : undefined;
    if (told !== undefined && isSo(told)) return told;
    if (performance.now() > deadline) throw new Error(`a checkpoint does not get on: ${response.status} ${text}`);
    await sleep(pollMs);
  }
}
