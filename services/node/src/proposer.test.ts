// The proposer against a log whose every answer the test gives: batching, bounds, outcomes, deadlines.
import type { Batch, Command, CommandResult } from '@statestore/core';
import { commandResult, decodeBatch, limits, StateStoreError } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import type { AppendOutcome, Log } from './log/log.ts';
import { Proposer } from './proposer.ts';
import type { Time } from './time.ts';

class ManualTime implements Time {
  ms = 1_000_000;
  readonly timers = new Set<{ atMs: number; run: () => void }>();
  readonly deferred: (() => void)[] = [];

  nowMs(): number {
    return this.ms;
  }
  elapsedMs(): number {
    return this.ms;
  }
  after(ms: number, run: () => void) {
    const timer = { atMs: this.ms + ms, run };
    this.timers.add(timer);
    return { cancel: () => void this.timers.delete(timer) };
  }
  defer(run: () => void): void {
    this.deferred.push(run);
  }
  async turn(): Promise<void> {
    for (const run of this.deferred.splice(0)) run();
    await settle();
  }
  async pass(ms: number): Promise<void> {
    for (const until = this.ms + ms; this.ms < until; this.ms += 50) {
      for (const timer of this.timers) {
        if (timer.atMs > this.ms) continue;
        this.timers.delete(timer);
        timer.run();
      }
      await settle();
    }
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

function setUp(timeoutMs = 1000) {
  const appends: { batch: Batch; answer: (outcome: AppendOutcome) => void }[] = [];
  const log = {
    recordBytesMax: limits.logMessageBytesMax,
    append: (bytes: Uint8Array) =>
      new Promise<AppendOutcome>((answer) => appends.push({ batch: decodeBatch(bytes), answer })),
  } as unknown as Log;
  const time = new ManualTime();
  const proposer = new Proposer({ partition: 3, log, time, proposer: 'P'.repeat(16), timeoutMs });
  const applied = (at: number) => {
    const { batch } = appends[at]!;
    proposer.applied(
      batch,
      batch.commands.map((_, i) => commandResult('done', { count: i })),
      BigInt(at + 1),
    );
  };
  return { appends, time, proposer, applied };
}

function put(bytes = 10): Command {
  const operation = {
    kind: 'put',
    key: 'k',
    condition: { kind: 'none' },
    value: new Uint8Array(bytes),
    contentType: '',
    ttl: { kind: 'default' },
  } as const;
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

/** How it ended, so that a test can look without waiting. */
function watched(promise: Promise<CommandResult>): { ended?: CommandResult | StateStoreError } {
  const seen: { ended?: CommandResult | StateStoreError } = {};
  promise.then(
    (result) => (seen.ended = result),
    (error: unknown) => (seen.ended = error as StateStoreError),
  );
  return seen;
}

describe('the proposer', () => {
  test('puts what comes in one turn into one batch, and what comes during an append into the next', async () => {
    const { appends, time, proposer, applied } = setUp();
    const first = [watched(proposer.propose(put())), watched(proposer.propose(put()))];
    await time.turn();
    const second = [
      watched(proposer.propose(put())),
      watched(proposer.propose(put())),
      watched(proposer.propose(put())),
    ];
    await time.turn();
    expect(appends.map(({ batch }) => batch.commands.length)).toEqual([2]);
    appends[0]!.answer({ kind: 'appended', position: 1n });
    await settle();
    expect(appends.map(({ batch }) => batch.commands.length)).toEqual([2, 3]);
    // Durable is not answered: applied is.
    expect(first.map(({ ended }) => ended)).toEqual([undefined, undefined]);
    applied(0);
    await settle();
    expect(first.map(({ ended }) => ended)).toMatchObject([0, 1].map((count) => ({ count, position: 1n })));
    expect(second[0]!.ended).toBeUndefined();
  });

  test('closes a batch at its size, large commands at their number, and sends one larger than that alone', async () => {
    const { appends, time, proposer } = setUp();
    const many = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes);
    const sizes = [limits.batchLargeBytes + 1, ...many(18, 60_000), ...many(500, 200), 200_000];
    for (const bytes of sizes) void proposer.propose(put(bytes)).catch(() => {});
    await time.turn();
    for (let i = 0; appends[i] !== undefined; i++) {
      appends[i]!.answer({ kind: 'appended', position: BigInt(i + 1) });
      await time.pass(100);
    }
    // Two large ones, and 31 of the small ones beside them, come to 128 KiB; so do 379 small ones.
    expect(appends.map(({ batch }) => batch.commands.length)).toEqual([1, 16, 33, 379, 90, 1]);
  });

  test('waits a moment for the clients that the last answer released, and not for one that stays away', async () => {
    const { appends, time, proposer, applied } = setUp();
    for (let i = 0; i < 4; i++) void proposer.propose(put());
    await time.turn();
    appends[0]!.answer({ kind: 'appended', position: 1n });
    applied(0);
    await settle();
    for (let i = 0; i < 2; i++) void proposer.propose(put());
    await time.turn();
    expect(appends).toHaveLength(1);
    void proposer.propose(put());
    await time.turn();
    expect(appends[1]!.batch.commands).toHaveLength(3);
    appends[1]!.answer({ kind: 'appended', position: 2n });
    applied(1);
    await settle();
    void proposer.propose(put());
    await time.turn();
    expect(appends).toHaveLength(2);
    await time.pass(100);
    expect(appends[2]!.batch.commands).toHaveLength(1);
  });

  test('a batch that is too large tells nobody whose command would fit that it is too large', async () => {
    const { appends, time, proposer } = setUp();
    const both = [watched(proposer.propose(put())), watched(proposer.propose(put()))];
    await time.turn();
    appends[0]!.answer({ kind: 'refused', reason: 'too_large' });
    await settle();
    expect(both.map(({ ended }) => ended)).toMatchObject([{ code: 'unavailable' }, { code: 'unavailable' }]);
    const alone = watched(proposer.propose(put()));
    await time.turn();
    appends[1]!.answer({ kind: 'refused', reason: 'too_large' });
    await settle();
    expect(alone.ended).toMatchObject({ code: 'body_too_large' });
  });

  test('a command larger than a record is refused at once', async () => {
    const { proposer } = setUp();
    await expect(proposer.propose(put(limits.logMessageBytesMax + 1))).rejects.toMatchObject({
      code: 'body_too_large',
    });
  });

  test('a full queue refuses with overloaded', async () => {
    const { proposer } = setUp();
    for (let i = 0; i < limits.proposerQueueCommandsMax; i++) void proposer.propose(put()).catch(() => {});
    await expect(proposer.propose(put())).rejects.toMatchObject({ code: 'overloaded', retryable: true });
  });

  test.each([
    ['overloaded', 'overloaded'],
    ['unavailable', 'unavailable'],
    ['disk_full', 'disk_full'],
    ['closed', 'shutting_down'],
  ] as const)('a refusal of the log (%s) is told as %s', async (reason, code) => {
    const { appends, time, proposer } = setUp();
    const seen = watched(proposer.propose(put()));
    await time.turn();
    appends[0]!.answer({ kind: 'refused', reason });
    await settle();
    expect(seen.ended).toMatchObject({ code });
  });

  test('an unknown outcome is answered when its batch comes after all', async () => {
    const { appends, time, proposer, applied } = setUp();
    const seen = watched(proposer.propose(put()));
    await time.turn();
    appends[0]!.answer({ kind: 'unknown', cause: new Error('connection lost') });
    await settle();
    expect(seen.ended).toBeUndefined();
    applied(0);
    await settle();
    expect(seen.ended).toMatchObject({ code: 'done' });
  });

  test('past its time a published command is unknown, a waiting one was not done', async () => {
    const { time, proposer } = setUp(1000);
    const published = watched(proposer.propose(put()));
    await time.turn();
    const waiting = watched(proposer.propose(put()));
    await time.pass(1500);
    expect(published.ended).toMatchObject({ code: 'outcome_unknown' });
    expect(waiting.ended).toMatchObject({ code: 'unavailable' });
  });

  test('drain refuses what is new and waits for what is old', async () => {
    const { appends, time, proposer, applied } = setUp();
    const old = watched(proposer.propose(put()));
    await time.turn();
    let drained = false;
    const draining = proposer.drain().then(() => (drained = true));
    await expect(proposer.propose(put())).rejects.toMatchObject({ code: 'shutting_down' });
    expect(drained).toBe(false);
    applied(0);
    appends[0]!.answer({ kind: 'appended', position: 1n });
    await draining;
    expect(old.ended).toMatchObject({ code: 'done' });
  });

  test('abort: published is unknown, waiting gets the reason', async () => {
    const { time, proposer } = setUp();
    const published = watched(proposer.propose(put()));
    await time.turn();
    const waiting = watched(proposer.propose(put()));
    proposer.abort(new StateStoreError('partition_halted', 'test'));
    await settle();
    expect(published.ended).toMatchObject({ code: 'outcome_unknown' });
    expect(waiting.ended).toMatchObject({ code: 'partition_halted' });
  });

  test("another proposer's batch answers nobody here", async () => {
    const { appends, time, proposer } = setUp();
    const seen = watched(proposer.propose(put()));
    await time.turn();
    proposer.applied({ ...appends[0]!.batch, proposer: 'Q'.repeat(16) }, [commandResult('done')], 1n);
    await settle();
    expect(seen.ended).toBeUndefined();
  });
});
