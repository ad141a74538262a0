// One running cluster for the tests of a file: each test puts a load with keys of its own on it, does
// something to it, and has the history judged. What failed keeps its history and the logs of the processes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LocalCluster, LocalClusterOptions, ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { expect } from 'vitest';
import type { HistoryEvent } from '../history/history.ts';
import { describeViolations } from '../history/history-checker.ts';
import type { Load } from '../load/load.ts';
import { anyDisk } from '../servers/any-disk.ts';
import { Eye } from '../torture/eye.ts';
import type { Scene } from '../torture/scene.ts';
import type { LoadReport } from '../torture/under-load.ts';
import { describe, underLoad } from '../torture/under-load.ts';

/** Load before the first and after the last thing that is done. */
const calmMs = 600;
/** The load goes on at most this much longer until it has done everything once. */
const workMsMax = 30_000;

export class SharedCluster {
  readonly cluster: LocalCluster;
  readonly #folder: string;
  readonly #eye: Eye;
  readonly #smallDisks: ReadonlySet<string>;
  #failed = false;

  private constructor(cluster: LocalCluster, eye: Eye, folder: string, smallDisks: ReadonlySet<string>) {
    this.cluster = cluster;
    this.#eye = eye;
    this.#folder = folder;
    this.#smallDisks = smallDisks;
  }

  static async start(options: LocalClusterOptions = {}, smallDisks: readonly string[] = []): Promise<SharedCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-cluster-'));
    const diskPercent = anyDisk(smallDisks);
    const cluster = await startLocalCluster({ gateways: 2, diskPercent, ...options, folder: join(folder, 'cluster') });
    try {
      await cluster.ready();
      return new SharedCluster(cluster, await Eye.open(cluster), folder, new Set(smallDisks));
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Name of a process as in `LocalCluster`. */
  process(name: string): ManagedProcess {
    const found = this.cluster.processes.find((one) => one.name === name);
    if (found === undefined) throw new Error(`there is no process ${name}`);
    return found;
  }

  /** `what`: also names the store, so it is unique in the file. */
  async under(
    what: string,
    work: (scene: Scene, load: Load) => Promise<void>,
    more: { readonly resizes?: boolean } = {},
  ): Promise<LoadReport> {
    const store = what.replaceAll(/[^a-z0-9]+/g, '-');
    const historyPath = join(this.#folder, `${store}.ndjson`);
    // Of the name, so that tests have different loads, and each the same in every run.
    const seed = Buffer.from(store).reduce((sum, byte) => (sum * 31 + byte) % 1_000_003, 7);
    const options = { cluster: this.cluster, eye: this.#eye, smallDisks: this.#smallDisks };
    try {
      const report = await underLoad({ ...options, ...more, seed, store, historyPath }, async (scene, load) => {
        await scene.sleep(calmMs);
        await work(scene, load);
        await scene.sleep(calmMs);
        // A slow machine has its time: a history without an operation of some kind shows nothing of it.
        for (let ms = 0; ms < workMsMax && missing(scene.history.events).length > 0; ms += calmMs)
          await scene.sleep(calmMs);
      });
      console.log(`${what}\n${describe(report)}\nreplicas met after ${Math.round(report.convergenceMs)} ms`);
      expect(describeViolations(report.violations), `history: ${historyPath}, seed ${seed}`).toBe('');
      expect(missing(report.history.events)).toEqual([]);
      return report;
    } catch (error) {
      this.#failed = true;
      console.log(`${what} failed: seed ${seed}, history ${historyPath}, logs of the processes ${this.cluster.folder}`);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#eye.close();
    await this.cluster.close();
    if (!this.#failed) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A run that did not do one of these could not have found anything about it. */
const kinds = [
  'write',
  'writeExpiring',
  'read',
  'compareAndSet',
  'delete',
  'increment',
  'append',
  'transfer',
  'audit',
  'scan',
] as const;

/** What was not done once with success. */
function missing(events: readonly HistoryEvent[]): string[] {
  const done = new Set<string>(events.filter(({ outcome }) => outcome === 'ok').map(({ operation }) => operation.kind));
  return kinds.filter((kind) => !done.has(kind));
}

/** What gateways answered beside results; a client that waits should see none. */
export function problemsOf({ problems }: LoadReport): string[] {
  return problems.map(({ client, status, code, detail = '', invokedMs, returnedMs }) => {
    const tookMs = Math.round(returnedMs - invokedMs);
    return `client ${client} was answered ${status} ${code} after ${tookMs} ms: ${detail}`;
  });
}
