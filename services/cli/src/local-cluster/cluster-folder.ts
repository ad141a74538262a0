// The folder of a local cluster:
//
//   lock            held while a process runs it
//   cluster.json    what it was made with; a later start goes on with that
//   logs/NAME.log   what each process printed
//   NAME/           data of a nats-server or node; nats.conf of a nats-server
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { StateStoreError } from '@statestore/core';
import { lockFolder } from '@statestore/node';
import { z } from 'zod';

const descriptionSchema = z.object({
  format: z.literal(1),
  name: z.string(),
  natsServers: z.union([z.literal(0), z.literal(1), z.literal(3)]),
  nodes: z.number().int().min(0),
  gateways: z.number().int().min(0),
  /** Whether the topology was made. */
  initialised: z.boolean(),
});

export type ClusterDescription = z.infer<typeof descriptionSchema>;

export interface ClusterFolder {
  readonly path: string;
  readonly description: ClusterDescription;
  describe(changes: Partial<ClusterDescription>): Promise<void>;
  /** Makes the folder of a process. */
  dataOf(name: string): Promise<string>;
  logOf(name: string): string;
  /** Gives the lock back, and removes a temporary folder. */
  close(): Promise<void>;
}

/**
 * `path` undefined: a temporary folder. `wanted` is what a new cluster is made with; of an old one, the number of
 * nodes and gateways may grow. Throws `data_locked` where another process runs it, `invalid_settings` where it
 * was made with another name or number of NATS servers.
 */
export async function openClusterFolder(
  path: string | undefined,
  wanted: Omit<ClusterDescription, 'format' | 'initialised'>,
): Promise<ClusterFolder> {
  const folder = path === undefined ? await mkdtemp(join(tmpdir(), 'statestore-cluster-')) : resolve(path);
  await mkdir(join(folder, 'logs'), { recursive: true });
  const lock = lockFolder(folder);
  try {
    const file = join(folder, 'cluster.json');
    let description = merged(file, readDescription(file), wanted);
    await write(file, description);
    return {
      path: folder,
      get description() {
        return description;
      },
      async describe(changes) {
        description = { ...description, ...changes };
        await write(file, description);
      },
      async dataOf(name) {
        await mkdir(join(folder, name), { recursive: true });
        return join(folder, name);
      },
      logOf: (name) => join(folder, 'logs', `${name}.log`),
      async close() {
        lock.close();
        if (path === undefined) await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    lock.close();
    throw error;
  }
}

function merged(
  file: string,
  found: ClusterDescription | undefined,
  wanted: Omit<ClusterDescription, 'format' | 'initialised'>,
): ClusterDescription {
  if (found === undefined) return { format: 1, ...wanted, initialised: false };
  for (const what of ['name', 'natsServers'] as const) {
    if (found[what] === wanted[what]) continue;
    throw new StateStoreError(
      'invalid_settings',
      `${file}: ${what} is ${JSON.stringify(found[what])}, ${JSON.stringify(wanted[what])} was asked for`,
      { hint: 'choose another folder, or what the cluster there was made with' },
    );
  }
  return {
    ...found,
    nodes: Math.max(found.nodes, wanted.nodes),
    gateways: Math.max(found.gateways, wanted.gateways),
  };
}

function readDescription(file: string): ClusterDescription | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return descriptionSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new StateStoreError('data_format', `${file} does not describe a local cluster of this version`, { cause });
  }
}

async function write(file: string, description: ClusterDescription): Promise<void> {
  await writeFile(`${file}.new`, `${JSON.stringify(description, undefined, 2)}\n`);
  await rename(`${file}.new`, file);
}
