// How soon does a node serve again whose disk was wiped? Three nodes, a checkpoint in S3 on the same machine, a log that
// goes on from there and lacks what is before. A node is killed, its data are removed, and it is started: with the checkpoint
// to restore from, and, in turn, with none to be seen, so that it copies its replicas from another node. Beside
// that what is the least to do: downloading the checkpoint's objects, and writing as many bytes as LMDB has.
import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openRepository } from '@statestore/checkpoint';
import type { LocalCluster, ManagedProcess } from '../services/cli/src/local-cluster/types.ts';
import { startLocalCluster } from '../services/cli/src/local-cluster/local-cluster.ts';
import { s3Settings } from '../test/contract/s3-fixture.ts';
import type { BenchOptions, Row } from './bench.ts';
import { fullCheckpoint } from './checkpoint-run.ts';
import { fillSubject, putsOf, s3Repository } from './checkpoint-subject.ts';
import { generate } from './drive.ts';
import { cpuSeconds, interleaved, medians, memoryOf } from './measure.ts';
import { logEnds, ReturningNode } from './returning-node.ts';
import { formatTable } from './table.ts';
import { trimBelow } from './trim-below.ts';

const defaultEntries = 1_000_000;
const bareAtOnce = 8;

/** `servingSeconds`: of all that is measured, how long it took. */
type Sample = Readonly<Record<string, number>>;

interface Returned {
  /** From the start of its process. */
  readonly servingSeconds: number;
  readonly upSeconds: number;
  readonly runningSeconds: number;
  /** Of all its replicas, several at a time: together they may take longer than the whole. */
  readonly waitingSeconds: number;
  readonly readingSeconds: number;
  readonly provingSeconds: number;
  readonly followingSeconds: number;
  readonly cpuSeconds: number;
  readonly anonymousMb: number;
}

type Way = 'restores' | 'copies';

async function comeBack(cluster: LocalCluster, node: ManagedProcess, way: Way): Promise<Sample> {
  const ends = await logEnds(cluster.nodes.filter((one) => one !== node));
  await node.kill();
  await rm(node.dataPath!, { recursive: true, force: true });
  const began = performance.now();
  const since = (): number => (performance.now() - began) / 1000;
  await node.start();
  const upSeconds = since();
  const returning = new ReturningNode(node, ends);
  try {
    const served = returning.served().then(since);
    const watched = returning.running().then(since);
    const [servingSeconds, runningSeconds] = await Promise.all([served, watched]);
    const { restored, rebuilt, ...parts } = await returning.told();
    const done = way === 'restores' ? restored : rebuilt;
    if (done !== ends.size) throw new Error(`${done} replicas of ${ends.size} came back as they were to`);
    const [{ anonymousMb }, cpu] = [memoryOf(node.pid!), cpuSeconds(node.pid!)];
    const returned: Returned = { servingSeconds, upSeconds, runningSeconds, ...parts, anonymousMb, cpuSeconds: cpu };
    return { ...returned };
  } finally {
    await returning.close();
  }
}

/** Of everything that a restore reads, and nothing else done with it. */
async function bareDownload(endpoint: string): Promise<Sample> {
  const repository = await openRepository(s3Settings(endpoint));
  try {
    const began = performance.now();
    const names: string[] = [];
    for (const prefix of ['checkpoints/', 'blocks/'])
      for await (const { name } of repository.list(prefix)) names.push(name);
    let bytes = 0;
    const worker = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        const object = await repository.get(name);
        bytes += object!.length;
      }
    };
    await Promise.all(Array.from({ length: bareAtOnce }, worker));
    return { servingSeconds: (performance.now() - began) / 1000, megabytes: bytes / 1e6 };
  } finally {
    await repository.close();
  }
}

/** Copies of the files of a node's LMDB, synced. */
async function bareCopy({ dataPath }: ManagedProcess, to: string): Promise<Sample> {
  const found = await readdir(dataPath!, { recursive: true, withFileTypes: true });
  const files = found.filter(({ name }) => name === 'data.mdb');
  await mkdir(to, { recursive: true });
  const began = performance.now();
  let bytes = 0;
  for (const [at, { parentPath, name }] of files.entries()) {
    const copy = join(to, String(at));
    await copyFile(join(parentPath, name), copy);
    const file = await open(copy, 'r+');
    await file.sync();
    bytes += (await file.stat()).size;
    await file.close();
  }
  const servingSeconds = (performance.now() - began) / 1000;
  await rm(to, { recursive: true });
  return { servingSeconds, megabytes: bytes / 1e6 };
}

async function measure(options: BenchOptions, entries: number): Promise<Row[]> {
  const { seconds, repeats } = options;
  const folder = join(options.folder, String(entries));
  const repository = await s3Repository(join(folder, 's3'));
  let cluster: LocalCluster | undefined;
  try {
    cluster = await startLocalCluster({ folder: join(folder, 'cluster'), nodeArgs: repository.args });
    await cluster.ready();
    const { url } = cluster.gateways[0]!;
    await fillSubject({ url }, entries);
    const checkpoint = await fullCheckpoint({ url, objects: repository.objects });
    const requests = putsOf(entries, Math.min(entries, 20_000));
    const ports = [Number(new URL(url).port)];
    const plan = { ports, connections: 64, warmupMs: 0, durationMs: seconds * 1000, requests };
    const tail = await generate(plan, [200, 201], { began: () => undefined, ended: () => undefined });
    await trimBelow(cluster, s3Settings(repository.server.url), checkpoint.id);
    const [, peer, node] = cluster.nodes as [ManagedProcess, ManagedProcess, ManagedProcess];
    const manifests = join(repository.objects, 'checkpoints');
    const aside = join(folder, 'aside');
    const running = cluster;
    const samples = await interleaved<string, Sample>(repeats, {
      'bare download': () => bareDownload(repository.server.url),
      'bare copy of LMDB': () => bareCopy(peer, join(folder, 'bare')),
      'restored from S3': () => comeBack(running, node, 'restores'),
      'copied from a peer': async () => {
        await rename(manifests, aside);
        try {
          return await comeBack(running, node, 'copies');
        } finally {
          await rename(aside, manifests);
        }
      },
    });
    const rows = Object.entries(samples).map(([name, of]): Row => {
      return { group: entries.toLocaleString('en-US'), name, figures: medians(of) };
    });
    const bare = rows.slice(0, 2).reduce((sum, { figures }) => sum + figures['servingSeconds']!, 0);
    options.print(
      `${entries.toLocaleString('en-US')} entries of 128 bytes, checkpoint of ${checkpoint.megabytes.toFixed(1)} MB, ${tail.requests.toLocaleString('en-US')} PUTs after it; 4 partitions on each of three nodes\n`,
    );
    return rows.map((row, at) =>
      at < 2 ? row : { ...row, figures: { ...row.figures, ratio: row.figures['servingSeconds']! / bare } },
    );
  } finally {
    await cluster?.close();
    await repository.close();
    await rm(folder, { recursive: true, force: true });
  }
}

export async function checkpointWiped(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const entries of options.entries ?? [defaultEntries]) {
    const added = await measure(options, entries);
    rows.push(...added);
    options.print(`${table(added)}\n`);
  }
  options.print(
    'serving: every partition answers a read at the end of its log, from the start of the process on; of both bare ones: against their sum.\nwaiting (for a source, and for others), reading, proving, following: of all replicas together, several at a time',
  );
  return rows;
}

function table(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['serving s', 'servingSeconds', 2],
    ['of both bare ones', 'ratio', 2],
    ['MB', 'megabytes', 1],
    ['process up s', 'upSeconds', 2],
    ['seen running s', 'runningSeconds', 2],
    ['waiting s', 'waitingSeconds', 2],
    ['reading s', 'readingSeconds', 2],
    ['proving s', 'provingSeconds', 2],
    ['following s', 'followingSeconds', 2],
    ['CPU s', 'cpuSeconds', 2],
    ['RssAnon MB', 'anonymousMb', 0],
  ];
  return formatTable(
    [{ title: 'entries' }, { title: 'what' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ group, name, figures }) => [group, name, ...columns.map(([, figure]) => figures[figure])]),
  );
}
