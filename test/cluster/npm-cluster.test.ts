// `npm run cluster` as a person has it: it says where everything is, refuses a folder in use, starts again what
// dies, stops when told, and goes on with its data.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { anyDiskArgs } from '../servers/any-disk.ts';
import { freePorts } from '../servers/free-ports.ts';

const main = fileURLToPath(new URL('../../services/cli/src/local-cluster/main.ts', import.meta.url));
let folder: string;
let port: number;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-npm-cluster-'));
  [port = 0] = await freePorts(1);
});
afterEach(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  children.clear();
  await rm(folder, { recursive: true, force: true });
});

class Run {
  output = '';
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown[]>;

  constructor(...args: readonly string[]) {
    const settings = ['--folder', folder, '--port', String(port), '--partitions', '2', ...anyDiskArgs, ...args];
    const child = spawn(process.execPath, [main, ...settings], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.#child = child;
    this.#exit = once(child, 'exit');
  }

  async says(text: string | RegExp): Promise<string> {
    for (let i = 0; i < 1200; i++) {
      const found = typeof text === 'string' ? this.output.includes(text) : text.test(this.output);
      if (found) return this.output;
      if (this.#child.exitCode !== null) break;
      await sleep(50);
    }
    throw new Error(`it did not say ${String(text)}:\n${this.output}`);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<unknown> {
    return (await this.#exit)[0];
  }
}

const key = (): string => `http://127.0.0.1:${port}/v1/stores/s/keys/k`;

test('it is up, stops, and goes on with its data', async () => {
  const first = new Run();
  const said = await first.says('Ctrl-C stops everything');
  expect(said).toContain(`http://127.0.0.1:${port}`);
  expect(said).toMatch(/services\/cli\/statestore status --cluster demo --nats nats:/);
  expect((await fetch(key(), { method: 'PUT', body: 'kept' })).status).toBe(201);

  const second = new Run();
  expect(await second.ended()).toBe(1);
  expect(second.output).toContain('is used by another process');

  const [, pid] = /node-2 started \(pid (\d+)\)/.exec(first.output)!;
  process.kill(Number(pid), 'SIGKILL');
  await first.says(/node-2 exited \(SIGKILL\)[\s\S]*node-2 started/);
  expect(await (await fetch(key())).text()).toBe('kept');

  first.kill('SIGINT');
  expect(await first.ended()).toBe(0);
  expect(first.output).toMatch(/Stopping …[\s\S]*gateway-1 stopped[\s\S]*nats-\d stopped[\s\S]*Stopped\./);
  await expect(fetch(key())).rejects.toThrow('fetch failed');

  // Any disk is full enough for this one.
  const third = new Run('--disk-low-percent', '99.999');
  await third.says('Ctrl-C stops everything');
  expect(await (await fetch(key())).text()).toBe('kept');
  const refused = await fetch(key(), { method: 'PUT', body: 'more' });
  expect(refused.status).toBe(507);
  expect(await refused.json()).toMatchObject({ code: 'disk_full' });
  expect(await readFile(join(folder, 'logs', 'gateway-1.log'), 'utf8')).toContain('listens on');
  // As npm and a terminal do it together: one stop, not two.
  third.kill('SIGINT');
  third.kill('SIGINT');
  expect(await third.ended()).toBe(0);
});

test('a stop while it starts is a stop', async () => {
  const run = new Run();
  await run.says('nats-3 started');
  run.kill('SIGTERM');
  expect(await run.ended()).toBe(0);
  expect(run.output).not.toContain('Ctrl-C stops');
  const again = new Run();
  await again.says('Ctrl-C stops everything');
  again.kill('SIGTERM');
  expect(await again.ended()).toBe(0);
});

test('settings that make no sense are told before anything starts', async () => {
  const run = new Run('--nodes', '2', '--replicas', '3', '--engine', 'memory');
  expect(await run.ended()).toBe(2);
  expect(run.output).toContain('--replicas is 3; there are 2 nodes');
  expect(run.output).not.toContain('started');
  const full = new Run('--disk-critical-percent', '0.2');
  expect(await full.ended()).toBe(2);
  expect(full.output).toContain('--disk-low-percent is 0.2, --disk-critical-percent is 0.2');
});
