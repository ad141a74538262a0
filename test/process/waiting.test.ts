// Nodes and gateways that cannot do anything yet: they live, say what they wait for, stop when told, and refuse
// settings that nobody could reach them by.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePorts } from '../servers/free-ports.ts';

const launcher = fileURLToPath(new URL('../../services/cli/statestore', import.meta.url));
const clockShift = new URL('../../services/cli/src/local-cluster/clock-shift.ts', import.meta.url).href;
const children = new Set<ChildProcess>();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-waiting-'));
});
afterEach(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  children.clear();
  await rm(folder, { recursive: true, force: true });
});

function start(...args: readonly string[]) {
  const child = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const exit = once(child, 'exit') as Promise<[number | null]>;
  return { child, said: () => output, ended: async () => (await exit)[0] };
}

async function answers(url: string): Promise<Response> {
  for (let i = 0; i < 600; i++) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer !== undefined) return answer;
    await sleep(50);
  }
  throw new Error(`nobody answers at ${url}`);
}

/** A port where no NATS server is. */
const nowhere = async (): Promise<string> => `nats://127.0.0.1:${(await freePorts(1))[0]}`;

/** Begun with the first test and looked at in the last one: it takes its time. */
let givingUp: ReturnType<typeof start>;
beforeAll(async () => {
  givingUp = start('status', '--nats', await nowhere());
  children.delete(givingUp.child);
});
afterAll(() => void givingUp.child.kill('SIGKILL'));

describe('without NATS', () => {
  test.each(['node', 'gateway'])('a %s lives, is not ready, and stops', async (command) => {
    const [port = 0, metricsPort = 0] = await freePorts(2);
    const isNode = command === 'node';
    const own = isNode ? ['--metrics-port', String(metricsPort), '--data', folder, '--name', 'n1'] : [];
    const run = start(command, '--nats', await nowhere(), '--port', String(port), '--log-level', 'warn', ...own);
    const url = `http://127.0.0.1:${isNode ? metricsPort : port}`;
    expect((await answers(`${url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    expect(ready.headers.get('retry-after')).toBe('1');
    expect(await ready.json()).toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('NATS') as string,
    });
    expect((await fetch(`${url}/v1/stores`)).status).toBe(503);
    run.child.kill('SIGTERM');
    expect(await run.ended()).toBe(0);
    expect(run.said()).not.toContain('listens on');
  });
});

test.each([
  [['--host', '0.0.0.0'], '--host is 0.0.0.0, and --advertise is missing'],
  [['--port', '0'], '--port is 0, and --advertise is missing'],
  [['--name', 'Node_1'], '--name is "Node_1"'],
  [['--partitions', '4'], '--partitions is set, but means nothing with --nats'],
  [['--disk-critical-percent', '15'], '--disk-low-percent is 15, --disk-critical-percent is 15'],
])('a node that makes no sense in a cluster does not start: %j', async (args, complaint) => {
  const run = start('node', '--nats', 'nats://127.0.0.1:1', '--data', folder, ...args);
  expect(await run.ended()).toBe(2);
  expect(run.said()).toContain(complaint);
});

test('a port that is taken is told', async () => {
  const [port = 0] = await freePorts(1);
  const nats = await nowhere();
  const first = start('gateway', '--nats', nats, '--port', String(port), '--log-level', 'error');
  await answers(`http://127.0.0.1:${port}/healthz`);
  const second = start('gateway', '--nats', nats, '--port', String(port));
  expect(await second.ended()).toBe(1);
  expect(second.said()).toContain(`cannot listen on 127.0.0.1:${port}`);
  first.child.kill('SIGINT');
  expect(await first.ended()).toBe(0);
});

test('a clock that is shifted is off, in every way of asking, and the monotonic one is not', async () => {
  const script = `const past = performance.timeOrigin + performance.now();
    console.log(JSON.stringify([Date.now(), new Date().getTime(), Date.parse(Date()), new Date(5).getTime(), past]))`;
  const child = spawn(process.execPath, [`--import=${clockShift}?ms=3600000`, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const [now = 0, made = 0, called = 0, given = 0, real = 0] = JSON.parse(text) as number[];
  const hoursOff = [now, made, called].map((ms) => Math.round(((ms - real) / 3_600_000) * 10) / 10);
  expect(hoursOff).toEqual([1, 1, 1]);
  expect(given).toBe(5);
});

test('a command gives up after a while', async () => {
  expect(await givingUp.ended()).toBe(1);
  expect(givingUp.said()).toMatch(/^statestore: no nats-server of .* could be reached/);
});
