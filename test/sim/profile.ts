// What a seed's world is like: how many replicas and clients, how often what goes wrong. Drawn from the
// seed, so that some worlds are calm and some are not.
import type { World } from './world.ts';

/** Bugs put in on purpose, to show that the checks notice them; and what each does. */
export const bugs = {
  'answer-before-durable':
    'A record is delivered to its proposer before it is in the log, and sometimes never gets there',
  'flush-loses-a-write': 'A flush stores its position and loses one of its writes',
  'flush-position-behind': 'A flush stores its writes and an older position',
  'no-deduplication': 'Commands reach the log without their session',
  'retry-under-new-number': 'A client that tries again gives its command a new number',
  'skip-a-batch': 'One replica passes over a batch',
  'stale-strong-reads': 'Strong reads do not wait for a barrier',
  'stale-session-reads': "Session reads do not wait for the session's position",
  'dishonest-refusal': 'An append that was refused is in the log all the same',
} as const;

export type Bug = keyof typeof bugs;

export interface Profile {
  readonly replicas: number;
  /** Through which clients go; 0: they ask replicas themselves. */
  readonly gateways: number;
  readonly clients: number;
  readonly workersPerClient: number;
  readonly operationsPerWorker: number;
  /** Shares of appends. */
  readonly refused: number;
  readonly lost: number;
  readonly unknown: number;
  readonly late: number;
  readonly duplicated: number;
  /** Share of flushes that fail, which ends the process. */
  readonly flushFails: number;
  /** Share of answers that do not reach the client. */
  readonly answerLost: number;
  /** Mean time between crashes of some replica; 0: none. */
  readonly crashEveryMs: number;
  /** Delays are 0 to this. */
  readonly logDelayMs: number;
  readonly flushDelayMs: number;
  readonly networkDelayMs: number;
  /** Delivery to the slowest replica takes up to this much longer. */
  readonly laggingMs: number;
  /** The log server's clock differs from true time by up to this, and another one with each leader. */
  readonly skewMs: number;
  readonly leaderEveryMs: number;
  /** Share of pauses that outlive a session. */
  readonly longPauses: number;
  readonly bug: Bug | undefined;
}

export function drawProfile(world: World, bug: Bug | undefined): Profile {
  const { random } = world;
  const level = (max: number): number => (random.chance(0.4) ? 0 : random.next() * max);
  // Bugs that only differ between replicas, or after a crash, need them.
  const replicas = bug === undefined ? world.between(1, 3) : world.between(2, 3);
  return {
    replicas,
    gateways: world.between(0, 2),
    clients: world.between(1, 4),
    workersPerClient: world.between(1, 3),
    operationsPerWorker: world.between(5, 25),
    refused: level(0.2),
    lost: level(0.1),
    unknown: level(0.2),
    late: level(0.1),
    duplicated: level(0.15),
    flushFails: random.chance(0.2) ? random.next() * 0.05 : 0,
    answerLost: level(0.15),
    crashEveryMs: random.chance(0.4) ? 0 : world.between(50, 3000),
    logDelayMs: random.pick([0, 2, 20, 200]),
    flushDelayMs: random.pick([0, 2, 20, 200]),
    networkDelayMs: random.pick([0, 1, 10, 100]),
    laggingMs: random.pick([0, 50, 1500]),
    skewMs: random.pick([0, 5, 500]),
    leaderEveryMs: world.between(200, 5000),
    longPauses: random.chance(0.15) ? 0.02 : 0,
    bug,
  };
}
