// A local cluster with a repository, for tests of what becomes of restores: what was written and acknowledged, whose
// disk is lost, and how replicas are found to be whole again.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listArchive, openRepository, showCheckpoint } from '@statestore/checkpoint';
import type { CommandOutput, LocalCluster, LocalClusterOptions, ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import type { NatsConnection, NodeReport } from '@statestore/cluster';
import { connectNats, jetStreamNodeRegistry, jetStreamTopologyStore } from '@statestore/cluster';
import { connectLink } from '@statestore/link';
import { openJetStreamLog } from '@statestore/node';
import { expect, vi } from 'vitest';
import { anyDisk } from '../../servers/any-disk.ts';

const launcher = fileURLToPath(new URL('../../../services/cli/statestore', import.meta.url));
const patient = { timeout: 90_000, interval: 50 };
const readsAtOnce = 16;

interface Run {
  readonly id: string;
  readonly state: string;
  readonly checkpoint: string;
}

export class BackedUpCluster {
  readonly folder: string;
  readonly cluster: LocalCluster;
  readonly connection: NatsConnection;
  readonly written = new Map<string, string>();
  /** Entries of each partition that the last checkpoint has. */
  readonly checkpointed = new Map<number, number>();

  readonly #gone = new Set<string>();

  private constructor(folder: string, cluster: LocalCluster, connection: NatsConnection) {
    this.folder = folder;
    this.cluster = cluster;
    this.connection = connection;
  }

  static async start(options: LocalClusterOptions, small: readonly string[] = []): Promise<BackedUpCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'statestore-backed-up-'));
    const cluster = await startLocalCluster({
      folder: join(folder, 'cluster'),
      natsServers: 1,
      partitions: 2,
      diskPercent: anyDisk(small),
      syncInterval: '10s',
      nodeArgs: nodeArgsOf(join(folder, 'repository')),
      ...options,
    });
    await cluster.ready();
    return new BackedUpCluster(folder, cluster, await connectNats({ servers: [...cluster.natsUrls], name: 'test' }));
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.cluster.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  get repositoryPath(): string {
    return join(this.folder, 'repository');
  }

  get #url(): string {
    return this.cluster.gateways[0]!.url;
  }

  /** New keys, of values that cannot be compressed; `atOnce` of them in one batch of the log. */
  async write(count: number, bytes: number, atOnce = 1): Promise<void> {
    const first = this.written.size;
    const entries = Array.from({ length: count }, (_, i) => [`k${first + i}`, randomText(bytes)] as const);
    await this.#put(entries, atOnce);
  }

  /** Other values for all keys. */
  rewrite(atOnce: number): Promise<void> {
    return this.#put(
      [...this.written].map(([key, value]) => [key, randomText(value.length)] as const),
      atOnce,
    );
  }

  async #put(entries: readonly (readonly [string, string])[], atOnce: number): Promise<void> {
    for (let at = 0; at < entries.length; at += atOnce) {
      const some = entries.slice(at, at + atOnce);
      const response = await fetch(`${this.#url}/v1/stores/s/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ operations: some.map(([key, value]) => ({ op: 'put', key, value })) }),
      });
      if (!response.ok) throw new Error(await response.text());
      await response.json();
      for (const [key, value] of some) this.written.set(key, value);
    }
  }

  /** `statestore`, with no settings of the cluster. */
  alone(args: readonly string[]): Promise<CommandOutput> {
    return new Promise((resolve) => {
      execFile(launcher, args, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  /** Everything of it is read, through a gateway. */
  async expectAll(written: ReadonlyMap<string, string> = this.written, url = this.#url): Promise<void> {
    const missing: string[] = [];
    const entries = [...written];
    for (let at = 0; at < entries.length; at += readsAtOnce) {
      const some = entries.slice(at, at + readsAtOnce).map(async ([key, value]) => {
        const response = await fetch(`${url}/v1/stores/s/keys/${key}`);
        if ((await response.text()) !== value || !response.ok) missing.push(key);
      });
      await Promise.all(some);
    }
    expect(missing).toEqual([]);
  }

  /** Its id. */
  async checkpoint(): Promise<string> {
    const url = `${this.#url}/v1/checkpoints`;
    const ask = async (): Promise<boolean> => (await fetch(url, { method: 'POST' })).status === 202;
    await vi.waitUntil(ask, patient);
    const run = async (): Promise<Run> => ((await (await fetch(url)).json()) as { readonly run: Run }).run;
    await vi.waitUntil(async () => (await run()).state === 'completed', patient);
    const { checkpoint } = await run();
    for (const { partition, entries } of await this.#partitionsOf(checkpoint))
      this.checkpointed.set(partition, Number(entries));
    return checkpoint;
  }

  /** As far as the checkpoint makes logs dispensable; what does that by itself waits for a second one, and for ten minutes. */
  async trimBelow(id: string): Promise<void> {
    const { name } = this.cluster;
    const topology = await (await jetStreamTopologyStore(this.connection, name, { replicas: 1 })).read();
    for (const { partition, position } of await this.#partitionsOf(id)) {
      const { log } = topology!.partitions[partition]!;
      const opened = await openJetStreamLog({ connection: this.connection, cluster: name, partition, log: log! });
      await opened.trim(position + 1n);
      await opened.close();
    }
  }

  async #partitionsOf(id: string) {
    const repository = await openRepository({ type: 'folder', path: this.repositoryPath, concurrency: 4 });
    try {
      const shown = await showCheckpoint({ repository, id });
      if (shown.state !== 'complete') throw new Error(shown.state);
      return shown.manifest.partitions;
    } finally {
      await repository.close();
    }
  }

  /** Killed; what it reported before says nothing any more. */
  async kill(node: ManagedProcess): Promise<void> {
    await node.kill();
    const report = (await this.reports()).find(({ name }) => name === node.name);
    if (report !== undefined) this.#gone.add(report.boot);
  }

  /** Killed, with its disk emptied. */
  async wipe(node: ManagedProcess): Promise<void> {
    await this.kill(node);
    // The folder itself may be a mount.
    for (const name of await readdir(node.dataPath!)) await rm(join(node.dataPath!, name), { recursive: true });
  }

  /** Of the topology; undefined: there is none. */
  async epoch(name: string): Promise<bigint | undefined> {
    return (await (await jetStreamTopologyStore(this.connection, name, { replicas: 1 })).read())?.epoch;
  }

  /** Resolves when everything that was acknowledged is in the archive. */
  async archived(): Promise<void> {
    const positions = new Map<number, bigint>();
    for (const { replicas } of await this.reports())
      for (const { partition, appliedPosition } of replicas)
        if (BigInt(appliedPosition) > (positions.get(partition) ?? 0n))
          positions.set(partition, BigInt(appliedPosition));
    const repository = await openRepository({ type: 'folder', path: this.repositoryPath, concurrency: 4 });
    try {
      const isThere = async (): Promise<boolean> => {
        const { logs } = await listArchive({ repository });
        return [...positions].every(([partition, position]) =>
          logs.some(
            ({ log, segments }) =>
              log.cluster === this.cluster.name &&
              log.partition === partition &&
              segments.some(({ last }) => last >= position),
          ),
        );
      };
      await vi.waitUntil(isThere, patient);
    } finally {
      await repository.close();
    }
  }

  async reports(name = this.cluster.name): Promise<readonly NodeReport[]> {
    return (await jetStreamNodeRegistry(this.connection, name, { replicas: 1 })).list();
  }

  /** All replicas run, at one position with one state. */
  async converged(nodes: number, name = this.cluster.name, partitions = this.checkpointed.size): Promise<void> {
    const differing = async (): Promise<string> => {
      const reports = (await this.reports(name)).filter(({ boot }) => !this.#gone.has(boot));
      const told = reports.flatMap(({ replicas }) =>
        replicas.map(({ partition, state, appliedPosition, chain, stateHash }) =>
          [partition, state, appliedPosition, chain, stateHash].join(' '),
        ),
      );
      const different = [...new Set(told)].toSorted();
      const isMet = told.length === nodes * partitions && different.length === partitions;
      return isMet && different.every((each) => each.includes(' running ')) ? '' : different.join('\n');
    };
    await expect.poll(differing, patient).toBe('');
  }

  /** Asks a node itself, again and again, how many entries it has: fewer than the checkpoint has are too few. */
  watchFor(node: ManagedProcess): () => Promise<{ readonly few: readonly string[]; readonly answers: number }> {
    const few: string[] = [];
    let answers = 0;
    const over = new AbortController();
    const [host, port] = node.url.split(':');
    const link = connectLink({ host: host!, port: Number(port), software: 'test' });
    const watching = (async () => {
      while (!over.signal.aborted) {
        for (const [partition, least] of this.checkpointed) {
          const found = await Promise.resolve(link.store(partition, 's')).then(
            (store) => store?.entries ?? 0,
            () => undefined,
          );
          if (found === undefined) continue;
          answers++;
          if (found < least) few.push(`${node.name} has ${found} of ${least} in partition ${partition}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    return async () => {
      over.abort();
      await watching;
      await link.close();
      return { few, answers };
    };
  }

  /** Of the replicas' folders: only what is in force. */
  async expectNothingLeft(node: ManagedProcess): Promise<void> {
    for (const partition of this.checkpointed.keys()) {
      const path = join(node.dataPath!, 'partitions', String(partition));
      await expect.poll(() => readdir(path), patient).toEqual(['data']);
      expect(await readdir(join(path, 'data'))).toEqual(['lmdb']);
      expect((await readdir(join(path, 'data', 'lmdb'))).toSorted()[0]).toBe('current');
      expect(await readdir(join(path, 'data', 'lmdb'))).toHaveLength(2);
    }
  }
}

function randomText(length: number): string {
  return randomBytes(Math.ceil((length * 3) / 4))
    .toString('base64')
    .slice(0, length);
}

export const nodeArgsOf = (repositoryPath: string): string[] => [
  '--repository-type',
  'folder',
  '--repository-path',
  repositoryPath,
  '--archive-interval',
  '200ms',
];

/** Of all partitions; 0 where there is none. */
export async function metric(node: ManagedProcess, name: string): Promise<number> {
  const text = await (await fetch(node.metricsUrl, { headers: { connection: 'close' } })).text();
  const found = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))];
  return found.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Whether its log, of all its runs, has a notice. */
export async function said(node: ManagedProcess, text: string): Promise<boolean> {
  return (await readFile(node.logPath, 'utf8')).includes(text);
}
