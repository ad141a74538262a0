// The local cluster itself, with nothing but nats-servers: what is killed stays down, what dies comes back, cuts
// cut in the direction that was asked for, and nothing is left behind, whoever dies.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { ClusterEvent, LocalCluster, LocalClusterOptions, ManagedProcess } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { connectNats, type NatsConnection } from '@statestore/cluster';
import { afterEach, describe, expect, test } from 'vitest';

const clusters = new Set<LocalCluster>();
const folders = new Set<string>();

afterEach(async () => {
  for (const cluster of clusters) await cluster.close();
  clusters.clear();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
  folders.clear();
});

async function start(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const cluster = await startLocalCluster({ nodes: 0, gateways: 0, init: false, ...options });
  clusters.add(cluster);
  return cluster;
}

/** A cluster of NATS servers that are somewhere else: nothing is started. */
async function commandsOnly() {
  const cluster = await start({ natsServers: 0, natsUrls: ['nats://127.0.0.1:1'] });
  expect(cluster.processes).toEqual([]);
  return { statestore: (args: readonly string[]) => cluster.statestore(args) };
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'statestore-local-'));
  folders.add(folder);
  return folder;
}

function isAlive(pid: number): boolean {
  try {
    // A zombie is gone, but for its parent to notice.
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await holds()) return;
    await sleep(25);
  }
  throw new Error(`${what}: not within 10 s`);
}

describe('a process', () => {
  test('that is killed stays down until it is started, on the same address', async () => {
    const events: string[] = [];
    const onEvent = ({ process, what }: ClusterEvent): void => void events.push(`${process.name} ${what}`);
    const [server] = (await start({ natsServers: 1, onEvent })).nats;
    const { pid, url } = server!;
    await server!.kill();
    expect(isAlive(pid!)).toBe(false);
    expect(server).toMatchObject({ running: false, pid: undefined, exits: 0 });
    await sleep(500);
    expect(server!.running).toBe(false);
    await server!.start();
    expect(server).toMatchObject({ running: true, url, exits: 0 });
    expect(server!.pid).not.toBe(pid);
    await server!.stop();
    expect(events).toEqual(['nats-1 started', 'nats-1 killed', 'nats-1 started', 'nats-1 stopped']);
    await server!.kill();
    await server!.stop();
    expect(readFileSync(server!.logPath, 'utf8').match(/Server is ready/g)).toHaveLength(2);
  });

  test('that ends on its own comes back, and is counted', async () => {
    const [server] = (await start({ natsServers: 1 })).nats;
    for (let exits = 1; exits <= 3; exits++) {
      const { pid } = server!;
      process.kill(pid!, 'SIGKILL');
      await until('another run', () => server!.pid !== undefined && server!.pid !== pid);
      expect(server!.exits).toBe(exits);
    }
  });

  test('stays down where restarts are not wanted', async () => {
    const [server] = (await start({ natsServers: 1, restart: false })).nats;
    process.kill(server!.pid!, 'SIGKILL');
    await until('its end', () => !server!.running);
    await sleep(500);
    expect(server).toMatchObject({ running: false, exits: 1 });
  });

  test('that is paused does nothing, and stops all the same', async () => {
    const [server] = (await start({ natsServers: 1 })).nats;
    const state = (): string => readFileSync(`/proc/${server!.pid}/stat`, 'utf8').split(') ')[1]?.charAt(0) ?? '';
    server!.pause();
    await until('a stopped process', () => state() === 'T');
    expect(server!.paused).toBe(true);
    server!.resume();
    await until('a running process', () => state() !== 'T');
    server!.pause();
    await server!.stop();
    expect(server).toMatchObject({ running: false, paused: false });
  });

  test('that cannot start says why, and nothing is left of the cluster', async () => {
    const folder = await temporaryFolder();
    const wrong = { folder, natsServers: 1, syncInterval: 'sometimes' } as unknown as LocalClusterOptions;
    await expect(start(wrong)).rejects.toThrow(/nats-1 ended \(code 1\) before it was up[\s\S]*sometimes/);
    await expect(start({ folder, natsServers: 1 })).resolves.toMatchObject({ folder });
  });

  test('may be a command: its output and its code', async () => {
    const { statestore } = await commandsOnly();
    expect(await statestore(['no-such-command'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no-such-command') as string,
    });
  });
});

describe('a folder', () => {
  /** False where JetStream has no leader yet. */
  async function asks(nc: NatsConnection, ask: (manager: JetStreamManager) => Promise<unknown>): Promise<boolean> {
    try {
      await ask(await jetstreamManager(nc, { checkAPI: false, timeout: 2000 }));
      return true;
    } catch {
      return false;
    }
  }

  test('has one cluster at a time, and the next one goes on with its data', async () => {
    const folder = await temporaryFolder();
    const first = await start({ folder });
    await expect(start({ folder })).rejects.toMatchObject({ code: 'data_locked' });
    const connection = await connectNats({ servers: first.natsUrls, name: 'test' });
    await until('a stream', () => asks(connection, ({ streams }) => streams.add({ name: 'kept', num_replicas: 3 })));
    await connection.close();
    await first.close();

    await expect(start({ folder, natsServers: 1 })).rejects.toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining('natsServers is 3, 1 was asked for') as string,
    });
    const second = await start({ folder });
    const again = await connectNats({ servers: second.natsUrls, name: 'test' });
    await until('the stream', () => asks(again, ({ streams }) => streams.info('kept')));
    await again.close();
  });

  test('that is temporary is gone at the end', async () => {
    const cluster = await start({ natsServers: 1 });
    expect(existsSync(cluster.folder)).toBe(true);
    await cluster.close();
    expect(existsSync(cluster.folder)).toBe(false);
  });
});

test('a clock that is off: the wall clock of a nats-server', async () => {
  const hourMs = 3_600_000;
  const { nats } = await start({
    clockShiftMs: (name) => ({ 'nats-1': hourMs, 'nats-2': -hourMs })[name],
  });
  const offBy = async ({ metricsUrl }: ManagedProcess): Promise<number> => {
    const { now } = (await (await fetch(`${metricsUrl}/varz`)).json()) as { now: string };
    return Math.round((Date.parse(now) - Date.now()) / 60_000) || 0;
  };
  expect(await Promise.all(nats.map(offBy))).toEqual([60, -60, 0]);
});

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

describe.runIf(isRoot)('with namespaces', () => {
  /** Whether a connection from the one to the other opens. */
  function reaches(from: ManagedProcess, to: ManagedProcess): boolean {
    const { hostname, port } = new URL(to.url);
    const namespace = execFileSync('ip', ['netns', 'identify', `${from.pid}`], { encoding: 'utf8' }).trim();
    const script = `const s = require('net').connect(${port}, '${hostname}', () => process.exit(0));
      s.on('error', () => process.exit(1)); setTimeout(() => process.exit(1), 700);`;
    try {
      execFileSync('nsenter', [`--net=/run/netns/${namespace}`, process.execPath, '-e', script]);
      return true;
    } catch {
      return false;
    }
  }

  test('a cut drops packets in the direction that was asked for, and heals', async () => {
    const { nats, network } = await start({ network: 'namespaces' });
    const [a, b, c] = nats as [ManagedProcess, ManagedProcess, ManagedProcess];
    expect([reaches(a, b), reaches(b, a), reaches(a, c)]).toEqual([true, true, true]);

    // One way: packets of a to b are lost, those of b to a arrive. A connection needs both.
    await network!.cut(a, b, 'one-way');
    expect([reaches(a, b), reaches(b, a), reaches(a, c), reaches(b, c)]).toEqual([false, false, true, true]);
    const arrives = await received(b, a);
    const isLost = !(await received(a, b));
    expect({ arrives, isLost }).toEqual({ arrives: true, isLost: true });

    await network!.heal();
    expect([reaches(a, b), reaches(b, a)]).toEqual([true, true]);
    await network!.cut(b, c, 'both');
    expect([reaches(b, c), reaches(c, b), reaches(a, c), await received(c, b)]).toEqual([false, false, true, false]);
    await network!.heal();
    expect(reaches(c, b)).toBe(true);
  });

  /** Whether a datagram of the one arrives at the other. */
  async function received(from: ManagedProcess, to: ManagedProcess): Promise<boolean> {
    const inside = (process_: ManagedProcess, script: string) => {
      const namespace = execFileSync('ip', ['netns', 'identify', `${process_.pid}`], { encoding: 'utf8' }).trim();
      return spawn('nsenter', [`--net=/run/netns/${namespace}`, process.execPath, '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    };
    const { hostname } = new URL(to.url);
    const listener = inside(
      to,
      `const s = require('dgram').createSocket('udp4'); s.on('message', () => process.exit(0));
       s.bind(9999, () => console.log('bound')); setTimeout(() => process.exit(1), 1500);`,
    );
    const ended = once(listener, 'exit');
    await once(listener.stdout, 'data');
    const sender = inside(
      from,
      `const s = require('dgram').createSocket('udp4'); s.send('x', 9999, '${hostname}', () => process.exit(0));`,
    );
    await once(sender, 'exit');
    const [code] = (await ended) as [number | null];
    return code === 0;
  }

  test('whoever runs it may die: its processes go with it, and the next one takes the rest away', async () => {
    const child = fileURLToPath(new URL('local-cluster-child.ts', import.meta.url));
    const runner = spawn(process.execPath, [child], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(runner.stdout.setEncoding('utf8'), 'data')) as [string];
    const { folder, pids } = JSON.parse(line) as { folder: string; pids: number[] };
    folders.add(folder);
    const left = () => ({
      namespaces: readdirSync('/run/netns').some((name) => name.startsWith(`statestore-${runner.pid}-`)),
      mounts: readFileSync('/proc/mounts', 'utf8').includes(`statestore-${runner.pid}-`),
    });
    expect(left()).toEqual({ namespaces: true, mounts: true });
    runner.kill('SIGKILL');
    await once(runner, 'exit');
    await until('the end of its processes', () => !pids.some(isAlive));

    const cluster = await start({ natsServers: 1, network: 'namespaces', dataTmpfsBytes: () => 32 * 1024 * 1024 });
    expect(left()).toEqual({ namespaces: false, mounts: false });
    expect(readFileSync('/proc/mounts', 'utf8')).toContain(cluster.nats[0]?.dataPath);
    await cluster.close();
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(cluster.folder);
    expect(readdirSync('/run/netns').some((name) => name.startsWith(`statestore-${process.pid}-`))).toBe(false);
  });
});
