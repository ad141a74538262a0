// The kinds of faults that torture chooses from. A fault draws what it needs from its own random numbers, so
// that one that could not take place changes none of the others.
import type { ManagedProcess } from '@statestore/cli';
import type { SeededRandom } from '../process/seeded-random.ts';
import type { Cut } from './deeds.ts';
import {
  crash,
  cutOff,
  deleteStream,
  fillDisk,
  fillDiskOfNats,
  forget,
  freeze,
  restart,
  rollingRestart,
  slowDown,
} from './deeds.ts';
import type { Scene } from './scene.ts';

export const faultGroups = ['kill', 'pause', 'restart', 'net', 'disk', 'log', 'clock', 'resize'] as const;
export type FaultGroup = (typeof faultGroups)[number];

export interface Fault {
  readonly group: Exclude<FaultGroup, 'clock'>;
  /** Nothing else happens meanwhile: else it could be one loss too many, or nothing would be left to harm. */
  readonly alone: boolean;
  /** How long it lasts before it is undone, ms. */
  readonly lasts: readonly [min: number, max: number];
  /** How often it comes while the others come once. Default: 1. */
  readonly weight?: number;
  run(scene: Scene, lastsMs: number, random: SeededRandom): Promise<void>;
}

/** A log is lost only where its replicas are there: else it would be one loss too many to mend without being asked. */
const readyMsMax = 60_000;
/** Numbers of partitions, one after the other. */
const sizes = [4, 16, 6, 2] as const;
/** How long all splits and merges may take that are under way. */
export const resizedMsMax = 180_000;
/** How long a log may take to be replaced by itself. */
const recoveryMsMax = 30_000;

type Pick = (scene: Scene, random: SeededRandom) => ManagedProcess | undefined | Promise<ManagedProcess | undefined>;

const node: Pick = (scene, random) => scene.pick(scene.cluster.nodes, random);
const gateway: Pick = (scene, random) => scene.pick(scene.cluster.gateways, random);
const nats: Pick = (scene, random) => scene.pick(scene.cluster.nats, random);
const leader: Pick = async (scene, random) => {
  const { partitions } = await partitionsOf(scene);
  const name = await scene.eye.leaderOf(random.pick(partitions));
  return scene.pick(
    scene.cluster.nats.filter((server) => server.name === name),
    random,
  );
};

async function partitionsOf(scene: Scene): Promise<{ readonly partitions: readonly number[] }> {
  const generations = await scene.eye.generations();
  return { partitions: generations.size === 0 ? [0] : [...generations.keys()] };
}

type Deed = (scene: Scene, target: ManagedProcess, lastsMs: number) => Promise<void>;
type Rest = Omit<Fault, 'run' | 'alone'>;

function onOne(pick: Pick, deed: Deed, rest: Rest): Fault {
  return {
    ...rest,
    alone: false,
    async run(scene, lastsMs, random) {
      const target = await pick(scene, random);
      if (target !== undefined) await deed(scene, target, lastsMs);
    },
  };
}

const killOne: Deed = (scene, target, lastsMs) => crash(scene, [target], lastsMs);
const pauseOne: Deed = (scene, target, lastsMs) => freeze(scene, [target], lastsMs);
const kill: Rest = { group: 'kill', lasts: [50, 2500] };
const pause: Rest = { group: 'pause', lasts: [800, 3000] };
const longPause: Rest = { group: 'pause', lasts: [10_000, 10_000] };
const slow: Rest = { group: 'pause', lasts: [2000, 6000] };
const stop: Rest = { group: 'restart', lasts: [0, 1000] };

function killAll(pick: (scene: Scene) => readonly ManagedProcess[]): Fault {
  return { ...kill, alone: true, run: (scene, lastsMs) => crash(scene, pick(scene), lastsMs) };
}

function cut(cutsOf: (scene: Scene, random: SeededRandom) => readonly Cut[]): Fault {
  return {
    group: 'net',
    // Healing one cut heals all.
    alone: true,
    lasts: [1500, 6000],
    run: (scene, lastsMs, random) => cutOff(scene, cutsOf(scene, random), lastsMs),
  };
}

function between(from: ManagedProcess, to: readonly ManagedProcess[], direction: Cut['direction']): Cut[] {
  return to.filter((one) => one !== from).map((one) => ({ from, to: one, direction }));
}

const disk: Rest = { group: 'disk', lasts: [2000, 5000] };
const hasSmallDisk = (scene: Scene, from: readonly ManagedProcess[]): ManagedProcess[] =>
  from.filter(({ name }) => scene.smallDisks.has(name));

const kinds = {
  // What is under way when a node dies is what most could go wrong with: written, and nobody told of it.
  'kill node': onOne(node, killOne, { ...kill, weight: 4 }),
  'kill gateway': onOne(gateway, killOne, kill),
  'kill nats': onOne(nats, killOne, kill),
  'kill stream leader': onOne(leader, killOne, { ...kill, weight: 2 }),
  'kill all nats': killAll(({ cluster }) => cluster.nats),
  'kill all nodes': killAll(({ cluster }) => cluster.nodes),
  'kill everything': killAll(({ cluster }) => cluster.processes),

  'pause node': onOne(node, pauseOne, pause),
  'pause gateway': onOne(gateway, pauseOne, pause),
  'pause nats': onOne(nats, pauseOne, pause),
  'pause stream leader': onOne(leader, pauseOne, pause),
  'pause node for long': onOne(node, pauseOne, longPause),
  'pause nats for long': onOne(nats, pauseOne, longPause),
  'slow node': onOne(node, slowDown, slow),
  'slow nats': onOne(nats, slowDown, slow),

  'restart node': onOne(node, restart, stop),
  'restart gateway': onOne(gateway, restart, stop),
  'restart nats': onOne(nats, restart, stop),
  'rolling restart': { ...stop, alone: true, run: (scene) => rollingRestart(scene, scene.cluster.nodes) },

  'cut node from nodes': cut(({ cluster }, random) => between(random.pick(cluster.nodes), cluster.nodes, 'both')),
  'cut node from nats': cut(({ cluster }, random) => between(random.pick(cluster.nodes), cluster.nats, 'both')),
  'cut node from all': cut(({ cluster }, random) => between(random.pick(cluster.nodes), cluster.processes, 'both')),
  'cut gateway from a node': cut(({ cluster }, random) =>
    between(random.pick(cluster.gateways), [random.pick(cluster.nodes)], 'both'),
  ),
  /** Then the gateway reads from one that lags, and the other one does not. */
  'cut gateway from a node, others slow': {
    group: 'net',
    alone: true,
    lasts: [2000, 6000],
    async run(scene, lastsMs, random) {
      const { nodes, gateways } = scene.cluster;
      const node = random.pick(nodes);
      await Promise.all([
        cutOff(scene, between(random.pick(gateways), [node], 'both'), lastsMs),
        ...nodes.filter((one) => one !== node).map((one) => slowDown(scene, one, lastsMs)),
      ]);
    },
  },
  'cut nats from nats': cut(({ cluster }, random) => between(random.pick(cluster.nats), cluster.nats, 'both')),
  'cut node to nats one way': cut(({ cluster }, random) =>
    between(random.pick(cluster.nodes), cluster.nats, 'one-way'),
  ),
  'cut gateway to node one way': cut(({ cluster }, random) =>
    between(random.pick(cluster.gateways), [random.pick(cluster.nodes)], 'one-way'),
  ),
  'cut node to gateways one way': cut(({ cluster }, random) =>
    between(random.pick(cluster.nodes), cluster.gateways, 'one-way'),
  ),
  'cut nats to nats one way': cut(({ cluster }, random) => between(random.pick(cluster.nats), cluster.nats, 'one-way')),

  'fill disk of node': onOne(
    (scene, random) => scene.pick(hasSmallDisk(scene, scene.cluster.nodes), random),
    fillDisk,
    disk,
  ),
  'fill disk of nats': onOne(
    (scene, random) => scene.pick(hasSmallDisk(scene, scene.cluster.nats), random),
    fillDiskOfNats,
    disk,
  ),

  resize: {
    group: 'resize',
    weight: 8,
    alone: false,
    lasts: [2000, 6000],
    async run(scene, lastsMs) {
      await scene.resize(sizes[scene.resizes++ % sizes.length]!);
      await scene.sleep(lastsMs);
    },
  },

  'delete stream': {
    group: 'log',
    weight: 2,
    alone: true,
    lasts: [0, 0],
    async run(scene, _lastsMs, random) {
      await scene.eye.resized(resizedMsMax);
      await scene.eye.allRun(readyMsMax);
      const { partitions } = await partitionsOf(scene);
      await deleteStream(scene, random.pick(partitions), recoveryMsMax);
    },
  },
  'forget logs': {
    group: 'log',
    weight: 2,
    alone: true,
    lasts: [500, 3000],
    async run(scene, lastsMs) {
      await scene.eye.resized(resizedMsMax);
      await scene.eye.allRun(readyMsMax);
      await forget(scene, lastsMs);
      await scene.cluster.ready(recoveryMsMax);
    },
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof kinds;
export const faults: Readonly<Record<FaultName, Fault>> = kinds;
export const faultNames = Object.keys(kinds) as readonly FaultName[];

/** Throws a TypeError that names what there is. */
export function parseFaults(text: string): ReadonlySet<FaultGroup> {
  if (text === 'none') return new Set();
  if (text === 'all') return new Set(faultGroups);
  const groups = text.split(',');
  for (const group of groups) {
    if ((faultGroups as readonly string[]).includes(group)) continue;
    throw new TypeError(
      `--faults has ${JSON.stringify(group)}; it may be none, all, or some of ${faultGroups.join(',')}`,
    );
  }
  return new Set(groups as FaultGroup[]);
}
