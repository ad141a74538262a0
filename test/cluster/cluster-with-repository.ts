// A cluster of real processes whose nodes have a repository of checkpoints, for the tests of a file: in a folder where
// nothing else is said. It is asked for checkpoints as clients ask; its repository is looked at from beside it, as the
// commands do; disks of its nodes are lost, and logs are trimmed.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository, RepositorySettings } from '@statestore/checkpoint';
import { openRepository, showCheckpoint } from '@statestore/checkpoint';
import type { LocalCluster, LocalClusterOptions, ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { connectNats, jetStreamTopologyStore } from '@statestore/cluster';
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { openJetStreamLog } from '@statestore/node';
import { expect } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';

export const patient = { timeout: 120_000, interval: 100 };

const launcher = join(import.meta.dirname, '../../services/cli/statestore');
const batchOperations = 1000;

export type CommandOutput = Awaited<ReturnType<LocalCluster['statestore']>>;

export interface CheckpointRun {
  readonly id: string;
  readonly state: 'requested' | 'running' | 'completed' | 'failed';
  readonly conductor?: string;
  /** Once it has begun. */
  readonly checkpoint?: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly state: 'waiting' | 'writing' | 'written';
    readonly node?: string;
    readonly uploadedBytes: number;
  }[];
  readonly error?: { readonly code: string; readonly message: string; readonly retryable: boolean };
}

export interface CompletedRun extends CheckpointRun {
  readonly checkpoint: string;
}

/** A repository: as the test opens it, and as nodes and commands are told of it. */
export interface RepositoryPlace {
  readonly settings: RepositorySettings;
  readonly args: readonly string[];
}

export interface ClusterWithRepositoryOptions extends LocalClusterOptions {
  /** Beside those of the repository. */
  readonly nodeArgs?: readonly string[];
  /** Default: a folder of the cluster's own. */
  readonly place?: RepositoryPlace;
}

export class ClusterWithRepository {
  readonly cluster: LocalCluster;
  /** For whatever a test has to store; removed with the rest. */
  readonly folder: string;
  readonly repository: Repository;
  /** As nodes and commands are told of it. */
  readonly repositoryArgs: readonly string[];

  /* oxlint-disable-next-line max-params -- what was opened by start */
  private constructor(cluster: LocalCluster, folder: string, repository: Repository, place: RepositoryPlace) {
    this.cluster = cluster;
    this.folder = folder;
    this.repository = repository;
    this.repositoryArgs = place.args;
  }

  /** Ready, with one NATS server where nothing else is said. */
  static async start(options: ClusterWithRepositoryOptions = {}): Promise<ClusterWithRepository> {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-checkpoints-'));
    const { nodeArgs = [], place = inFolder(join(folder, 'repository')), ...more } = options;
    const repository = await openRepository(place.settings);
    try {
      const cluster = await startLocalCluster({
        natsServers: 1,
        diskPercent: anyDisk([]),
        ...more,
        folder: join(folder, 'cluster'),
        nodeArgs: [...place.args, ...nodeArgs],
      });
      try {
        if (options.init !== false) await cluster.ready();
        return new ClusterWithRepository(cluster, folder, repository, place);
      } catch (error) {
        await cluster.close();
        throw error;
      }
    } catch (error) {
      await repository.close();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Of the first gateway. */
  get url(): string {
    return this.cluster.gateways[0]!.url;
  }

  node(name: string | undefined): ManagedProcess {
    const found = this.cluster.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  }

  async json<T>(path: string): Promise<T> {
    return (await (await fetch(`${this.url}${path}`)).json()) as T;
  }

  /** Into the store `s`, at once. Rejects where not all of it was written. */
  async put(entries: readonly (readonly [key: string, value: string])[]): Promise<void> {
    for (let at = 0; at < entries.length; at += batchOperations) {
      const operations = entries
        .slice(at, at + batchOperations)
        .map(([key, value]) => ({ op: 'put', key, value }) as const);
      const response = await fetch(`${this.url}/v1/stores/s/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ operations }),
      });
      if (!response.ok) throw new Error(await response.text());
      const { counts } = (await response.json()) as { readonly counts: { readonly failed?: number } };
      if ((counts.failed ?? 0) > 0) throw new Error(`${counts.failed} of ${operations.length} were not written`);
    }
  }

  /** The one that was asked for; one that is under way already is waited for. */
  async askForCheckpoint(): Promise<string> {
    const ask = async (): Promise<number> => {
      const response = await fetch(`${this.url}/v1/checkpoints`, { method: 'POST' });
      if (response.status === 202) id = ((await response.json()) as CheckpointRun).id;
      return response.status;
    };
    let id = '';
    await expect.poll(ask, patient).toBe(202);
    return id;
  }

  async run(id: string): Promise<CheckpointRun> {
    return (await this.json<{ readonly run: CheckpointRun }>(`/v1/checkpoints/${id}`)).run;
  }

  /** When it is completed or failed. */
  async ended(id: string): Promise<CheckpointRun> {
    const state = async (): Promise<string> => (await this.run(id).catch(() => undefined))?.state ?? 'not told';
    await expect.poll(state, patient).toMatch(/^(completed|failed)$/);
    return this.run(id);
  }

  async completed(id: string): Promise<CompletedRun> {
    const { checkpoint = '', ...run } = await this.ended(id);
    expect(run).toMatchObject({ state: 'completed' });
    return { ...run, checkpoint };
  }

  /** One that was asked for and is complete. */
  async checkpoint(): Promise<CompletedRun> {
    return this.completed(await this.askForCheckpoint());
  }

  async manifest(id: string): Promise<CheckpointManifest> {
    const shown = await showCheckpoint({ repository: this.repository, id });
    if (shown.state !== 'complete') throw new Error(`${id} is ${shown.state}`);
    return shown.manifest;
  }

  /** As far as the checkpoint makes it dispensable, and no further than the logs are archived. What does that by itself waits for a second checkpoint, and for ten minutes. */
  async trimBelow(id: string): Promise<void> {
    const { cluster } = this;
    const connection = await connectNats({ servers: [...cluster.natsUrls], name: 'test' });
    try {
      const topology = await (await jetStreamTopologyStore(connection, cluster.name, { replicas: 1 })).read();
      for (const { partition, position } of (await this.manifest(id)).partitions) {
        await expect.poll(() => this.archivedTo(partition), patient).toBeGreaterThanOrEqual(Number(position));
        const log = topology!.partitions[partition]!.log!;
        const opened = await openJetStreamLog({ connection, cluster: cluster.name, partition, log });
        await opened.trim(position + 1n);
        await opened.close();
      }
    } finally {
      await connection.close();
    }
  }

  /** Position; -1 where no node tells one. */
  async archivedTo(partition: number): Promise<number> {
    const found = await this.values(`state_archive_position{partition="${partition}"}`);
    return Math.max(-1, ...found);
  }

  /** Of a node, with all its labels; 0 where it does not answer. */
  async metric(node: ManagedProcess, name: string): Promise<number> {
    return (await valuesOf(node, name)).reduce((sum, value) => sum + value, 0);
  }

  /** Of all nodes that answer. */
  async values(name: string): Promise<number[]> {
    return (await Promise.all(this.cluster.nodes.map((node) => valuesOf(node, name)))).flat();
  }

  /** A disk that is lost, and the process with it. */
  async wipe(node: ManagedProcess): Promise<void> {
    await node.kill();
    await rm(node.dataPath!, { recursive: true, force: true });
  }

  /** `statestore checkpoint …`, on the repository itself. */
  statestoreCheckpoint(...args: readonly string[]): Promise<CommandOutput> {
    const all = ['checkpoint', ...args, ...this.repositoryArgs, '--cluster', this.cluster.name];
    return new Promise((resolve, reject) => {
      execFile(launcher, all, { env: process.env, timeout: patient.timeout }, (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else reject(new Error(`${all.join(' ')}: ${error.message}`, { cause: error }));
      });
    });
  }

  /** Also what was only half started. */
  async close(): Promise<void> {
    await this.repository.close();
    await this.cluster.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function inFolder(path: string): RepositoryPlace {
  return {
    settings: { type: 'folder', path, concurrency: 8 },
    args: ['--repository-type', 'folder', '--repository-path', path],
  };
}

/** `name`: with labels, or of any. */
async function valuesOf(node: ManagedProcess, name: string): Promise<number[]> {
  const text = await fetch(node.metricsUrl)
    .then((response) => response.text())
    .catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [, what = '', value = ''] = /^(\S+) (\S+)$/.exec(line) ?? [];
    return what === name || what.startsWith(`${name}{`) ? [Number(value)] : [];
  });
}
