// What goes wrong around nodes of a cluster, one thing at a time: logs that lose something, or only seem to;
// data that are damaged; nodes that close in the middle of everything. In memory, where it can be done by hand.
import { rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogDescription } from '@statestore/cluster';
import { encodeBatch, limits, StateStoreError } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { NodeCluster } from './cluster-node-fixture.ts';
import { MemoryBackend } from './cluster-node-memory.ts';

const three = ['a', 'b', 'c'];
const full = { freeBytes: 1e9, totalBytes: 100e9 };
const ample = { freeBytes: 80e9, totalBytes: 100e9 };
let backend: MemoryBackend;
let cluster: NodeCluster;

beforeEach(async () => {
  backend = new MemoryBackend();
  cluster = await NodeCluster.open(backend);
});
afterEach(async () => {
  const fatal = [...cluster.fatal];
  await cluster.close();
  expect(fatal).toEqual([]);
});

async function running(names: readonly string[] = three): Promise<void> {
  for (const name of names) await cluster.start(name);
  await cluster.create(1, names);
  await cluster.running(names);
}

async function write(count: number, names: readonly string[] = three, prefix = 'k'): Promise<Map<string, string>> {
  const written = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    await cluster.put(names[i % names.length]!, `${prefix}${i}`, 'v');
    written.set(`${prefix}${i}`, 'v');
  }
  return written;
}

function connect(names: readonly string[], connected: boolean): void {
  for (const name of names) backend.connections.get(name)!.set(connected);
}

/** c has stopped to apply, and is behind the others by ten. */
async function behind(): Promise<Map<string, string>> {
  const before = await write(10);
  await cluster.converged(three);
  cluster.disk.set('c', full);
  await cluster.until('c is held', () => cluster.at('c').status().disk.level === 'critical');
  const more = await write(10, ['a', 'b'], 'more');
  await cluster.until('c knows of it', () => (cluster.report('c')?.lag ?? 0) >= 10);
  return new Map([...before, ...more]);
}

describe('a log that lost its end', () => {
  test('takes nothing new from a replica that had not got so far, and is carried on from one that had', async () => {
    await running();
    const written = await behind();
    connect(three, false);
    const applied = BigInt(cluster.report('c')!.appliedPosition);
    backend.logs.cut(0, 1, applied);
    cluster.disk.set('c', ample);
    await cluster.until('c could apply again', () => cluster.at('c').status().disk.level === 'ample');
    connect(['c'], true);
    const outcome = await cluster.put('c', 'new', 'v').then(
      () => 'acknowledged',
      (error: StateStoreError) => error.code,
    );
    expect(['outcome_unknown', 'partition_halted']).toContain(outcome);
    await cluster.halted('c', 'log_regressed');
    expect(BigInt(cluster.report('c')!.appliedPosition)).toBe(applied);
    connect(['a', 'b'], true);
    await cluster.until('it is another log', async () => (await cluster.placement(0)).log?.generation === 2);
    await cluster.running(three);
    await cluster.put('c', 'after', 'v');
    await cluster.converged(three);
    await cluster.expectAll(three, new Map([...written, ['after', 'v']]));
  });

  test('is noticed by a process that never saw what was lost, from what others had reported', async () => {
    await running();
    const written = await behind();
    // The registry keeps what they said last.
    await cluster.until('a and b have reported', async () =>
      (await cluster.registry.list()).every(
        ({ name, replicas }) => name === 'c' || BigInt(replicas[0]!.appliedPosition) >= 20n,
      ),
    );
    const applied = BigInt(cluster.report('c')!.appliedPosition);
    for (const name of three) await cluster.stop(name);
    backend.logs.cut(0, 1, applied);
    cluster.disk.set('c', ample);
    await cluster.start('c');
    await cluster.halted('c', 'log_regressed');
    expect(cluster.report('c')?.reason).toContain('another replica was at');
    await cluster.start('a');
    await cluster.start('b');
    await cluster.running(three);
    await cluster.converged(three);
    await cluster.expectAll(three, written);
  });

  test('that gives a position away again stops whoever gets it', async () => {
    await running();
    const written = await write(10);
    await cluster.converged(three);
    backend.logs.cut(0, 1, 5n);
    await expect(cluster.put('a', 'new', 'v')).rejects.toMatchObject({ code: 'outcome_unknown' });
    await cluster.until('it is another log', async () => (await cluster.placement(0)).log?.generation === 2);
    await cluster.running(three);
    await cluster.converged(three);
    await cluster.expectAll(three, written);
    expect(await cluster.get('a', 'new')).toBeUndefined();
  });
});

test('a replica that only joins, and is ahead of the recovered log, begins anew; what it had is kept', async () => {
  await running(['a', 'b']);
  await cluster.start('c');
  await cluster.change(0, (placement) => ({ ...placement, joining: ['c'] }));
  const written = await write(10, ['a', 'b']);
  await cluster.converged(three);
  await cluster.stop('a');
  await cluster.stop('b');
  const log = await cluster.openLog(0, (await cluster.placement(0)).log!);
  const commands = [{ body: { kind: 'barrier' } }] as const;
  await log.append(encodeBatch({ partition: 0, proposer: 'x'.repeat(16), number: 1, commands }));
  await log.close();
  await cluster.until('c is ahead', () => cluster.report('c')?.appliedPosition === '11');
  await cluster.logStreams.remove(0, 1);
  await cluster.halted('c', 'log_regressed');
  // What c reported must not keep the others from their own log: it is gone anyway.
  await cluster.start('a');
  await cluster.start('b');
  await cluster.running(three);
  await cluster.put('a', 'new', 'v');
  await cluster.converged(three);
  await cluster.expectAll(['a', 'b'], written);
  const names = await readdir(join(cluster.dataPath('c'), 'partitions', '0'));
  expect(names.toSorted()).toEqual(['aside-1', 'data']);
});

describe('a log that only seems to have lost something', () => {
  let wrong: ((description: LogDescription) => LogDescription | undefined) | undefined;

  beforeEach(async () => {
    const describeLog = backend.logs.describe.bind(backend.logs);
    wrong = undefined;
    backend.logs.describe = async (partition, generation) => {
      const found = await describeLog(partition, generation);
      return found === undefined || wrong === undefined ? found : wrong(found);
    };
    // Recovery would be right as well, but is not what is looked at.
    backend.registry.list = () => Promise.resolve([]);
    await running(['a']);
    backend.recovers = false;
  });

  test.each<[string, (description: LogDescription) => LogDescription | undefined]>([
    ['to be gone', () => undefined],
    ['to be shorter', (description) => ({ ...description, last: 3n })],
  ])('%s, for longer than one waits, is followed again when it proves to have the last batch', async (_, answer) => {
    const written = await write(10, ['a']);
    wrong = answer;
    connect(['a'], false);
    connect(['a'], true);
    await cluster.halted('a', 'log_regressed');
    wrong = undefined;
    await cluster.running(['a']);
    await cluster.put('a', 'on', 'v');
    await cluster.expectAll(['a'], new Map([...written, ['on', 'v']]));
    expect((await cluster.placement(0)).log?.generation).toBe(1);
  });

  test('but has grown again over other batches, is not', async () => {
    await write(10, ['a']);
    wrong = () => undefined;
    connect(['a'], false);
    connect(['a'], true);
    await cluster.halted('a', 'log_regressed');
    backend.logs.cut(0, 1, 5n);
    const log = await backend.logs.open(0, (await cluster.placement(0)).log!);
    for (let i = 0; i < 10; i++) await log.append(Uint8Array.of(1, 2, 3));
    await log.close();
    wrong = undefined;
    await new Promise((resolve) => setTimeout(resolve, limits.haltRecheckMs * 2.5));
    expect(cluster.report('a')).toMatchObject({ state: 'halted', haltCause: 'log_regressed', appliedPosition: '10' });
  });

  test('for a moment only holds writes up, and halts nobody', async () => {
    await write(10, ['a']);
    wrong = () => undefined;
    connect(['a'], false);
    await expect(cluster.put('a', 'away', 'v')).rejects.toMatchObject({ code: 'unavailable' });
    connect(['a'], true);
    const waiting = cluster.put('a', 'later', 'v');
    await new Promise((resolve) => setTimeout(resolve, 700));
    wrong = undefined;
    await waiting;
    expect(cluster.notices.filter(({ notice }) => notice === 'a replica halted')).toEqual([]);
  });
});

describe('data that cannot be trusted', () => {
  /** An entry of the node, which is stopped, is another one from now on. */
  async function tamper(name: string): Promise<void> {
    const engine = await openEngine('lmdb', join(cluster.dataPath(name), 'partitions', '0', 'data'));
    for (const { key, value } of engine.range({})) {
      const text = Buffer.from(value).toString('latin1');
      if (text.endsWith('genuine')) await engine.put(key, Buffer.from(text.replace('genuine', 'altered'), 'latin1'));
    }
    await engine.close();
  }

  test('of one of two replicas are found by verifying both, and stay condemned over a restart', async () => {
    await running(['a', 'b']);
    await cluster.put('a', 'victim', 'genuine');
    await cluster.converged(['a', 'b']);
    await cluster.stop('b');
    await tamper('b');
    // Nobody is there to copy from, as far as b can see.
    const nobody = (): never => {
      throw new StateStoreError('unavailable', 'nobody is there');
    };
    await cluster.start('b', { connectPeer: nobody });
    await cluster.running(['b']);
    await cluster.put('a', 'victim', 'another value');
    await cluster.until('b found itself wrong', () =>
      cluster.notices.some(({ node, details }) => node === 'b' && details['cause'] === 'diverged'),
    );
    expect(cluster.report('a')?.state).toBe('running');
    await cluster.stop('a');
    await cluster.stop('b');
    await cluster.start('b', { connectPeer: nobody });
    // It may have heard of a yet, and not that a is gone.
    await cluster.until('b is not to be used', () => ['halted', 'copying'].includes(cluster.report('b')?.state ?? ''));
    await expect(cluster.put('b', 'x', 'v')).rejects.toMatchObject({ code: 'moved' });
    await cluster.start('a');
    await cluster.running(['a']);
    await cluster.stop('b');
    await cluster.start('b');
    await cluster.converged(['a', 'b']);
    await cluster.expectAll(['a', 'b'], new Map([['victim', 'another value']]));
  });

  test('because they are damaged are replaced by those of another replica', async () => {
    await running();
    const written = await write(10);
    await cluster.converged(three);
    await cluster.stop('c');
    writeFileSync(join(cluster.dataPath('c'), 'partitions', '0', 'data', 'lmdb', 'current'), 'nonsense\n');
    await cluster.start('c');
    await cluster.converged(three);
    await cluster.expectAll(three, written);
  });

  test('because they are gone come back from the log', async () => {
    await running();
    const written = await write(10);
    await cluster.stop('c');
    rmSync(join(cluster.dataPath('c'), 'partitions'), { recursive: true });
    await cluster.start('c');
    await cluster.converged(three);
    await cluster.expectAll(three, written);
  });
});

describe('a node', () => {
  test('waits for what is away, for ever, and goes on when it is back', async () => {
    backend.logs.down = true;
    await cluster.start('a');
    backend.logs.down = false;
    await cluster.create(1, ['a']);
    backend.logs.down = true;
    await cluster.until('it has tried', () => cluster.notices.some(({ notice }) => notice.includes('tried again')));
    expect(cluster.report('a')).toMatchObject({ state: 'starting', reason: '' });
    expect(cluster.at('a').status().notReady).toContain('partition 0');
    backend.logs.down = false;
    await cluster.running(['a']);
    expect(cluster.at('a').status().notReady).toBeUndefined();
  });

  test('refuses writes while nobody knows how far the log goes, and takes them when somebody does', async () => {
    await running();
    await write(5);
    backend.logs.down = true;
    connect(['a'], false);
    connect(['a'], true);
    const waited = await cluster.put('a', 'x', 'v').catch((error: StateStoreError) => error.code);
    expect(waited).toBe('unavailable');
    backend.logs.down = false;
    await cluster.until('a takes writes', () =>
      cluster.put('a', 'y', 'v').then(
        () => true,
        () => false,
      ),
    );
    await cluster.converged(three);
  });

  test('closes in whatever state its replicas are, also twice', async () => {
    await running(['a', 'b']);
    await write(5, ['a', 'b']);
    const closing = async (name: string): Promise<void> => {
      const node = cluster.at(name);
      const beganMs = performance.now();
      await Promise.all([node.close(), node.close()]);
      expect(performance.now() - beganMs).toBeLessThan(3000);
      expect(node.status().notReady).toContain('shutting down');
      await cluster.stop(name);
    };
    // While the log is looked at, with a write that waits.
    connect(['a'], false);
    connect(['a'], true);
    const write1 = cluster.put('a', 'x', 'v').catch(() => undefined);
    await closing('a');
    await write1;
    // While it waits to try again.
    backend.logs.down = true;
    await cluster.start('a');
    await cluster.until('it waits', () => cluster.notices.some(({ notice }) => notice.includes('tried again')));
    await closing('a');
    backend.logs.down = false;
    // While it would copy from somebody, and nobody is there.
    await cluster.stop('b');
    const opened = await cluster.openLog(0, (await cluster.placement(0)).log!);
    await opened.trim(6n);
    await opened.close();
    await cluster.start('d');
    await cluster.change(0, (placement) => ({ ...placement, joining: ['d'] }));
    await cluster.until('it copies', () => cluster.report('d')?.state === 'copying');
    await closing('d');
    // Before it knows anything.
    await cluster.start('a');
    await closing('a');
    // While it is halted.
    await cluster.logStreams.remove(0, 1);
    await cluster.start('a');
    await cluster.halted('a', 'log_regressed');
    await closing('a');
    // While nothing is applied.
    cluster.disk.set('e', full);
    await cluster.start('e');
    await closing('e');
  });

  test('follows a topology that changes its mind faster than it can', async () => {
    await running();
    const writer = cluster.writer(['a', 'b']);
    for (let i = 0; i < 15; i++) {
      await cluster.change(0, (placement) => ({ ...placement, replicas: ['a', 'b'] }));
      await cluster.change(0, (placement) => ({ ...placement, replicas: three }));
      await new Promise((resolve) => setTimeout(resolve, (i % 4) * 15));
    }
    const written = await writer.stop();
    await cluster.converged(three);
    await cluster.expectAll(three, written);
  });

  test('tells of the last topology when the store has lost it, and changes nothing', async () => {
    await running(['a']);
    backend.topologyStore.lose();
    await cluster.until('it tells', async () => (await cluster.registry.list())[0]?.lastTopology !== undefined);
    const [report] = await cluster.registry.list();
    expect(report?.lastTopology?.partitions[0]?.replicas).toEqual(['a']);
    expect(report?.replicas[0]?.state).toBe('running');
    await cluster.put('a', 'still', 'v');
    expect(await backend.topologyStore.restore({ ...report!.lastTopology!, epoch: 5n })).toBe('replaced');
    await cluster.until('it follows', () => cluster.at('a').status().epoch === 5n);
    await cluster.until('it tells no more', async () => (await cluster.registry.list())[0]?.lastTopology === undefined);
  });

  test('removes what an earlier process left of a replica that is elsewhere now', async () => {
    await running();
    const written = await write(5);
    await cluster.converged(three);
    await cluster.stop('c');
    await cluster.change(0, (placement) => ({ ...placement, replicas: ['a', 'b'] }));
    await cluster.put('a', 'more', 'v');
    await cluster.start('c');
    await cluster.until('it is removed', () =>
      cluster.notices.some(({ node, notice }) => node === 'c' && notice.includes('were removed')),
    );
    // And it can have one again.
    await cluster.change(0, (placement) => ({ ...placement, replicas: three }));
    await cluster.converged(three);
    await cluster.expectAll(three, written);
  });
});
