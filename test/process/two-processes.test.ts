// Gateway and node as separate processes over the link: what was acknowledged through the gateway is there
// after the node was killed and started again, and clients of the gateway only wait meanwhile.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from './dev-server.ts';

const launcher = fileURLToPath(new URL('../../services/cli/statestore', import.meta.url));
const children = new Set<ChildProcess>();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-two-'));
});
afterEach(async () => {
  for (const child of children) await end(child, 'SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** Starts a command and resolves when it says that it listens. */
async function run(...args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes('listens on')) break;
  }
  expect(said).toContain('listens on');
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

test('what was acknowledged through the gateway survives kill -9 of the node, and writers only wait', async () => {
  const nodePort = await freePort();
  const httpPort = await freePort();
  const metricsPort = await freePort();
  const startNode = () =>
    run(
      'node',
      '--port',
      String(nodePort),
      '--metrics-port',
      String(metricsPort),
      '--data',
      join(folder, 'data'),
      '--log-level',
      'warn',
    );
  let node = await startNode();
  const gateway = await run(
    'gateway',
    '--port',
    String(httpPort),
    '--node',
    `127.0.0.1:${nodePort}`,
    '--log-level',
    'error',
  );
  const url = (key: string) => `http://127.0.0.1:${httpPort}/v1/stores/s/keys/${key}`;

  const acknowledged: string[] = [];
  const failures: string[] = [];
  const stop = new AbortController();
  const writer = async (id: number): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const key = `w${id}-${i}`;
      const { status } = await fetch(url(key), { method: 'PUT', body: key });
      if (status === 201) acknowledged.push(key);
      else failures.push(`${status} ${key}`);
    }
  };
  const writers = Array.from({ length: 8 }, (_, id) => writer(id));
  for (let kill = 0; kill < 2; kill++) {
    await sleep(500);
    await end(node, 'SIGKILL');
    node = await startNode();
  }
  await sleep(500);
  stop.abort();
  await Promise.all(writers);

  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  expect(metrics).toMatch(/^state_replica_applied_position\{partition="0"\} [1-9]/m);
  expect(metrics).toMatch(/^state_node_ready 1$/m);

  expect(failures).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(10);
  for (const key of acknowledged) expect(await (await fetch(url(key))).text()).toBe(key);
  await end(gateway, 'SIGTERM');
  await end(node, 'SIGTERM');
  expect([gateway.exitCode, node.exitCode]).toEqual([0, 0]);
});
