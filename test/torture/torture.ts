// Torture: a whole cluster of its own, all clients, and faults by a schedule from the seed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalClusterOptions } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { SeededRandom } from '../process/seeded-random.ts';
import { anyDisk } from '../servers/any-disk.ts';
import { Eye } from './eye.ts';
import type { FaultGroup, FaultName } from './faults.ts';
import { play, planFaults } from './schedule.ts';
import type { LoadReport } from './under-load.ts';
import { underLoad } from './under-load.ts';

export interface TortureSettings {
  readonly seconds: number;
  /** So many take place, as far as the plan has them, however long the machine takes for them. Default: 0. */
  readonly faultsMin?: number;
  readonly seed: number;
  readonly faults: ReadonlySet<FaultGroup>;
  readonly historyPath: string;
  readonly engine?: 'lmdb' | 'memory';
  readonly print: (text: string) => void;
}

export interface TortureReport extends LoadReport {
  readonly faults: readonly FaultName[];
  /** How often processes ended without having been asked to. */
  readonly exits: number;
}

const nodes = 3;
const gateways = 2;
const partitions = 4;
const smallDiskBytes = 192 * 1024 * 1024;
const hourMs = 3_600_000;

/** What of `wanted` this machine cannot do, and why. */
export function impossible(wanted: ReadonlySet<FaultGroup>): ReadonlyMap<FaultGroup, string> {
  const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
  const needRoot = (['net', 'disk'] as const).filter((group) => wanted.has(group) && !isRoot);
  return new Map(needRoot.map((group) => [group, 'it needs Linux and root']));
}

/** Throws an Error that names the folder with what the processes left, where the run itself failed. */
export async function torture(settings: TortureSettings): Promise<TortureReport> {
  const { seconds, faultsMin = 0, seed, faults, historyPath, engine = 'lmdb', print } = settings;
  const random = new SeededRandom(seed);
  const unlucky = 1 + random.below(nodes);
  const folder = await mkdtemp(join(tmpdir(), 'statestore-torture-'));
  const smallDisks = new Set(faults.has('disk') ? [`node-${unlucky}`, `nats-${1 + random.below(3)}`] : []);
  const shifted = `node-${1 + random.below(nodes)}`;
  const shiftMs = random.chance(0.5) ? hourMs : -hourMs;
  const options: LocalClusterOptions = {
    folder,
    nodes,
    gateways,
    // One that becomes many, and few again.
    partitions: faults.has('resize') ? 1 : partitions,
    engine,
    network: faults.has('net') ? 'namespaces' : 'loopback',
    diskPercent: anyDisk(smallDisks),
    dataTmpfsBytes: (name) => (smallDisks.has(name) ? smallDiskBytes : undefined),
    clockShiftMs: (name) => (faults.has('clock') && name === shifted ? shiftMs : undefined),
  };
  const cluster = await startLocalCluster(options);
  let eye: Eye | undefined;
  try {
    await cluster.ready();
    eye = await Eye.open(cluster);
    if (faults.has('clock')) print(`the clock of ${shifted} is ${shiftMs / hourMs} h off`);
    const plan = planFaults(seed, seconds, faults);
    let took: FaultName[] = [];
    const load = {
      cluster,
      eye,
      seed,
      historyPath,
      faults: [...faults],
      smallDisks,
      print,
      recoversItself: engine === 'lmdb',
    };
    const report = await underLoad(load, async (scene, load) => {
      const endMs = performance.now() + seconds * 1000;
      let begun = 0;
      took = await play(scene, plan, () => {
        load.check();
        return begun++ < faultsMin || performance.now() < endMs;
      });
      await sleep(Math.max(0, endMs - performance.now()));
    });
    const exits = cluster.processes.reduce((sum, { exits }) => sum + exits, 0);
    if (report.violations.length === 0) {
      await closed(cluster, eye);
      await rm(folder, { recursive: true, force: true });
    } else print(`data and logs of the processes are kept in ${folder}`);
    return { ...report, faults: took, exits };
  } catch (cause) {
    throw new Error(`${(cause as Error).message}\ndata and logs of the processes are kept in ${folder}`, { cause });
  } finally {
    await closed(cluster, eye);
  }
}

async function closed(cluster: { close(): Promise<void> }, eye: Eye | undefined): Promise<void> {
  await eye?.close();
  await cluster.close();
}
