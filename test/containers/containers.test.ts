// The image and the compose file, tried for real: an image that needs no root, no shell and nothing to write
// to, and a cluster of containers that goes on when one of them is killed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GenericContainer, Network, Wait } from 'testcontainers';
import { natsServerConfig } from '@statestore/cluster';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../servers/free-ports.ts';
import type { Engine } from './engine.ts';
import { findEngine } from './engine.ts';
import { makeStandIns } from './stand-in-images.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const image = `statestore-test:${process.pid}`;
const project = `statestore-test-${process.pid}`;
const imageBytesMax = 300 * 1024 * 1024;

let engine: Engine;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  engine = await findEngine();
  process.env['DOCKER_HOST'] = engine.host;
  const standIns = engine.isOurs ? await makeStandIns(engine) : undefined;
  if (standIns !== undefined) {
    // What cleans up after testcontainers is an image of its own, which cannot be pulled.
    process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
    // Where this machine is a container itself, it would look for a bridge that our engine does not have.
    process.env['TESTCONTAINERS_HOST_OVERRIDE'] = '127.0.0.1';
  }
  const bases =
    standIns === undefined
      ? []
      : ['--build-arg', `NODE_IMAGE=${standIns.node}`, '--build-arg', `BASE_IMAGE=${standIns.base}`];
  await engine.docker(['build', '--network', 'host', ...bases, '--tag', image, repository]);
  const [port] = await freePorts(1);
  env = {
    COMPOSE_PROJECT_NAME: project,
    STATESTORE_IMAGE: image,
    GATEWAY_PORT: `127.0.0.1:${port}`,
    ...(standIns === undefined ? {} : { NATS_IMAGE: standIns.nats }),
  };
});

afterAll(async () => {
  if (engine === undefined) return;
  if (env !== undefined) await compose('down', '--volumes', '--timeout', '5').catch(() => '');
  await engine.docker(['image', 'rm', '--force', image]).catch(() => '');
  await engine.close();
});

function compose(...args: readonly string[]): Promise<string> {
  return engine.compose(['--file', join(repository, 'docker-compose.yml'), ...args], env);
}

async function until(what: string, seconds: number, holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(200);
  }
}

describe('the image', () => {
  test('is small, runs as nobody in particular, and has no shell', async () => {
    const [inspected] = JSON.parse(await engine.docker(['image', 'inspect', image])) as [
      { Size: number; Config: { User: string; Healthcheck?: object } },
    ];
    expect(inspected.Size).toBeLessThan(imageBytesMax);
    expect(inspected.Config.User).toBe('65532:65532');
    expect(inspected.Config.Healthcheck).toBeDefined();
    await expect(
      engine.docker(['run', '--rm', '--network', 'none', '--entrypoint', '/bin/sh', image, '-c', 'true']),
    ).rejects.toThrow(/\/bin\/sh/);
    const version = await engine.docker(['run', '--rm', '--read-only', '--network', 'none', image, '--version']);
    expect(version).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('is a whole state store by itself, healthy, without a capability', async () => {
    const network = await new Network().start();
    const container = await new GenericContainer(image)
      .withNetwork(network)
      .withCommand(['dev', '--host', '0.0.0.0'])
      .withDroppedCapabilities('ALL')
      .withSecurityOpt('no-new-privileges:true')
      .withExposedPorts(8080)
      .withHealthCheck({
        test: ['CMD', '/usr/local/bin/node', '/statestore/services/cli/src/healthy.ts', 'http://127.0.0.1:8080/readyz'],
        interval: 1000,
        retries: 20,
      })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    try {
      const url = `http://${container.getHost()}:${container.getMappedPort(8080)}/v1/stores/s/keys/k`;
      expect((await fetch(url, { method: 'PUT', body: 'v' })).status).toBe(201);
      expect(await (await fetch(url)).text()).toBe('v');
    } finally {
      await container.stop();
      await network.stop();
    }
  });
});

describe('the compose file', () => {
  const gateway = (): string => `http://${env['GATEWAY_PORT']}`;
  const keyUrl = (key: string): string => `${gateway()}/v1/stores/s/keys/${key}`;
  const put = async (key: string, value: string): Promise<number> =>
    (await fetch(keyUrl(key), { method: 'PUT', body: value, signal: AbortSignal.timeout(15_000) })).status;
  const kept = new Map<string, string>();

  async function writeSome(prefix: string): Promise<void> {
    for (let i = 0; i < 40; i++) {
      const key = `${prefix}-${i}`;
      expect(await put(key, key)).toBe(201);
      kept.set(key, key);
    }
  }

  async function containerOf(service: string): Promise<string> {
    return (await compose('ps', '--quiet', service)).trim();
  }

  test('starts a cluster whose processes write to nothing but their volumes', async () => {
    await compose('up', '--detach', 'gateway', ...(engine.isOurs ? [] : ['prometheus']));
    await until('a cluster that is ready', 90, () =>
      fetch(`${gateway()}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    await writeSome('first');
    for (const service of ['nats-1', 'node-1', 'gateway']) {
      const [{ HostConfig }] = JSON.parse(await engine.docker(['inspect', await containerOf(service)])) as [
        { HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[]; SecurityOpt: string[] } },
      ];
      expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'] });
      expect(HostConfig.SecurityOpt).toContain('no-new-privileges:true');
    }
  });

  test.each(['node-2', 'nats-1'])('serves on when %s is killed, and takes it back', async (service) => {
    const container = await containerOf(service);
    await engine.docker(['kill', container]);
    await writeSome(service);
    for (const [key, value] of kept) expect(await (await fetch(keyUrl(key))).text()).toBe(value);
    await engine.docker(['start', container]);
    await until('a cluster without problems', 60, async () => (await problems()).length === 0);
  });

  /** As the command-line tool sees them, from inside. */
  async function problems(): Promise<readonly string[]> {
    const said = await compose('run', '--rm', 'statestore', 'status', '--json').catch((error: unknown) =>
      String(error),
    );
    const json = /\{[\s\S]*\}/.exec(said)?.[0];
    return json === undefined ? [said] : (JSON.parse(json) as { problems: readonly string[] }).problems;
  }

  test('comes up again with its data, and makes no second topology', async () => {
    await compose('down', '--timeout', '20');
    await compose('up', '--detach', 'gateway');
    await until('a cluster that is ready', 90, () =>
      fetch(`${gateway()}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    for (const [key, value] of kept) expect(await (await fetch(keyUrl(key))).text()).toBe(value);
    expect(await compose('logs', 'init')).toContain('Nothing was changed');
  });
});

test('the configuration of NATS is as ours elsewhere', () => {
  const text = readFileSync(join(repository, 'docker', 'nats.conf'), 'utf8');
  const ours = natsServerConfig({
    name: 'n',
    host: '0.0.0.0',
    port: 4222,
    monitorPort: 8222,
    storePath: '/data',
    syncInterval: 'always',
    cluster: { name: 'statestore', port: 6222, routes: ['nats-1:6222', 'nats-2:6222', 'nats-3:6222'] },
  });
  const lines = (config: string): string[] =>
    config.split('\n').filter((line) => line.trim() !== '' && !/^(#|server_name)/.test(line));
  expect(lines(text)).toEqual(lines(ours));
});
