import { limits } from '@statestore/core';
import { expect, test } from 'vitest';
import type { Time } from '../time.ts';
import { CheckpointTurns } from './checkpoint-turns.ts';

/** A thread whose time passes only by work. Each round of its loop others take `othersMs`. */
class Thread {
  now = 0;
  othersMs = 0;
  othersHadMs = 0;
  readonly #deferred: (() => void)[] = [];
  readonly time: Time = {
    nowMs: () => this.now,
    elapsedMs: () => this.now,
    after: () => ({ cancel: () => undefined }),
    defer: (run) => void this.#deferred.push(run),
  };

  async round(): Promise<void> {
    this.now += this.othersMs;
    this.othersHadMs += this.othersMs;
    for (const run of this.#deferred.splice(0)) run();
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }
}

const stepMs = limits.checkpointTurnMs / 5;

/** Works until it is to stop; tells how long it had the thread. */
function worker(thread: Thread, turns: CheckpointTurns): { hadMs: number; isOver: boolean } {
  const told = { hadMs: 0, isOver: false };
  void (async () => {
    const turn = turns.part();
    while (!told.isOver) {
      thread.now += stepMs;
      told.hadMs += stepMs;
      await turn();
    }
  })();
  return told;
}

test('while others have work, all parts together have their share of the thread, and each gets on', async () => {
  for (const othersMs of [0.1, 1, 7]) {
    const thread = new Thread();
    const turns = new CheckpointTurns(thread.time);
    thread.othersMs = othersMs;
    const parts = [worker(thread, turns), worker(thread, turns)];
    while (thread.now < 1000) await thread.round();
    const hadMs = parts.reduce((sum, part) => sum + part.hadMs, 0);
    expect(hadMs / thread.now).toBeLessThan(limits.checkpointBusyShare * 1.1);
    expect(hadMs / thread.now).toBeGreaterThan(Math.min(0.8 * limits.checkpointBusyShare, 0.05));
    expect(parts[0]!.hadMs / parts[1]!.hadMs).toBeCloseTo(1, 1);
    for (const part of parts) part.isOver = true;
    for (let i = 0; i < 100; i++) await thread.round();
  }
});

test('no turn is longer than one is, whoever has work', async () => {
  const thread = new Thread();
  const part = worker(thread, new CheckpointTurns(thread.time));
  for (let i = 0; i < 100; i++) {
    const { hadMs } = part;
    thread.othersMs = i % 3;
    await thread.round();
    expect(part.hadMs - hadMs).toBeLessThan(limits.checkpointTurnMs + 1.5 * stepMs);
  }
  part.isOver = true;
});

test('where nobody else has work, it has the thread to itself', async () => {
  const thread = new Thread();
  const part = worker(thread, new CheckpointTurns(thread.time));
  for (let i = 0; i < 100; i++) await thread.round();
  expect(part.hadMs).toBeCloseTo(thread.now);
  // Also after a time in which others had.
  thread.othersMs = 3;
  for (let i = 0; i < 10; i++) await thread.round();
  thread.othersMs = 0;
  const { hadMs } = part;
  for (let i = 0; i < 10; i++) await thread.round();
  expect(part.hadMs - hadMs).toBeGreaterThan(9 * limits.checkpointTurnMs);
  part.isOver = true;
});

test('who waited for something else owes nobody more than a turn', async () => {
  const thread = new Thread();
  const turn = new CheckpointTurns(thread.time).part();
  thread.now += 60_000;
  let isNext = false;
  void turn()!.then(() => (isNext = true));
  thread.othersMs = 1;
  for (let i = 0; i < 10; i++) await thread.round();
  expect(isNext).toBe(true);
});
