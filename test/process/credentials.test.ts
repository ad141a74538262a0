// Who may: NATS that asks for a user, nodes that ask for a token. What is wrong is told, and no secret is.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLocalCluster } from '@statestore/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tool } from '../../scripts/tools.mjs';
import { anyDisk } from '../servers/any-disk.ts';
import { freePorts } from '../servers/free-ports.ts';

const secret = 'hush-hush';
let folder: string;
let nats: ChildProcess;
let natsUrl: string;

/** A user that may do what docs/cluster.md says it needs, and nothing else. */
function natsConfig(port: number): string {
  const buckets = ['topology', 'nodes'].map((bucket) => `$KV.statestore_demo_${bucket}.>`);
  const permissions = {
    publish: ['statestore.demo.>', ...buckets, '$JS.API.>'],
    subscribe: ['statestore.demo.>', '_INBOX.>', '$JS.EVENT.ADVISORY.>'],
  };
  return `listen: "127.0.0.1:${port}"
    max_payload: 8MB
    jetstream { store_dir: "${join(folder, 'nats')}" }
    authorization { users: [ { user: me, password: "${secret}", permissions: ${JSON.stringify(permissions)} } ] }`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-credentials-'));
  await writeFile(join(folder, 'secret'), `${secret}\n`);
  const [port] = await freePorts(1);
  natsUrl = `nats://127.0.0.1:${port}`;
  const config = join(folder, 'nats.conf');
  await writeFile(config, natsConfig(port!));
  nats = spawn(tool('nats-server'), ['--config', config], { stdio: 'ignore' });
  await once(nats, 'spawn');
});

afterAll(async () => {
  const gone = once(nats, 'exit');
  nats.kill('SIGKILL');
  await gone;
  await rm(folder, { recursive: true, force: true });
});

test('NATS that asks for a user, nodes that ask for a token', async () => {
  const proofs = ['--nats-user', 'me', '--nats-password', `@${folder}/secret`];
  const token = ['--link-token', `@${folder}/secret`];
  const cluster = await startLocalCluster({
    folder: join(folder, 'cluster'),
    natsServers: 0,
    natsUrls: [natsUrl],
    nodes: 1,
    gateways: 1,
    init: false,
    diskPercent: anyDisk(),
    nodeArgs: [...proofs, ...token],
    gatewayArgs: [...proofs, ...token],
  });
  try {
    const refused = await cluster.statestore([
      'init',
      '--replicas',
      '1',
      '--nats-user',
      'me',
      '--nats-password',
      'wrong-one',
    ]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/could be reached\n\(.*uthorization.*\)/) as string,
    });
    expect(refused.stdout + refused.stderr).not.toContain('wrong-one');
    expect(await cluster.statestore(['init', '--replicas', '1', ...proofs])).toMatchObject({ code: 0, stderr: '' });
    await cluster.ready();
    const [gateway] = cluster.gateways;
    const put = await fetch(`${gateway!.url}/v1/stores/s/keys/k`, { method: 'PUT', body: 'v' });
    expect(put.status).toBe(201);
    expect(await cluster.statestore(['status', ...proofs])).toMatchObject({ code: 0 });

    const stranger = await startLocalCluster({
      natsServers: 0,
      natsUrls: [natsUrl],
      nodes: 0,
      gateways: 1,
      init: false,
      gatewayArgs: [...proofs, '--link-token', 'another'],
    });
    try {
      await sleep(2000);
      expect((await fetch(`${stranger.gateways[0]!.url}/readyz`)).status).toBe(503);
    } finally {
      await stranger.close();
    }
    for (const { logPath } of cluster.processes) {
      const log = await readFile(logPath, 'utf8');
      expect(log).not.toContain(secret);
      expect(log).not.toMatch(/permission/i);
    }
  } finally {
    await cluster.close();
  }
});
