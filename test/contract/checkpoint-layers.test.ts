// What a second checkpoint uploads after a little changed, whatever else there is: entries that expire, requests that are
// remembered, stores, what a node notes. And when nothing may be built upon the one before: damage, another history.
import { createHash } from 'node:crypto';
import type { WrittenPartition } from '@statestore/checkpoint';
import { blockName, MemoryRepository, restorePartition } from '@statestore/checkpoint';
import type { Command, Ttl } from '@statestore/core';
import { binaryFromBytes, bytesFromBinary, chainNotePrefix, incarnationKey } from '@statestore/core';
import { describe, expect, test, vi } from 'vitest';
import { MemoryEngine } from '../../services/node/src/engine/memory-engine.ts';
import { dump } from '../sim/sorted-map.ts';
import { checkpointOf, cluster, manifestOf, putsOf, signal, States } from './checkpoint-states.ts';

const ids = [1, 2, 3, 4].map((n) => `01970000-0000-7000-8000-00000000000${n}`) as [string, string, string, string];
/** As a node cuts, and in either case what it does by itself. */
const usual = { cut: {}, mode: 'auto' } as const;

async function expectRestored(states: States, repository: MemoryRepository, id: string): Promise<void> {
  const target = new MemoryEngine();
  await restorePartition({ repository, manifest: await manifestOf(repository, id), target, signal });
  expect(dump(target)).toEqual(dump(states.replica.records));
}

/** The same for the same text, and nothing that compresses: 32 hexadecimal digits. */
const hashed = (text: string): string => createHash('md5').update(text).digest('hex');

interface Traffic {
  readonly stores?: number;
  readonly ttl?: (key: number, round: number) => Ttl;
  readonly once?: boolean;
}

/** One batch: these keys are put, each by a request of its own. */
function putsOfRound(keys: readonly number[], round: number, { stores = 1, ttl, once }: Traffic): Command[] {
  return keys.map((n) => {
    const text = hashed(`${n} ${round}`);
    const value = bytesFromBinary(`{"digits":"${text}${hashed(text)}","kind":"order"}`.padEnd(128));
    const lifetime = ttl?.(n, round) ?? { kind: 'never' };
    const put = { kind: 'put', key: `key-${n}`, value, contentType: '', ttl: lifetime } as const;
    const operations = [{ ...put, condition: { kind: 'none' } }] as const;
    const body = { kind: 'mutate', store: `store-${n % stores}`, atomic: false, checks: [], operations } as const;
    const idempotency = { id: text.slice(16), fingerprint: text.slice(0, 16) };
    return once === true ? { body, idempotency } : { body };
  });
}

const count = 10_000;
const after = (ms: number): Ttl => ({ kind: 'after', ms });

describe('a second checkpoint, after 1 % of the keys were put again, uploads under 5 % of the bytes', () => {
  test.each<[string, Traffic]>([
    ['of entries alone', {}],
    ['where all expire, at any time', { ttl: (n, round) => after(3_600_000 + ((n * 7919 + round) % 3_600_000)) }],
    ['where all expire, those put last at last', { ttl: () => after(3_600_000) }],
    ['where each request is remembered', { once: true }],
    ['of many stores', { stores: 2500 }],
  ])('%s', async (_, traffic) => {
    const repository = new MemoryRepository();
    const states = new States([putsOfRound([...Array(count).keys()], 0, traffic)]);
    const notes = Array.from({ length: 4096 }, (__, n): [string, Uint8Array] => [
      chainNotePrefix + String.fromCharCode(n >> 8, n & 0xff),
      Buffer.from(hashed(`note ${n}`)).subarray(0, 24),
    ]);
    states.replica.records.write(new Map(notes));
    let previous = (await checkpointOf(states, repository, ids[0], usual)).manifest;
    for (const round of [1, 2]) {
      const some = Array.from({ length: count / 100 }, (__, n) => (n * 7919 + round) % count);
      states.apply([putsOfRound(some, round, traffic)]);
      states.replica.records.write(new Map([[notes[round]![0], Buffer.alloc(24, round)]]));
      const written = await checkpointOf(states, repository, ids[round]!, { ...usual, previous });
      expect(written.plan.kind).toBe('layer');
      expect(Number(written.summary.uploadedBytes) / Number(written.summary.storedBytes)).toBeLessThan(0.05);
      await expectRestored(states, repository, ids[round]!);
      previous = await manifestOf(repository, ids[round]!);
    }
    expect(previous.layers).toHaveLength(3);
  });

  test('and where half of what there is was cleared, and waits for its sweep', async () => {
    const repository = new MemoryRepository();
    const traffic: Traffic = { stores: 2, ttl: (n) => after(3_600_000 + n) };
    const states = new States([putsOfRound([...Array(count).keys()], 0, traffic)]);
    // More blocks than so few entries would come to.
    const options = { ...usual, cut: { targetBytes: 8192, maxBytes: 32_768 } };
    const first = await checkpointOf(states, repository, ids[0], options);
    states.apply([[{ body: { kind: 'clear', store: 'store-1' } }]]);
    states.apply([[{ body: { kind: 'sweep', limit: 500, changesKeptBytes: 1e9, countStore: '' } }]]);
    const second = await checkpointOf(states, repository, ids[1], { ...options, previous: first.manifest });
    expect(second.plan).toMatchObject({ kind: 'layer', keys: 0 });
    // Blocks alone: the manifest of so many small ones is large.
    expect(second.uploadedBytes / Number(second.summary.storedBytes)).toBeLessThan(0.05);
    await expectRestored(states, repository, ids[1]);
  });

  test('and where what is remembered is all of it new, it is written without a word about the old', async () => {
    const repository = new MemoryRepository();
    const states = new States([putsOfRound([...Array(4000).keys()], 0, { once: true })]);
    const first = await checkpointOf(states, repository, ids[0], usual);
    const sweep: Command = { body: { kind: 'sweep', limit: 1e6, changesKeptBytes: 1e9, countStore: '' } };
    states.apply([[sweep]], 600_000);
    states.apply([putsOfRound([...Array(4000).keys()], 1, { once: true })]);
    const second = await checkpointOf(states, repository, ids[1], {
      ...usual,
      previous: first.manifest,
      mode: 'layer',
    });
    // One record for each, and one in the index; of the old ones no more than were looked at until it was clear.
    const [, layer] = second.manifest.layers;
    const remembered = layer!.blocks.filter(({ firstKey }) => firstKey[0]! >= 0x40);
    expect(remembered.reduce((sum, { records }) => sum + Number(records), 0)).toBeLessThan(13_000);
    await expectRestored(states, repository, ids[1]);
  });
});

/** With an index by expiry that is large enough to be compared. */
function expiring(): States {
  return new States([putsOfRound([...Array(3000).keys()], 0, { ttl: (n) => after(60_000 + n) })]);
}

describe('upon a checkpoint that turns out to be damaged', () => {
  const changed = (states: States): void => states.apply([putsOfRound([5, 50], 1, { ttl: () => after(90_000) })]);
  const indexBlock = ({ manifest }: WrittenPartition): string => {
    const block = manifest.layers[0]!.blocks.find(({ firstKey }) => firstKey[0] === 0x20)!;
    return blockName(block.owner, block.sha256);
  };

  test.each([
    ['a block that is missing', () => undefined],
    ['one that is cut short', (bytes: Uint8Array) => bytes.slice(0, -3)],
    ['one with a flipped bit', (bytes: Uint8Array) => bytes.map((byte, at) => (at === 100 ? byte ^ 1 : byte))],
  ])('nothing is built, and nothing of it is used: %s', async (_, damage) => {
    const states = expiring();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0], usual);
    const name = indexBlock(first);
    const bytes = damage(repository.objects.get(name)!.bytes);
    if (bytes === undefined) repository.objects.delete(name);
    else repository.objects.set(name, { bytes, modifiedAtMs: 0 });
    changed(states);
    const second = await checkpointOf(states, repository, ids[1], { ...usual, previous: first.manifest });
    const why = expect.stringContaining(name) as string;
    expect(second.plan).toMatchObject({ kind: 'full', why, previousIsDamaged: true });
    const owners = second.manifest.layers.flatMap(({ blocks }) => blocks.map(({ owner }) => owner));
    expect(new Set(owners)).toEqual(new Set([ids[1]]));
    await expectRestored(states, repository, ids[1]);
    // And what comes after is a layer again.
    changed(states);
    const third = await checkpointOf(states, repository, ids[2], { ...usual, previous: second.manifest });
    expect(third.plan.kind).toBe('layer');
    await expectRestored(states, repository, ids[2]);
  });

  test('nothing is written where the repository does not answer: it may be good', async () => {
    const states = expiring();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0], usual);
    changed(states);
    const name = indexBlock(first);
    const get = repository.get.bind(repository);
    vi.spyOn(repository, 'get').mockImplementation(async (asked, call) => {
      if (asked === name) throw Object.assign(new Error('no answer'), { code: 'unavailable' });
      return get(asked, call);
    });
    await expect(
      checkpointOf(states, repository, ids[1], { ...usual, previous: first.manifest }),
    ).rejects.toMatchObject({ code: 'unavailable' });
    expect([...repository.objects.keys()].filter((one) => one.startsWith(`checkpoints/${ids[1]}`))).toEqual([]);
  });

  test('nothing goes on when it is given up while the one before is read', async () => {
    const states = expiring();
    const repository = new MemoryRepository();
    const first = await checkpointOf(states, repository, ids[0], usual);
    changed(states);
    const abort = new AbortController();
    const name = indexBlock(first);
    const get = repository.get.bind(repository);
    const asked = vi.spyOn(repository, 'get').mockImplementation(async (one, call) => {
      if (one !== name) return get(one, call);
      const aborted = new Promise<never>((_, reject) =>
        call!.signal!.addEventListener('abort', () => reject(call!.signal!.reason as Error)),
      );
      abort.abort(new Error('too late'));
      return aborted;
    });
    const options = { ...usual, previous: first.manifest, signal: abort.signal };
    await expect(checkpointOf(states, repository, ids[1], options)).rejects.toThrow('too late');
    const calls = asked.mock.calls.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(asked.mock.calls.length).toBe(calls);
  });
});

test('change records that were dropped since do not come back, and those that are kept are not written again', async () => {
  const repository = new MemoryRepository();
  const states = new States(Array.from({ length: 30 }, (_, n) => [putsOf('users', [`key-${n}`], 'first')]));
  const first = await checkpointOf(states, repository, ids[0], usual);
  const changesKeptBytes = states.replica.state.changesBytes / 2;
  states.apply([[putsOf('users', ['key-3'], 'again')]]);
  states.apply([[{ body: { kind: 'sweep', limit: 1000, changesKeptBytes, countStore: '' } }]]);
  expect(states.replica.state.changesFrom).toBeGreaterThan(10n);
  const options = { ...usual, mode: 'layer', previous: first.manifest } as const;
  const { manifest, plan } = await checkpointOf(states, repository, ids[1], options);
  expect(plan).toMatchObject({ kind: 'layer', keys: 1 });
  const changeBlocks = manifest.layers[1]!.blocks.filter(({ firstKey }) => firstKey[0] === 0x30);
  expect(changeBlocks.map(({ records }) => records)).toEqual([1n]);
  await expectRestored(states, repository, ids[1]);
});

describe('upon a checkpoint of another history', () => {
  const barrier: Command = { body: { kind: 'barrier' } };

  test('what another log has in place of batches behind its last change is not missed', async () => {
    const first = [putsOf('users', ['a', 'b'], 'first')];
    // The log lost its last two batches, which changed nothing, and had others in their place.
    const lost = new States([first, [barrier], [barrier]]);
    const states = new States([first, [putsOf('users', ['a'], 'other')], [putsOf('users', ['c'], 'other')], [barrier]]);
    const repository = new MemoryRepository();
    const { manifest } = await checkpointOf(lost, repository, ids[0], usual);
    const second = await checkpointOf(states, repository, ids[1], { ...usual, mode: 'layer', previous: manifest });
    expect(second.plan).toMatchObject({ kind: 'layer', keys: 2 });
    await expectRestored(states, repository, ids[1]);
  });

  test('of a log that was replaced everything is written anew', async () => {
    const states = expiring();
    const repository = new MemoryRepository();
    const { manifest } = await checkpointOf(states, repository, ids[0], usual);
    const other = '00000000-0000-4000-8000-00000000000a';
    states.replica.records.write(new Map([[incarnationKey, bytesFromBinary(other)]]));
    expect(binaryFromBytes(states.replica.records.get(incarnationKey)!)).toBe(other);
    states.apply([[barrier]]);
    const second = await checkpointOf(states, repository, ids[1], { ...usual, mode: 'layer', previous: manifest });
    expect(second.plan).toMatchObject({ kind: 'full', why: expect.stringContaining('another log') as string });
    expect(second.summary).toMatchObject({ incarnation: other });
    expect(second.manifest.cluster).toBe(cluster);
    // Its blocks are used again all the same: their content decides.
    expect(second.reusedBytes).toBeGreaterThan(second.uploadedBytes);
    await expectRestored(states, repository, ids[1]);
  });
});
