// A Docker engine for the tests: the one that is there, or, on a Debian machine where we may, one of our own
// that is installed, started and ended by us. Ours has no way to a registry: what runs in it is built here
// (stand-in-images.ts). It makes no bridge but for the networks of the tests, and forwards nothing.
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Engine {
  /** As DOCKER_HOST has it. */
  readonly host: string;
  /** Whether it is ours: nothing can be pulled, the stand-ins are used. */
  readonly isOurs: boolean;
  docker(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>;
  compose(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string>;
  close(): Promise<void>;
}

const commandTimeoutMs = 240_000;
const engineStartMs = 60_000;
const packages = ['docker.io', 'docker-compose', 'iptables', 'busybox-static'];

/** Its standard output. Rejects with all that it said. */
export function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { env, timeout: commandTimeoutMs, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${file} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`, { cause: error }));
    });
  });
}

/** Throws an Error that says what is missing. */
export async function findEngine(): Promise<Engine> {
  const named = process.env['DOCKER_HOST'];
  for (const host of named === undefined ? ['unix:///var/run/docker.sock'] : [named]) {
    if (await answers(host)) return engineAt(host, false, async () => {});
  }
  if (named !== undefined) throw new Error(`DOCKER_HOST is ${named}, but no Docker engine answers there`);
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(
      'no Docker engine answers, and none can be installed here (that needs Debian and root); start one, or set DOCKER_HOST',
    );
  }
  return startOurs();
}

function answers(host: string): Promise<boolean> {
  const socketPath = host.startsWith('unix://') ? host.slice('unix://'.length) : undefined;
  const url = socketPath === undefined ? host.replace(/^tcp:/, 'http:') : 'http://docker';
  return new Promise((resolve) => {
    const request = get(
      `${url}/_ping`,
      { ...(socketPath === undefined ? {} : { socketPath }), timeout: 2000 },
      (res) => {
        res.resume();
        resolve(res.statusCode === 200);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

async function startOurs(): Promise<Engine> {
  const quiet = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  if (!['/usr/sbin/dockerd', '/usr/bin/docker-compose', '/bin/busybox'].every(existsSync)) {
    await run('apt-get', ['update', '-q'], quiet);
    await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], quiet);
  }
  const folder = await mkdtemp(join(tmpdir(), 'statestore-docker-'));
  const host = `unix://${folder}/docker.sock`;
  const log = openSync(join(folder, 'dockerd.log'), 'a');
  // prettier-ignore
  const options = [
    '--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'docker.pid'),
    '--host', host, '--bridge', 'none', '--ip-forward=false',
  ];
  const daemon = spawn('/usr/bin/setpriv', ['--pdeathsig', 'TERM', '/usr/sbin/dockerd', ...options], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  const close = async (): Promise<void> => {
    await end(daemon);
    // It leaves its network namespace mounted.
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
    for (const path of mounts.map((mount) => mount.split(' ')[1] ?? '').filter((path) => path.startsWith(folder))) {
      await run('umount', ['--lazy', path]);
    }
    await rm(folder, { recursive: true, force: true });
  };
  const deadlineMs = performance.now() + engineStartMs;
  while (!(await answers(host))) {
    if (daemon.exitCode !== null || performance.now() > deadlineMs) {
      const said = readFileSync(join(folder, 'dockerd.log'), 'utf8').slice(-3000);
      await close();
      throw new Error(`dockerd did not start:\n${said}`);
    }
    await sleep(100);
  }
  return engineAt(host, true, close);
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const gone = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  const late = setTimeout(() => daemon.kill('SIGKILL'), 30_000);
  await gone;
  clearTimeout(late);
}

async function engineAt(host: string, isOurs: boolean, close: () => Promise<void>): Promise<Engine> {
  const env = { ...process.env, DOCKER_HOST: host };
  const hasPlugin = await run('docker', ['compose', 'version'], env).then(
    () => true,
    () => false,
  );
  return {
    host,
    isOurs,
    docker: (args, more) => run('docker', args, { ...env, ...more }),
    compose: (args, more) =>
      hasPlugin
        ? run('docker', ['compose', ...args], { ...env, ...more })
        : run('docker-compose', args, { ...env, ...more }),
    close,
  };
}
