// What do clients feel of a cluster whose partitions become more, and fewer again? One load of reads and writes goes on, as
// much as 64 connections give and half of that; each second of it is compared with the seconds before, and each hand-over of
// slots with what a write to one of them waits. Beside it what is moved, and how long a plain copy of the same files takes.
import { cp, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  changeTopology,
  connectNats,
  jetStreamNodeRegistry,
  jetStreamTopologyStore,
  withPartitions,
} from '@statestore/cluster';
import { startLocalCluster } from '../services/cli/src/local-cluster/local-cluster.ts';
import type { LocalCluster } from '../services/cli/src/local-cluster/types.ts';
import type { BenchOptions, Row } from './bench.ts';
import { halfCompressible } from './checkpoint-state.ts';
import { benchStore, fillSubject, putsOf } from './checkpoint-subject.ts';
import type { GeneratorResult } from './drive.ts';
import { rawRequest } from './drive.ts';
import { benchKey } from './fill.ts';
import type { HandOver } from './hand-overs.ts';
import { HandOvers, pauseOf, percentile, restingPauses } from './hand-overs.ts';
import { LoadWindows } from './load-windows.ts';
import { median } from './measure.ts';
import type { ProbeWrite } from './slot-probes.ts';
import { SlotProbes } from './slot-probes.ts';
import { formatTable } from './table.ts';

const defaultEntries = 1_000_000;
const [few, many] = [2, 8];
const connections = 64;
const probes = 64;
const requestsMax = 100_000;
const secondsBeforeMin = 10;
const settleMs = 5000;
/** A resize that takes longer is given up: the benchmark says what it had got to. */
const resizeMsMax = 20 * 60_000;
const aims = { ratio: 0.6, pauseMs: 300 } as const;

interface Second {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** By status, or `none`: the connection failed. */
  readonly wrong: Readonly<Record<string, number>>;
}

/** A load that goes on, told of second by second. */
class Seconds {
  readonly #load: LoadWindows;
  readonly #told: Promise<void>;
  #all: Second[] = [];
  #over = false;

  constructor(load: LoadWindows) {
    this.#load = load;
    this.#told = this.#tell();
  }

  /** Since the last time. */
  take(): readonly Second[] {
    const all = this.#all;
    this.#all = [];
    return all;
  }

  async stop(): Promise<void> {
    this.#over = true;
    try {
      await this.#told;
    } finally {
      await this.#load.stop();
    }
  }

  async #tell(): Promise<void> {
    this.#load.measure();
    while (!this.#over) {
      await sleep(1000);
      this.#all.push(secondOf(await this.#load.next()));
    }
  }
}

function secondOf({ requestsPerSecond, p99Ms, statuses }: GeneratorResult): Second {
  const wrong = Object.entries(statuses).filter(([status]) => status !== '200' && status !== '201');
  return { requestsPerSecond, p99Ms, wrong: Object.fromEntries(wrong) };
}

interface Subject {
  readonly cluster: LocalCluster;
  readonly handOvers: HandOvers;
  /** Only says what is wanted: the nodes do the rest. */
  resize(partitions: number): Promise<void>;
  close(): Promise<void>;
}

async function start(folder: string): Promise<Subject> {
  const cluster = await startLocalCluster({ folder, partitions: few });
  try {
    await cluster.ready();
    const connection = await connectNats({ servers: [...cluster.natsUrls], name: 'bench' });
    const topologyStore = await jetStreamTopologyStore(connection, cluster.name, { replicas: 3 });
    const registry = await jetStreamNodeRegistry(connection, cluster.name, { replicas: 3 });
    const handOvers = new HandOvers(topologyStore, registry);
    return {
      cluster,
      handOvers,
      resize: async (partitions) => {
        await changeTopology(topologyStore, (topology) => withPartitions(topology, partitions));
      },
      close: async () => {
        await handOvers.close();
        await connection.close();
        await cluster.close();
      },
    };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/** Resolves with how long it took. Throws where it takes too long. */
async function resized(subject: Subject, partitions: number): Promise<number> {
  const beganMs = performance.now();
  const { handOvers } = subject;
  await subject.resize(partitions);
  for (;;) {
    const { topology } = handOvers;
    const underWay = (topology?.reshapes ?? []).length;
    if (topology?.partitions.length === partitions && underWay === 0) return performance.now() - beganMs;
    if (performance.now() - beganMs > resizeMsMax)
      throw new Error(`there are ${topology?.partitions.length} partitions, not ${partitions}; ${underWay} on the way`);
    await sleep(50);
  }
}

interface Felt {
  readonly before: readonly Second[];
  readonly during: readonly Second[];
  readonly handOvers: readonly HandOver[];
  readonly pauses: readonly number[];
  readonly restingPauses: readonly number[];
  /** Of the probes, as of Second. */
  readonly wrong: Readonly<Record<string, number>>;
  readonly tookMs: number;
}

/** There, or back again, beside a load. */
async function felt(subject: Subject, partitions: number, load: Seconds, seconds: number): Promise<Felt> {
  const { cluster, handOvers } = subject;
  const prober = new SlotProbes(cluster.gateways[0]!.url, benchStore, probes);
  try {
    await sleep(settleMs);
    load.take();
    const fromMs = performance.now();
    await sleep(Math.max(seconds, secondsBeforeMin) * 1000);
    const before = load.take();
    const toMs = performance.now();
    const known = handOvers.all.length;
    const tookMs = await resized(subject, partitions);
    await sleep(settleMs);
    const during = load.take();
    const done = handOvers.all.slice(known);
    return {
      before,
      during,
      handOvers: done,
      pauses: done.flatMap((handOver) => pauseOf(handOver, prober.writes) ?? []),
      restingPauses: restingPauses(prober.writes, fromMs, toMs),
      wrong: wrongOf(prober.writes),
      tookMs,
    };
  } finally {
    await prober.stop();
  }
}

function wrongOf(writes: readonly ProbeWrite[]): Readonly<Record<string, number>> {
  const wrong = writes.filter(({ status }) => status !== 200 && status !== 201);
  return Object.fromEntries(
    [...Map.groupBy(wrong, ({ status = 'none' }) => String(status))].map(([status, of]) => [status, of.length]),
  );
}

/** Undefined: every answer was as it should be. */
export function wrongText({ before, during, wrong }: Pick<Felt, 'before' | 'during' | 'wrong'>): string | undefined {
  const counts = new Map<string, number>();
  for (const each of [...[...before, ...during].map((second) => second.wrong), wrong])
    for (const [status, count] of Object.entries(each)) counts.set(status, (counts.get(status) ?? 0) + count);
  if (counts.size === 0) return undefined;
  return `answers of another status than 200 and 201: ${[...counts].map(([status, count]) => `${count} of ${status}`).join(', ')}`;
}

export function figuresOf(of: Felt, dataBytes: number): Record<string, number> {
  const { before, during, handOvers, pauses, tookMs } = of;
  const usual = median(before.map(({ requestsPerSecond }) => requestsPerSecond));
  const least = Math.min(...during.map(({ requestsPerSecond }) => requestsPerSecond));
  const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);
  const movedBytes = sum(handOvers.map(({ moved }) => moved.bytes));
  return {
    requestsPerSecond: usual,
    p99Ms: median(before.map(({ p99Ms }) => p99Ms)),
    duringRequestsPerSecond: median(during.map(({ requestsPerSecond }) => requestsPerSecond)),
    duringP99Ms: median(during.map(({ p99Ms }) => p99Ms)),
    leastRatio: least / usual,
    secondsBelow: during.filter(({ requestsPerSecond }) => requestsPerSecond < aims.ratio * usual).length,
    errors: sum([...before, ...during, of].flatMap(({ wrong }) => Object.values(wrong))),
    handOvers: handOvers.length,
    pauseP50Ms: percentile(pauses, 50),
    pauseP99Ms: percentile(pauses, 99),
    restingPauseMs: percentile(of.restingPauses, 50),
    seconds: tookMs / 1000,
    movedMegabytes: movedBytes / 1e6,
    movedRatio: movedBytes / dataBytes,
  };
}

interface PlainCopy {
  readonly seconds: number;
  readonly megabytes: number;
}

/** Of the partitions of one node, as files, synced. */
async function plainCopy(data: string, to: string): Promise<PlainCopy> {
  const beganMs = performance.now();
  await cp(data, to, { recursive: true });
  let bytes = 0;
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    bytes += (await stat(path)).size;
    const file = await open(path, 'r+');
    await file.sync();
    await file.close();
  }
  const seconds = (performance.now() - beganMs) / 1000;
  await rm(to, { recursive: true });
  return { seconds, megabytes: bytes / 1e6 };
}

/** As many reads as writes, of random entries. */
function requestsOf(entries: number): string[] {
  const count = Math.min(entries, requestsMax);
  return putsOf(entries, count).flatMap((put) => {
    const n = Math.floor(Math.random() * entries);
    return [put, rawRequest('GET', `/v1/stores/${benchStore}/keys/${benchKey(n)}`)];
  });
}

async function measure(options: BenchOptions, entries: number): Promise<Row[]> {
  const { folder, print, seconds } = options;
  await mkdir(folder, { recursive: true });
  const subject = await start(join(folder, `cluster-${entries}`));
  try {
    const { cluster } = subject;
    const { url } = cluster.gateways[0]!;
    await fillSubject({ url }, entries);
    await sleep(settleMs);
    const plain = await plainCopy(cluster.nodes[0]!.dataPath!, join(folder, 'plain'));
    print(
      `a plain, synced copy of one node's ${plain.megabytes.toFixed(0)} MB of files: ${plain.seconds.toFixed(1)} s\n`,
    );
    const dataBytes = entries * (benchKey(0).length + halfCompressible(0).length);
    const rows: Row[] = [];
    let requestsPerSecond: number | undefined;
    for (const group of [`${connections} connections`, 'half of the rate']) {
      const pace = requestsPerSecond === undefined ? {} : { requestsPerSecond };
      const plan = {
        ports: [Number(new URL(url).port)],
        connections,
        warmupMs: 2000,
        requests: requestsOf(entries),
        ...pace,
      };
      const load = new Seconds(await LoadWindows.start(plan, [200, 201]));
      try {
        for (const [from, to] of [
          [few, many],
          [many, few],
        ] as const) {
          const told = await felt(subject, to, load, seconds);
          const figures = figuresOf(told, dataBytes);
          requestsPerSecond ??= figures['requestsPerSecond']! / 2;
          const added = {
            group,
            name: `${from} → ${to}`,
            figures: {
              entries,
              ...figures,
              plainCopySeconds: plain.seconds,
              timeRatio: figures['seconds']! / plain.seconds,
            },
          };
          rows.push(added);
          print([table([added]), wrongText(told), ''].filter((line) => line !== undefined).join('\n'));
        }
      } finally {
        await load.stop();
      }
    }
    return rows;
  } finally {
    await subject.close();
  }
}

export async function resize(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const entries of options.entries ?? [defaultEntries]) {
    options.print(
      `three nodes, three replicas, ${entries.toLocaleString('en-US')} entries of 128 bytes; as many GETs as durable PUTs of random ones of them\n`,
    );
    rows.push(...(await measure(options, entries)));
  }
  options.print(`${table(rows)}\n\n${statements(rows)}`);
  return rows;
}

export function statements(rows: readonly Row[]): string {
  const told = (met: boolean, what: string): string => `${met ? 'met    ' : 'not met'}  ${what}`;
  return rows
    .flatMap(({ group, name, figures: f }) => [
      told(f['errors'] === 0, `${group}, ${name}: ${f['errors']} errors of clients, none`),
      told(
        f['leastRatio']! >= aims.ratio,
        `${group}, ${name}: ${f['leastRatio']!.toFixed(2)} of the rate in the slowest second, at least ${aims.ratio}`,
      ),
      told(
        f['pauseP99Ms']! < aims.pauseMs,
        `${group}, ${name}: ${f['pauseP99Ms']!.toFixed(0)} ms pause at hand-over (p99), under ${aims.pauseMs}`,
      ),
    ])
    .join('\n');
}

function table(rows: readonly Row[]): string {
  const columns: readonly (readonly [string, string, number])[] = [
    ['requests/s', 'requestsPerSecond', 0],
    ['during', 'duringRequestsPerSecond', 0],
    ['slowest s', 'leastRatio', 2],
    ['s below', 'secondsBelow', 0],
    ['p99 ms', 'p99Ms', 1],
    ['during', 'duringP99Ms', 1],
    ['errors', 'errors', 0],
    ['hand-overs', 'handOvers', 0],
    ['pause p50 ms', 'pauseP50Ms', 0],
    ['p99', 'pauseP99Ms', 0],
    ['without', 'restingPauseMs', 0],
    ['seconds', 'seconds', 1],
    ['of a copy', 'timeRatio', 1],
    ['MB moved', 'movedMegabytes', 1],
    ['of the data', 'movedRatio', 2],
  ];
  return formatTable(
    [{ title: 'load' }, { title: 'partitions' }, ...columns.map(([title, , digits]) => ({ title, digits }))],
    rows.map(({ group, name, figures }) => [group, name, ...columns.map(([, figure]) => figures[figure])]),
  );
}
