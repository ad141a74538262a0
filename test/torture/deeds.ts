// What can be done to a cluster's processes, each deed until it is undone. Cluster tests do them one by one,
// torture by a schedule (faults.ts).
import { execFile } from 'node:child_process';
import { cp, open, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ManagedProcess } from '@statestore/cli';
import type { Scene } from './scene.ts';

/** kill -9 of all at once; started again together. */
export function crash(scene: Scene, targets: readonly ManagedProcess[], downMs: number): Promise<void> {
  return scene.during('kill -9', targets, async () => {
    await Promise.all(targets.map((target) => target.kill()));
    await scene.sleep(downMs);
    await up(targets);
  });
}

const gatewayReadyMs = 15_000;
const readyPollMs = 50;

/** Gateways are up when they say that they are ready: before that nobody sends them anything. */
async function up(targets: readonly ManagedProcess[]): Promise<void> {
  await Promise.all(targets.map((target) => target.start()));
  const untilMs = performance.now() + gatewayReadyMs;
  for (const { kind, url } of targets) {
    if (kind !== 'gateway') continue;
    const isReady = (): Promise<boolean> =>
      fetch(`${url}/readyz`, { signal: AbortSignal.timeout(gatewayReadyMs) }).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await isReady()) && performance.now() < untilMs) await sleep(readyPollMs);
  }
}

/** SIGSTOP: alive to everybody who does not ask it anything. */
export function freeze(scene: Scene, targets: readonly ManagedProcess[], ms: number): Promise<void> {
  return scene.during(`SIGSTOP for ${Math.round(ms)} ms`, targets, async () => {
    for (const target of targets) target.pause();
    try {
      await scene.sleep(ms);
    } finally {
      for (const target of targets) target.resume();
    }
  });
}

const slowPauseMs = 150;
const slowRunMs = 40;

/** A fifth of its speed, and that in steps. */
export function slowDown(scene: Scene, target: ManagedProcess, ms: number): Promise<void> {
  return scene.during(`slowed down for ${Math.round(ms)} ms`, [target], async () => {
    const untilMs = performance.now() + ms;
    try {
      while (performance.now() < untilMs) {
        target.pause();
        await scene.sleep(slowPauseMs);
        target.resume();
        await scene.sleep(slowRunMs);
      }
    } finally {
      target.resume();
    }
  });
}

/** SIGTERM, and started again when it is gone. */
export function restart(scene: Scene, target: ManagedProcess, downMs = 0): Promise<void> {
  return scene.during('graceful restart', [target], async () => {
    await target.stop();
    await scene.sleep(downMs);
    await up([target]);
  });
}

const rollingReadyMs = 60_000;

/** One after the other, each when the cluster is whole again. */
export async function rollingRestart(scene: Scene, targets: readonly ManagedProcess[]): Promise<void> {
  for (const target of targets) {
    await restart(scene, target);
    await scene.cluster.ready(rollingReadyMs);
  }
}

export interface Cut {
  readonly from: ManagedProcess;
  readonly to: ManagedProcess;
  readonly direction: 'both' | 'one-way';
}

/** All cuts are healed afterwards, others too. */
export function cutOff(scene: Scene, cuts: readonly Cut[], ms: number): Promise<void> {
  const { network } = scene.cluster;
  if (network === undefined) throw new Error('cuts need a cluster in network namespaces');
  const what = cuts.map(({ from, to, direction }) => `${from.name} ${direction === 'both' ? '⇹' : '↛'} ${to.name}`);
  const targets = [...new Set(cuts.flatMap(({ from, to }) => [from, to]))];
  return scene.during(`cut ${what.join(', ')} for ${Math.round(ms)} ms`, targets, async () => {
    try {
      for (const { from, to, direction } of cuts) await network.cut(from, to, direction);
      await scene.sleep(ms);
    } finally {
      await network.heal();
    }
  });
}

const run = promisify(execFile);
const fillChunk = Buffer.alloc(4096);
const spareBytes = 1024 * 1024;

/** Its disk, which must be a small one of its own, is filled to the last byte. */
export function fillDisk(scene: Scene, target: ManagedProcess, ms: number): Promise<void> {
  const filler = join(dataOf(target), '.filler');
  return scene.during(`disk full for ${Math.round(ms)} ms`, [target], async () => {
    try {
      await fill(filler);
      await scene.sleep(ms);
    } finally {
      await rm(filler, { force: true });
    }
  });
}

const unhealthyMs = 3000;

/**
 * A NATS server whose disk was full may have given its JetStream up until it is started again, and says so to the
 * probe that orchestrators ask: they restart it then.
 */
export async function fillDiskOfNats(scene: Scene, target: ManagedProcess, ms: number): Promise<void> {
  await fillDisk(scene, target, ms);
  await scene.sleep(unhealthyMs);
  if (!(await isHealthy(target))) await restart(scene, target);
}

function isHealthy({ metricsUrl }: ManagedProcess): Promise<boolean> {
  const url = `${metricsUrl}/healthz?js-enabled-only=true`;
  return fetch(url, { signal: AbortSignal.timeout(unhealthyMs) }).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function fill(path: string): Promise<void> {
  const { bavail, bsize } = await statfs(join(path, '..'));
  // Its owner writes meanwhile: a little less, and what is left a moment later goes by hand.
  const sizeBytes = Math.max(1, bavail * bsize - spareBytes);
  await run('fallocate', ['-l', String(sizeBytes), path]);
  const file = await open(path, 'a');
  try {
    for (;;) await file.write(fillChunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
}

function dataOf({ name, dataPath }: ManagedProcess): string {
  if (dataPath === undefined) throw new Error(`${name} has no data`);
  return dataPath;
}

/** Replicas have halted by then, and said so. */
const noticedMs = 4000;

/** The log of a partition is deleted; resolves when it has a new one. */
export async function deleteStream(scene: Scene, partition: number, timeoutMs: number): Promise<void> {
  await scene.during(`stream of partition ${partition} deleted`, [], async () => {
    const before = (await scene.eye.generations()).get(partition) ?? 0;
    await scene.eye.deleteLog(partition);
    if (!scene.recoversItself) {
      await scene.sleep(noticedMs);
      await scene.recover();
    }
    await newGeneration(scene, partition, before, timeoutMs);
  });
}

const pollMs = 100;

async function newGeneration(scene: Scene, partition: number, before: number, timeoutMs: number): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (((await scene.eye.generations()).get(partition) ?? 0) <= before) {
    if (performance.now() > untilMs) {
      throw new Error(`partition ${partition} had no new log ${timeoutMs} ms after the old one was deleted`);
    }
    await scene.sleep(pollMs);
  }
}

/**
 * All NATS servers forget what they stored in the last `ms`: stopped, and started again with copies of
 * their data made before.
 */
export async function forget(scene: Scene, ms: number): Promise<void> {
  const { nats } = scene.cluster;
  const copies = new Map(nats.map((server) => [server, `${dataOf(server)}.copy`]));
  const stopped = async (work: (server: ManagedProcess) => Promise<void>): Promise<void> => {
    await Promise.all(nats.map((server) => server.stop()));
    await Promise.all(nats.map(work));
    await Promise.all(nats.map((server) => server.start()));
  };
  await scene.during('logs copied', nats, () =>
    stopped((server) => cp(dataOf(server), copies.get(server)!, { recursive: true })),
  );
  await scene.sleep(ms);
  await scene.during('logs forget', nats, () =>
    stopped(async (server) => {
      // The folder itself may be a mount.
      for (const name of await readdir(dataOf(server))) await rm(join(dataOf(server), name), { recursive: true });
      await cp(copies.get(server)!, dataOf(server), { recursive: true });
    }),
  );
  await Promise.all([...copies.values()].map((copy) => rm(copy, { recursive: true })));
  if (scene.recoversItself) return;
  await scene.sleep(noticedMs);
  await scene.recover();
}
