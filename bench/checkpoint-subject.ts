// What the benchmarks of checkpoints in running servers have in common: a server of one process or a cluster of three
// nodes, with a repository, the processes whose CPU and memory count, and entries that are halfway compressible.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startLocalCluster } from '../services/cli/src/local-cluster/local-cluster.ts';
import { DevServer } from '../test/process/dev-server.ts';
import { S3Server, s3Keys } from '../test/servers/s3-server.ts';
import type { CheckpointPlace } from './checkpoint-run.ts';
import { halfCompressible } from './checkpoint-state.ts';
import { rawRequest } from './drive.ts';
import { benchKey, fill } from './fill.ts';

export const benchStore = 'bench';

export interface BenchRepository {
  /** `folder` or `S3`. */
  readonly kind: string;
  readonly args: readonly string[];
  /** Folder in which its objects are files by their names. */
  readonly objects: string;
  close(): Promise<void>;
}

export async function folderRepository(folder: string): Promise<BenchRepository> {
  const objects = join(folder, 'repository');
  await mkdir(objects, { recursive: true });
  const args = ['--repository-type', 'folder', '--repository-path', objects];
  return { kind: 'folder', args, objects, close: () => Promise.resolve() };
}

/** A versitygw of its own, which keeps its objects in files. */
export async function s3Repository(folder: string): Promise<BenchRepository & { readonly server: S3Server }> {
  const bucket = 'checkpoints';
  await mkdir(folder, { recursive: true });
  const server = await S3Server.start('versitygw', folder, [bucket]);
  const args = [
    '--repository',
    `s3://${bucket}?endpoint=${encodeURIComponent(server.url)}`,
    '--repository-access-key-id',
    s3Keys.accessKeyId,
    '--repository-secret-access-key',
    s3Keys.secretAccessKey,
  ];
  return { kind: 'S3', args, objects: join(server.root, bucket), server, close: () => server.kill() };
}

export interface CheckpointSubject extends CheckpointPlace {
  readonly port: number;
  readonly pids: readonly number[];
  /** What its processes printed last: why one of them ended. */
  printed(): string;
  close(): Promise<void>;
}

export async function oneServer(folder: string, repository: BenchRepository): Promise<CheckpointSubject> {
  const server = await DevServer.start({ folder: join(folder, 'data'), args: repository.args });
  const { url, port, pid } = server;
  return {
    url,
    port,
    pids: [pid!],
    objects: repository.objects,
    printed: () => server.output,
    close: () => server.stop(),
  };
}

/** `pids`: of the nodes. */
export async function threeNodes(folder: string, repository: BenchRepository): Promise<CheckpointSubject> {
  const cluster = await startLocalCluster({ folder: join(folder, 'cluster'), nodeArgs: repository.args });
  try {
    await cluster.ready();
  } catch (error) {
    await cluster.close();
    throw error;
  }
  const { url } = cluster.gateways[0]!;
  return {
    url,
    port: Number(new URL(url).port),
    pids: cluster.nodes.map(({ pid }) => pid!),
    objects: repository.objects,
    printed: () => `see the logs in ${join(folder, 'cluster')}`,
    close: () => cluster.close(),
  };
}

export async function fillSubject({ url }: Pick<CheckpointSubject, 'url'>, entries: number): Promise<void> {
  const value = (n: number): string => Buffer.from(halfCompressible(n)).toString('latin1');
  await fill({ url, store: benchStore, entries, valueBytes: 128, value });
}

/** PUTs of so many of the entries, spread over all of them. */
export function putsOf(entries: number, count: number): string[] {
  return Array.from({ length: count }, () => {
    const n = Math.floor(Math.random() * entries);
    return rawRequest('PUT', `/v1/stores/${benchStore}/keys/${benchKey(n)}`, halfCompressible(n));
  });
}
