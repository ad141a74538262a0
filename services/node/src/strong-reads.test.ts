// Reads that must see everything acknowledged before them, on a replica whose log does what the test says:
// which batch they wait for, what they cost, and what they are told where it does not come.
import type { Command } from '@statestore/core';
import { bytesFromBinary, decodeBatch, encodeBatch, limits, StateStoreError } from '@statestore/core';
import type { Found, ReadOptions } from '@statestore/link';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LocalNode } from './local-node.ts';
import type { AppendOutcome } from './log/log.ts';
import { Partition } from './partition.ts';
import { TestEngine, TestLog, WatchedTime } from './testing/controlled-replica.ts';

interface Append {
  readonly commands: readonly Command[];
  /** It gets its position. */
  readonly take: () => Promise<AppendOutcome>;
  /** It gets its position, if it has none yet, and says so. */
  readonly answer: (outcome?: AppendOutcome) => void;
}

/** Appends wait for the test; what other replicas append is there at once. Delivery waits too. */
class SharedTestLog extends TestLog {
  override exclusive = false;
  override held: TestLog['held'] = [];
  readonly appends: Append[] = [];

  override append(bytes: Uint8Array): Promise<AppendOutcome> {
    return new Promise((resolve) => {
      let taken: Promise<AppendOutcome> | undefined;
      const take = (): Promise<AppendOutcome> => (taken ??= super.append(bytes));
      const answer = (outcome?: AppendOutcome): void =>
        outcome === undefined ? void take().then(resolve) : resolve(outcome);
      this.appends.push({ commands: decodeBatch(bytes).commands, take, answer });
    });
  }

  /** By another replica. */
  async foreign(command: Command): Promise<void> {
    await super.append(encodeBatch({ partition: 0, proposer: 'Q'.repeat(16), number: 1, commands: [command] }));
  }

  deliverHeld(): void {
    this.deliver(this.held!.splice(0));
  }
}

let log: SharedTestLog;
let time: WatchedTime;
let partition: Partition;
let node: LocalNode;
/** Added to the clock that is never set. */
let aheadMs: number;

beforeEach(async () => {
  log = new SharedTestLog();
  time = new WatchedTime();
  aheadMs = 0;
  time.elapsedMs = () => performance.now() + aheadMs;
  partition = await Partition.open({
    partition: 0,
    log,
    engine: new TestEngine(),
    time,
    proposer: 'P'.repeat(16),
    proposeTimeoutMs: 500,
    sweeps: () => false,
  });
  node = new LocalNode('test');
  node.add(partition);
});
afterEach(() => partition.close());

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

function put(value: string): Command {
  const operation = {
    kind: 'put',
    key: 'a',
    condition: { kind: 'none' },
    value: bytesFromBinary(value),
    contentType: '',
    ttl: { kind: 'never' },
  } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

const strong = { consistency: 'strong' } as const;

/** What it saw, or the code that it failed with. */
function read(options: ReadOptions = strong): { seen?: string | undefined } {
  const watched: { seen?: string | undefined } = {};
  const saw = ({ entry }: Found): void => {
    watched.seen = entry === undefined ? 'nothing' : Buffer.from(entry.value).toString();
  };
  Promise.resolve(node.get(0, 's', 'a', options)).then(saw, (error: unknown) => {
    watched.seen = error instanceof StateStoreError && error.retryable ? error.code : String(error);
  });
  return watched;
}

describe('a strong read', () => {
  test('waits for a batch whose append begins after it came, not for one that is under way', async () => {
    void node.propose(0, put('own'));
    await turns();
    expect(log.appends).toHaveLength(1);
    // The log has taken it, has not said so yet; then it takes what another replica acknowledges to its client.
    await log.appends[0]!.take();
    await log.foreign(put('acknowledged elsewhere'));
    const late = read();
    await turns();
    log.appends[0]!.answer();
    await turns();
    // Own batch and answer arrive, the other one does not yet.
    log.deliver(log.held!.splice(0, 1));
    await turns();
    expect(late.seen).toBeUndefined();
    expect(log.appends).toHaveLength(2);
    log.appends[1]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    expect(late.seen).toBe('acknowledged elsewhere');
  });

  test('shares one barrier with all that wait', async () => {
    const reads = Array.from({ length: 100 }, () => read());
    await turns();
    expect(log.appends.map(({ commands }) => commands)).toMatchObject([[{ body: { kind: 'barrier' } }]]);
    // These came too late for it, and share the next one.
    const later = Array.from({ length: 100 }, () => read());
    await turns();
    expect(log.appends).toHaveLength(1);
    log.appends[0]!.answer();
    await turns();
    log.deliverHeld();
    await expect.poll(() => log.appends.length).toBe(2);
    expect(reads.every(({ seen }) => seen === 'nothing')).toBe(true);
    expect(later.some(({ seen }) => seen !== undefined)).toBe(false);
    log.appends[1]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    expect(later.every(({ seen }) => seen === 'nothing')).toBe(true);
    expect(log.appends).toHaveLength(2);
  });

  test('is served by a write that goes out after it came', async () => {
    const waiting = read();
    const written = node.propose(0, put('own'));
    await turns();
    expect(log.appends.map(({ commands }) => commands.map(({ body }) => body.kind))).toEqual([['mutate']]);
    log.appends[0]!.answer();
    await turns();
    log.deliverHeld();
    expect((await written).position).toBe(1n);
    await turns();
    expect(waiting.seen).toBe('own');
  });

  test.each<[string, AppendOutcome, string]>([
    ['refused as unavailable', { kind: 'refused', reason: 'unavailable' }, 'unavailable'],
    ['refused as overloaded', { kind: 'refused', reason: 'overloaded' }, 'overloaded'],
    ['refused for want of disk', { kind: 'refused', reason: 'disk_full' }, 'unavailable'],
    ['refused as closed', { kind: 'refused', reason: 'closed' }, 'shutting_down'],
    ['refused as too large, and so alone', { kind: 'refused', reason: 'too_large' }, 'unavailable'],
    ['unknown', { kind: 'unknown', cause: new Error('connection lost') }, 'unavailable'],
  ])('fails where its batch is %s', async (_name, outcome, code) => {
    const reads = [read(), read()];
    await turns();
    log.appends[0]!.answer(outcome);
    await turns();
    expect(reads.map(({ seen }) => seen)).toEqual([code, code]);
    expect(log.appends).toHaveLength(1);
    // The next one has a batch of its own.
    const next = read();
    await expect.poll(() => log.appends.length).toBe(2);
    log.appends[1]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    expect(next.seen).toBe('nothing');
  });

  test('gets a batch of its own where a write made its batch too large', async () => {
    const waiting = read();
    const written = node.propose(0, put('x')).catch((error: StateStoreError) => error.code);
    await turns();
    log.appends[0]!.answer({ kind: 'refused', reason: 'too_large' });
    expect(await written).toBe('body_too_large');
    await expect.poll(() => log.appends.length).toBe(2);
    expect(log.appends[1]!.commands).toMatchObject([{ body: { kind: 'barrier' } }]);
    log.appends[1]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    expect(waiting.seen).toBe('nothing');
  });

  test('fails when its time is up: under way, and waiting behind what is under way', async () => {
    const underWay = read();
    await turns();
    const behind = read();
    await turns();
    expect(log.appends).toHaveLength(1);
    await expect.poll(() => [underWay.seen, behind.seen], { timeout: 3000 }).toEqual(['unavailable', 'unavailable']);
    log.appends[0]!.answer({ kind: 'unknown', cause: undefined });
  });

  test('ends with its partition: halted, or closed when it was answered', async () => {
    const underWay = read();
    await turns();
    const behind = read();
    partition.halt('diverged', 'the test says so');
    await turns();
    expect([underWay.seen, behind.seen]).toEqual(Array(2).fill(expect.stringContaining('the test says so')));
    log.appends[0]!.answer({ kind: 'refused', reason: 'closed' });
  });

  test('is still answered by a partition that closes; one that comes later is not', async () => {
    const waiting = read();
    await turns();
    const closing = partition.close();
    const late = read();
    await turns();
    expect([waiting.seen, late.seen]).toEqual([undefined, 'shutting_down']);
    log.appends[0]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    // Closed before it could look.
    expect(['nothing', 'shutting_down']).toContain(waiting.seen);
    await closing;
  });

  test('is refused where too many wait', async () => {
    const waiting = Array.from({ length: limits.barrierReadersMax }, () => read());
    const more = read();
    await turns();
    expect(more.seen).toBe('overloaded');
    log.appends[0]!.answer();
    await turns();
    log.deliverHeld();
    await turns();
    expect(waiting.every(({ seen }) => seen === 'nothing')).toBe(true);
  });
});

describe('an eventual read', () => {
  const within = (maxLagMs: number): ReadOptions => ({ consistency: 'eventual', maxLagMs });
  const answer = async (): Promise<void> => {
    await expect.poll(() => log.appends.length).toBe(1);
    log.appends.shift()!.answer();
    await turns();
    log.deliverHeld();
    await turns();
  };

  test('waits for nothing, whatever is under way', async () => {
    const seen = read({ consistency: 'eventual' });
    await turns();
    expect([seen.seen, log.appends.length]).toEqual(['nothing', 0]);
  });

  test('with a bound is served at once while an own batch is younger than that, counted from its beginning', async () => {
    // Nothing of its own is applied yet: it knows nothing of its age.
    const first = read(within(3_600_000));
    await turns();
    expect(first.seen).toBeUndefined();
    const beganMs = time.elapsedMs();
    aheadMs += 400;
    await answer();
    expect(first.seen).toBe('nothing');
    const fresh = read(within(1000));
    await turns();
    expect([fresh.seen, log.appends.length]).toEqual(['nothing', 0]);
    // The 400 ms that the batch was under way count.
    aheadMs += 1001 - (time.elapsedMs() - beganMs);
    const stale = read(within(1000));
    await turns();
    expect([stale.seen, log.appends.length]).toEqual([undefined, 1]);
    await answer();
    expect(stale.seen).toBe('nothing');
  });

  test('with a bound takes a write of this replica for proof, and none of another one', async () => {
    const written = node.propose(0, put('own'));
    await turns();
    await answer();
    await written;
    const fresh = read(within(10_000));
    await turns();
    expect([fresh.seen, log.appends.length]).toEqual(['own', 0]);
    aheadMs += 20_000;
    // As new as can be, and applied: but nobody here knows how new.
    await log.foreign(put('theirs'));
    log.deliverHeld();
    const stale = read(within(10_000));
    await turns();
    expect([stale.seen, log.appends.length]).toEqual([undefined, 1]);
    await answer();
    expect(stale.seen).toBe('theirs');
  });

  test('with a bound fails where the log does not answer', async () => {
    const stale = read(within(10));
    await turns();
    log.appends[0]!.answer({ kind: 'refused', reason: 'unavailable' });
    await turns();
    expect(stale.seen).toBe('unavailable');
  });
});

test('where nobody else can append, every read is served at once', async () => {
  log.exclusive = true;
  const reads = [read(), read({ consistency: 'eventual', maxLagMs: 1 })];
  await turns();
  expect(reads.map(({ seen }) => seen)).toEqual(['nothing', 'nothing']);
  expect(log.appends).toHaveLength(0);
});
