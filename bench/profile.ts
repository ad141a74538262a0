// `npm run bench -- profile`: where a server's CPU goes under GET and under PUT, by function, from a profile
// of V8's. Each work gets a server of its own, so that one does not hide in the other.
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DevServer } from '../test/process/dev-server.ts';
import type { BenchOptions, Row } from './bench.ts';
import { drive, rawRequest } from './drive.ts';
import { benchKey, fill } from './fill.ts';
import { formatTable } from './table.ts';

const store = 'profile';
const entries = 10_000;
const shownMax = 30;
const repository = fileURLToPath(new URL('..', import.meta.url));

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  /** Microseconds. */
  readonly startTime: number;
  readonly endTime: number;
}

/** Microseconds: only the load, not the start before it. */
interface Window {
  readonly from: number;
  readonly until: number;
}

export async function profile(options: BenchOptions): Promise<readonly Row[]> {
  const path = (n: number): string => `/v1/stores/${store}/keys/${benchKey(n)}`;
  const value = Buffer.alloc(128, 'v');
  const works: Record<string, (n: number) => string> = {
    GET: (n) => rawRequest('GET', path(n)),
    PUT: (n) => rawRequest('PUT', path(n), value),
  };
  const rows: Row[] = [];
  for (const [name, request] of Object.entries(works)) {
    const folder = join(options.folder, name);
    await mkdir(folder);
    const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200'];
    const server = await DevServer.start({ folder: join(folder, 'data'), nodeArgs });
    await fill({ url: server.url, store, entries, valueBytes: 128 });
    const requests = Array.from({ length: entries }, (_, n) => request(n));
    const plan = { connections: 64, warmupMs: 500, durationMs: options.seconds * 1000, requests };
    const sample = await drive({ port: server.port, pid: server.pid! }, plan, [200]);
    const drivenMs = performance.now();
    await server.stop();
    const file = (await readdir(folder)).find((one) => one.endsWith('.cpuprofile'))!;
    const recorded = JSON.parse(await readFile(join(folder, file), 'utf8')) as Profile;
    const untilMicros = recorded.endTime - (performance.now() - drivenMs) * 1000;
    const shares = selfShares(recorded, { from: untilMicros - options.seconds * 1e6, until: untilMicros });
    options.print(`${name}: ${Math.round(sample.requestsPerSecond)} requests/s under the profiler\n`);
    const top = shares.slice(0, shownMax);
    const columns = [{ title: 'function' }, { title: 'self, % of busy time', digits: 1 }];
    options.print(
      `${formatTable(
        columns,
        top.map(([where, share]) => [where, share * 100]),
      )}\n`,
    );
    rows.push({ group: name, name, figures: Object.fromEntries(top) });
  }
  return rows;
}

/** By function, of the time in which the main thread was not idle; the largest first. */
function selfShares({ nodes, samples, timeDeltas, startTime }: Profile, { from, until }: Window): [string, number][] {
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)));
  const named = new Map(nodes.map((node) => [node.id, nameOf(node, parents.get(node.id))]));
  const micros = new Map<string, number>();
  let busy = 0;
  let now = startTime;
  for (const [at, id] of samples.entries()) {
    const delta = timeDeltas[at]!;
    now += delta;
    const name = named.get(id)!;
    if (now < from || now > until || name === '(idle)') continue;
    busy += delta;
    micros.set(name, (micros.get(name) ?? 0) + delta);
  }
  return [...micros].map(([name, time]): [string, number] => [name, time / busy]).toSorted((a, b) => b[1] - a[1]);
}

/** A function of the runtime itself has no file: then its caller says which use it is. */
function nameOf({ callFrame }: ProfileNode, parent: ProfileNode | undefined): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url !== '')
    return `${name}  ${url.startsWith('file:') ? relative(repository, fileURLToPath(url)) : url}:${lineNumber + 1}`;
  const isSynthetic = name.startsWith('(') || parent === undefined || parent.callFrame.functionName === '(root)';
  return isSynthetic ? name : `${name} < ${nameOf(parent, undefined)}`;
}
