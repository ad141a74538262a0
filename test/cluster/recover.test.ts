// NATS loses everything, or one log, and the nodes put it back: with `statestore recover` where the topology is
// gone too, by themselves where a log alone is.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalCluster } from '@statestore/cli';
import { startLocalCluster } from '@statestore/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anyDisk } from '../servers/any-disk.ts';
import { Eye } from '../torture/eye.ts';

const partitions = 4;
let folder = '';
let cluster: LocalCluster;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-recover-'));
  cluster = await startLocalCluster({ folder: join(folder, 'cluster'), partitions, diskPercent: anyDisk() });
  await cluster.ready();
}, 180_000);
afterAll(async () => {
  await cluster?.close();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

function urlOf(key: string): string {
  return `${cluster.gateways[0]!.url}/v1/stores/s/keys/${key}`;
}

/** Whether it was acknowledged. */
async function put(key: string, value: string): Promise<boolean> {
  try {
    const answer = await fetch(urlOf(key), { method: 'PUT', body: value, signal: AbortSignal.timeout(15_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}

class Writer {
  /** Acknowledged. */
  readonly written = new Map<string, string>();
  readonly #stop = new AbortController();
  readonly #lanes: readonly Promise<void>[];

  constructor(prefix: string) {
    this.#lanes = [0, 1, 2, 3].map((lane) => this.#write(`${prefix}${lane}-`));
  }

  async #write(prefix: string): Promise<void> {
    for (let i = 0; !this.#stop.signal.aborted; i++) {
      if (await put(`${prefix}${i}`, `v${i}`)) this.written.set(`${prefix}${i}`, `v${i}`);
      else await sleep(20);
    }
  }

  async stop(): Promise<ReadonlyMap<string, string>> {
    this.#stop.abort();
    await Promise.all(this.#lanes);
    return this.written;
  }
}

/** Read by `strong`: from what can be written to. */
async function expectAll(entries: ReadonlyMap<string, string>): Promise<void> {
  const missing: string[] = [];
  for (const [key, value] of entries) {
    const answer = await fetch(`${urlOf(key)}?consistency=strong`, { signal: AbortSignal.timeout(15_000) });
    const text = await answer.text();
    if (answer.status !== 200 || text !== value) missing.push(`${key}: ${answer.status} ${text}`);
  }
  expect(missing, `of ${entries.size}`).toEqual([]);
}

test(
  'all of NATS loses its disks: `statestore recover --yes` brings everything back',
  { timeout: 300_000 },
  async () => {
    const writer = new Writer('before');
    await expect.poll(() => writer.written.size, { timeout: 30_000 }).toBeGreaterThan(200);
    // Under load: what was acknowledged last is in NATS and in a replica's buffer.
    await Promise.all(cluster.nats.map((server) => server.kill()));
    const before = await writer.stop();
    for (const { dataPath } of cluster.nats) {
      for (const name of await readdir(dataPath!)) await rm(join(dataPath!, name), { recursive: true });
    }
    await Promise.all(cluster.nats.map((server) => server.start()));

    const told = await cluster.statestore(['recover']);
    expect(told.code, told.stdout + told.stderr).toBe(3);
    expect(told.stdout).toMatch(
      /topology: lost; epoch \d+, as .*node-1, node-2, node-3 saw it, is put back as epoch \d+/,
    );
    expect(told.stdout).toContain('Nothing was changed');
    const refused = await cluster.statestore(['init', '--partitions', String(partitions), '--timeout', '5']);
    expect(refused.code, refused.stdout + refused.stderr).not.toBe(0);

    const done = await cluster.statestore(['recover', '--yes'], 240_000);
    console.log(done.stdout);
    expect(done.code, done.stdout + done.stderr).toBe(0);
    await cluster.ready(60_000);
    await expectAll(before);
    const after = new Writer('after');
    await expect.poll(() => after.written.size, { timeout: 30_000 }).toBeGreaterThan(100);
    await expectAll(await after.stop());
    const again = await cluster.statestore(['recover', '--yes', '--force']);
    expect(again.code, again.stdout + again.stderr).toBe(0);
    expect(again.stdout.match(/nothing to do/g)).toHaveLength(1 + partitions);
  },
);

test(
  'a stream is deleted under load: its replicas replace it, and nothing acknowledged is lost',
  { timeout: 300_000 },
  async () => {
    const eye = await Eye.open(cluster);
    const before = (await eye.generations()).get(1)!;
    const writer = new Writer('deleted');
    await expect.poll(() => writer.written.size, { timeout: 30_000 }).toBeGreaterThan(200);
    await eye.deleteLog(1);
    await expect
      .poll(async () => (await eye.generations()).get(1), { timeout: 90_000, interval: 200 })
      .toBe(before + 1);
    await cluster.ready(60_000);
    const atRecovery = writer.written.size;
    await expect.poll(() => writer.written.size, { timeout: 30_000 }).toBeGreaterThan(atRecovery + 200);
    await expectAll(await writer.stop());
    await eye.close();
  },
);

test(
  'with a node away a log is put back only with --force, and says what may be lost',
  { timeout: 300_000 },
  async () => {
    const eye = await Eye.open(cluster);
    const writer = new Writer('away');
    await expect.poll(() => writer.written.size, { timeout: 30_000 }).toBeGreaterThan(200);
    const written = await writer.stop();
    await sleep(1000);
    await cluster.nodes[2]!.stop();
    const before = (await eye.generations()).get(2)!;
    await eye.deleteLog(2);
    const told = await cluster.statestore(['recover', '--partition', '2', '--yes'], 180_000);
    expect(told.code, told.stdout + told.stderr).toBe(3);
    expect(told.stdout).toMatch(/only with --force: carry on from node-[12]/);
    expect(told.stdout).toContain('node-3 is silent');
    expect((await eye.generations()).get(2)).toBe(before);
    const done = await cluster.statestore(['recover', '--partition', '2', '--yes', '--force'], 180_000);
    expect(done.code, done.stdout + done.stderr).toBe(0);
    expect((await eye.generations()).get(2)).toBe(before + 1);
    await cluster.nodes[2]!.start();
    await cluster.ready(60_000);
    await expectAll(written);
    expect(await put('at-last', 'v')).toBe(true);
    await eye.close();
  },
);
