// Copies between real processes: a `statestore node` gives its state, another process takes it, and either is
// killed, paused or starved in the middle. What the taking one holds then is the whole state, proved, or nothing.
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '@statestore/core';
import type { PartitionStatus } from '@statestore/link';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Target, type TargetOptions } from './copy/run-target.ts';
import type { Said } from './copy/said.ts';
import { putCommand, sourceKey, SourceNode } from './copy/source-node.ts';

const entries = 60_000;
const valueBytes = 500;
/** A copy in the middle: begun, and far from its end. */
const middle = entries / 10;
const nothing = { position: '0', entries: 0, records: 0 };

let dir = '';
let source: SourceNode;
let folders = 0;
const targets: Target[] = [];

async function freshFolder(): Promise<string> {
  const folder = join(dir, `target-${++folders}`);
  await mkdir(folder);
  return folder;
}
function start(options: Partial<TargetOptions> & { readonly folder: string }): Target {
  const target = new Target({ engine: 'lmdb', port: source.port, ...options });
  targets.push(target);
  return target;
}
async function inTheMiddle(target: Target): Promise<void> {
  await expect.poll(() => target.records, { timeout: 30_000, interval: 5 }).toBeGreaterThan(middle);
  expect(target.records).toBeLessThan(entries);
}
const last = (said: readonly Said[]): Said => said.at(-1)!;
function isThatOf(said: Said, { appliedPosition, chain, stateHash }: PartitionStatus): void {
  expect(said.copied).toMatchObject({ position: String(appliedPosition), chain, stateHash });
}

/** For the tests of a `describe`: one node, filled once. */
function givenNode(engine: 'lmdb' | 'memory'): void {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'statestore-copies-'));
    source = await SourceNode.start(join(dir, 'source'), engine);
    await source.fill(entries, valueBytes);
  });
  afterEach(async () => {
    for (const target of targets.splice(0)) await target.kill();
  });
  afterAll(async () => {
    await source.kill();
    await rm(dir, { recursive: true, force: true });
  });
}

describe.each(['lmdb', 'memory'] as const)('a copy from a node with the %s engine', (engine) => {
  givenNode(engine);

  test('is whole, also while writes go on: it is one point in time', async () => {
    const before = await source.status();
    const folder = await freshFolder();
    const target = start({ folder });
    const state = { writing: true };
    let written = 0;
    const writer = async (): Promise<void> => {
      for (; state.writing; written++)
        await source.link.propose(0, putCommand([sourceKey(written % entries), `new ${written}`], new Uint8Array(9)));
    };
    const writers = Promise.all([writer(), writer()]);
    const said = await target.ended();
    state.writing = false;
    await writers;
    const { copied } = last(said);
    expect(written).toBeGreaterThan(10);
    expect(BigInt(copied!.position)).toBeGreaterThanOrEqual(before.appliedPosition);
    expect(BigInt(copied!.position)).toBeLessThan((await source.status()).appliedPosition);
    // Opened again, it is what was copied; a further copy on top of it is of a later position.
    const [again, ...rest] = await start({ folder }).ended();
    expect(again!.found).toMatchObject({ position: copied!.position, records: copied!.records });
    isThatOf(last(rest), await source.status());
  });

  test.each(['lmdb', 'memory'] as const)('into the %s engine', async (into) => {
    isThatOf(last(await start({ folder: await freshFolder(), engine: into }).ended()), await source.status());
  });
});

describe('a copy', () => {
  givenNode('lmdb');

  test('whose taker is killed leaves nothing that could be taken for a replica; started again, it is whole', async () => {
    const folder = await freshFolder();
    for (let kills = 0; kills < 3; kills++) {
      const target = start({ folder });
      await inTheMiddle(target);
      await target.kill();
      expect((await start({ folder, look: true }).ended())[0]!.found).toEqual(nothing);
    }
    // In the proof, too: everything is there, but not in force.
    const target = start({ folder });
    const isNearlyThere = (): boolean =>
      target.records > entries * 0.97 || target.said.some(({ copied }) => copied !== undefined);
    await expect.poll(isNearlyThere, { timeout: 30_000, interval: 1 }).toBe(true);
    await target.kill();
    const [{ found }] = (await start({ folder, look: true }).ended()) as [Said];
    if (target.said.every(({ copied }) => copied === undefined)) expect(found).toEqual(nothing);
    isThatOf(last(await start({ folder }).ended()), await source.status());
    expect((await readdir(join(folder, 'lmdb'))).filter((name) => name.startsWith('env-'))).toHaveLength(1);
  });

  test('for which the disk of the taker has no room is refused, and can be taken once there is', async () => {
    const folder = await freshFolder();
    const said = await start({ folder, diskMb: 16 }).ended();
    expect(said.at(-2)!.failed).toMatchObject({ code: 'disk_full', retryable: true });
    expect(last(said).found).toEqual(nothing);
    // The file system went with the process.
    isThatOf(last(await start({ folder }).ended()), await source.status());
  });

  test('whose giver is paused for a moment goes on; for long, it is given up and begun anew', async () => {
    const brief = start({ folder: await freshFolder() });
    await inTheMiddle(brief);
    source.signal('SIGSTOP');
    await sleep(700);
    source.signal('SIGCONT');
    isThatOf(last(await brief.ended()), await source.status());

    const folder = await freshFolder();
    const long = start({ folder });
    await inTheMiddle(long);
    source.signal('SIGSTOP');
    const said = await long.ended();
    source.signal('SIGCONT');
    expect(said.at(-2)!.failed).toMatchObject({ code: 'unavailable', retryable: true });
    expect(last(said).found).toEqual(nothing);
    isThatOf(last(await start({ folder }).ended()), await source.status());
  });

  test('whose taker is paused is given up by the giver, which goes on with others', async () => {
    const paused = Array.from({ length: limits.copiesMax }, async () => {
      const target = start({ folder: await freshFolder() });
      await inTheMiddle(target);
      target.signal('SIGSTOP');
      return target;
    });
    await Promise.all(paused);
    // As many as may be are under way and hang; in the time that a silent peer is given they make room.
    const folder = await freshFolder();
    await expect
      .poll(async () => last(await start({ folder }).ended()).copied !== undefined, { timeout: 60_000, interval: 500 })
      .toBe(true);
    for (const each of await Promise.all(paused)) {
      each.signal('SIGCONT');
      const said = await each.ended();
      expect(said.at(-2)!.failed).toMatchObject({ code: 'unavailable' });
      expect(last(said).found).toEqual(nothing);
    }
  });

  test('whose giver is killed is over at once, and leaves nothing', async () => {
    const folder = await freshFolder();
    const target = start({ folder });
    await inTheMiddle(target);
    await source.kill();
    const said = await target.ended();
    expect(said.at(-2)!.failed).toMatchObject({ code: 'unavailable', retryable: true });
    expect(last(said).found).toEqual(nothing);
    source = await SourceNode.start(join(dir, 'source'), 'lmdb');
    isThatOf(last(await start({ folder }).ended()), await source.status());
  });
});
