// Replicas of partitions that share their logs, each with an engine of its own, and clients that write to them without a
// pause: for what builds children and stages merges beside them.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command, CommandBody, Operation, PartitionLog } from '@statestore/core';
import { bytesFromBinary, incarnationKey } from '@statestore/core';
import type { Engine, EngineKind } from '../../services/node/src/engine/engine.ts';
import { openEngine } from '../../services/node/src/engine/open-engine.ts';
import { Partition } from '../../services/node/src/partition.ts';
import type { ReshapeTarget } from '../../services/node/src/reshape/reshape-work.ts';
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import { systemTime } from '../../services/node/src/time.ts';
import { SeededRandom } from '../process/seeded-random.ts';

export class Replicas {
  readonly kind: EngineKind;
  readonly logs = new MemoryLogs();
  readonly folder: string;
  readonly #made = new Map<number, PartitionLog>();
  readonly #closing: (() => Promise<unknown>)[] = [];

  private constructor(kind: EngineKind, folder: string) {
    this.kind = kind;
    this.folder = folder;
  }

  static async make(kind: EngineKind): Promise<Replicas> {
    return new Replicas(kind, await mkdtemp(join(tmpdir(), 'reshape-')));
  }

  engine(name: string): Promise<Engine> {
    return openEngine(this.kind, join(this.folder, name));
  }

  async engineToClose(name: string = randomUUID()): Promise<Engine> {
    const engine = await this.engine(name);
    this.#closing.push(() => engine.close());
    return engine;
  }

  /** Another replica of the partition, of the log that it has. `engine`: what it begins with. */
  async open(partition: number, engine?: Engine, log?: PartitionLog): Promise<Partition> {
    const known =
      log ?? this.#made.get(partition) ?? (await this.logs.create({ partition, generation: 1, replicas: 1 }));
    this.#made.set(partition, known);
    // As a node adopts a log that carries on what it has.
    if (log !== undefined) await engine?.put(incarnationKey, bytesFromBinary(known.incarnation));
    const replica = await Partition.open({
      partition,
      generation: known.generation,
      log: await this.logs.open(partition, known),
      engine: engine ?? (await this.engine(randomUUID())),
      time: systemTime,
      proposer: randomBytes(16).toString('latin1'),
      flushIntervalMs: 5,
      sweepIntervalMs: 20,
    });
    this.#closing.push(() => replica.close());
    return replica;
  }

  async close(): Promise<void> {
    for (const close of this.#closing.toReversed()) await close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** As the work on reshapes sees it. */
export function reshaped(partition: Partition): ReshapeTarget {
  const { number, generation, state, reader } = partition;
  return {
    partition: number,
    generation: generation!,
    state,
    reader,
    stage: (writes) => partition.stage(writes),
    sync: () => partition.sync(),
  };
}

export async function done(partition: Partition, body: CommandBody): Promise<bigint> {
  const { code, position } = await partition.propose({ body });
  if (code !== 'done') throw new Error(`${body.kind}: ${code}`);
  return position;
}

const condition = { kind: 'none' } as const;

export function put(key: string, value: string, ms = 0): Operation {
  const ttl = ms === 0 ? ({ kind: 'never' } as const) : ({ kind: 'after', ms } as const);
  return { kind: 'put', key, condition, value: bytesFromBinary(value), contentType: '', ttl };
}

export function mutate(store: string, operations: readonly Operation[]): CommandBody {
  return { kind: 'mutate', store, atomic: false, checks: [], operations };
}

export async function fill(partition: Partition, store: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    const keys = Array.from({ length: Math.min(500, count - from) }, (_, n) => `key-${from + n}`);
    await done(
      partition,
      mutate(
        store,
        keys.map((key, n) => put(key, `first of ${key}`, n % 5 === 0 ? 600_000 : 0)),
      ),
    );
  }
}

/** Writes of every kind until it is stopped, several under way at a time. */
export class Writer {
  readonly #partition: Partition;
  readonly #random: SeededRandom;
  #running = true;
  readonly #all: Promise<void>[];
  written = 0;

  constructor(partition: Partition, seed: number) {
    this.#partition = partition;
    this.#random = new SeededRandom(seed);
    this.#all = Array.from({ length: 4 }, () => this.#write());
  }

  async #write(): Promise<void> {
    while (this.#running) {
      await this.#partition.propose(this.#command());
      this.written++;
    }
  }

  #command(): Command {
    const random = this.#random;
    const at = random.below(100);
    if (at < 2) return { body: { kind: 'clear', store: 'cleared' } };
    if (at < 3) return { body: configure('limited', random.below(1000) + 1) };
    const store = ['many', 'some', 'cleared', 'limited', `new-${random.below(20)}`][random.below(5)]!;
    const operations = Array.from({ length: 1 + random.below(5) }, (): Operation => {
      const key = `key-${random.below(4000)}`;
      const kind = random.below(10);
      if (kind < 3) return { kind: 'delete', key, condition };
      return put(key, `${kind} of ${key}`.repeat(1 + random.below(5)), kind === 3 ? 1 + random.below(100) : 0);
    });
    const body = mutate(store, operations);
    if (at > 20) return { body };
    const id = `request-${random.below(200)}`.padEnd(16, '.');
    return { body, idempotency: { id, fingerprint: 'fingerprint-of-1' } };
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#all);
  }
}

export function configure(store: string, settingsVersion: number): CommandBody {
  const settings = { defaultTtlMs: 0, quotaEntries: 100_000, quotaBytes: 10_000_000 };
  const allowance = { allowanceEntries: 50_000, allowanceBytes: 5_000_000 };
  return { kind: 'configure', store, settings, settingsVersion, ...allowance };
}
