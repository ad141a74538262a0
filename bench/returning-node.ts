// A node that comes back with nothing, seen from outside: when it answers reads at the end of its logs, asked over the link
// as a gateway asks; and what its replicas do meanwhile, by its metrics.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LinkClient } from '@statestore/link';
import { connectLink } from '@statestore/link';
import type { ManagedProcess } from '../services/cli/src/local-cluster/types.ts';
import { benchStore } from './checkpoint-subject.ts';
import { benchKey } from './fill.ts';

const askMs = 10;
const lookMs = 50;
const patienceMs = 10 * 60_000;

/** The last position of each partition's log, as replicas that follow it know it. */
export async function logEnds(nodes: readonly ManagedProcess[]): Promise<ReadonlyMap<number, bigint>> {
  const ends = new Map<number, bigint>();
  for (const node of nodes) {
    const link = linkTo(node);
    try {
      for (const { partition, appliedPosition } of (await link.status()).partitions)
        if (appliedPosition > (ends.get(partition) ?? -1n)) ends.set(partition, appliedPosition);
    } finally {
      await link.close();
    }
  }
  return ends;
}

function linkTo({ url }: ManagedProcess): LinkClient {
  const [host, port] = url.split(':') as [string, string];
  return connectLink({ host, port: Number(port) });
}

/** When one replica was first seen to do what; ms. */
interface Course {
  copying?: number;
  reading?: number;
  read?: number;
  built?: number;
  running?: number;
}

export interface Told {
  /** Replicas that came back from a checkpoint, and from another node. */
  readonly restored: number;
  readonly rebuilt: number;
  /** Sums over the replicas. Looking for a source, and waiting until others have come. */
  readonly waitingSeconds: number;
  readonly readingSeconds: number;
  readonly provingSeconds: number;
  readonly followingSeconds: number;
}

export class ReturningNode {
  readonly #node: ManagedProcess;
  readonly #ends: ReadonlyMap<number, bigint>;
  readonly #link: LinkClient;
  readonly #courses: ReadonlyMap<number, Course>;
  readonly #deadlineMs = performance.now() + patienceMs;

  constructor(node: ManagedProcess, ends: ReadonlyMap<number, bigint>) {
    this.#node = node;
    this.#ends = ends;
    this.#link = linkTo(node);
    this.#courses = new Map([...ends.keys()].map((partition) => [partition, {}]));
  }

  /** Resolves when each partition has answered a read at the end of its log. */
  async served(): Promise<void> {
    await Promise.all([...this.#ends].map(([partition, end]) => this.#served(partition, end)));
  }

  async #served(partition: number, atLeast: bigint): Promise<void> {
    for (;;) {
      try {
        const { position } = await this.#link.get(partition, benchStore, benchKey(0), {
          consistency: 'session',
          atLeast,
        });
        if (position >= atLeast) return;
      } catch (error) {
        if (performance.now() > this.#deadlineMs) throw error;
      }
      await sleep(askMs);
    }
  }

  /** Resolves when all replicas are seen to run. */
  async running(): Promise<void> {
    while (![...this.#courses.values()].every(({ running }) => running !== undefined)) {
      if (performance.now() > this.#deadlineMs) throw new Error(`the replicas of ${this.#node.name} do not run`);
      await this.#look();
      await sleep(lookMs);
    }
  }

  async told(): Promise<Told> {
    const metrics = await this.#metrics();
    const count = (name: string): number => metrics.filter((one) => one.name === name && one.value > 0).length;
    // What was over between two looks was never seen.
    const between = (from = 0, until = from): number => (from === 0 ? 0 : until - from);
    const sum = (from: keyof Course, until: keyof Course): number =>
      [...this.#courses.values()].reduce((all, course) => all + between(course[from], course[until]), 0) / 1000;
    return {
      restored: count('state_restores_total'),
      rebuilt: count('state_replica_rebuilds_total'),
      waitingSeconds: sum('copying', 'reading'),
      readingSeconds: sum('reading', 'read'),
      provingSeconds: sum('read', 'built'),
      followingSeconds: sum('built', 'running'),
    };
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  async #look(): Promise<void> {
    const now = performance.now();
    for (const { name, partition, state, value } of await this.#metrics()) {
      const course = this.#courses.get(partition);
      if (course === undefined) continue;
      if (name === 'state_replica_state' && state === 'copying') course.copying ??= now;
      if (name === 'state_restore_records' && value > 0) course.reading ??= now;
      if (name === 'state_restore_progress_ratio' && value >= 1) course.read ??= now;
      const isBuilt = course.reading !== undefined && (state === 'starting' || state === 'running');
      if (name === 'state_replica_state' && isBuilt) {
        // Of a copy nobody says when all of it has come.
        course.read ??= now;
        course.built ??= now;
      }
      if (name === 'state_replica_state' && state === 'running') course.running ??= now;
    }
  }

  async #metrics() {
    const text = await fetch(this.#node.metricsUrl).then(
      (response) => response.text(),
      () => '',
    );
    return [...text.matchAll(/^(\w+)\{(.*)\} (\S+)$/gm)].map(([, name, labels, value]) => ({
      name: name!,
      partition: Number(/partition="(\d+)"/.exec(labels!)?.[1] ?? -1),
      state: /state="(\w+)"/.exec(labels!)?.[1],
      value: Number(value),
    }));
  }
}
