// For tests of the conductor: a cluster of conductors in one process, over one repository and one store of runs in
// memory, whose replicas are real partitions of a log in memory, and do as they are told.
import type { Repository } from '@statestore/checkpoint';
import { MemoryRepository } from '@statestore/checkpoint';
import type { CheckpointRun, CheckpointRuns } from '@statestore/cluster';
import { MemoryCheckpointRuns } from '@statestore/cluster';
import type { Command } from '@statestore/core';
import { defaultTtl, noCondition, StateStoreError } from '@statestore/core';
import type { CheckpointItem } from '@statestore/link';
import type { Time } from '../time.ts';
import { MemoryEngine } from '../engine/memory-engine.ts';
import { Partition } from '../partition.ts';
import { TestLog } from '../testing/controlled-replica.ts';
import { systemTime } from '../time.ts';
import { CheckpointDesk } from './checkpoint-desk.ts';
import type { CheckpointSettings } from './checkpoint-settings.ts';
import { Conductor, type ConductorOptions } from './conductor.ts';
import type { Candidate, PartitionTask, Replicas } from './replicas.ts';

export const quietSettings: CheckpointSettings = {
  schedule: { minIntervalMs: 0, suspend: false },
  level: 1,
  deadlineMs: 60_000,
};

/** One replica, as a node has it. */
export class TestReplica {
  readonly node: string;
  readonly partition: Partition;
  readonly desk: CheckpointDesk;
  /** Before it writes. */
  onAsked: (() => Promise<void> | void) | undefined;
  asked = 0;

  private constructor(node: string, partition: Partition, desk: CheckpointDesk) {
    this.node = node;
    this.partition = partition;
    this.desk = desk;
  }

  static async open(node: string, number: number, repository: Repository): Promise<TestReplica> {
    const partition = await Partition.open({
      partition: number,
      log: new TestLog(),
      engine: new MemoryEngine(),
      time: systemTime,
      proposer: node.padEnd(16),
      // Its state changes by what a test writes alone.
      sweeps: () => false,
    });
    return new TestReplica(node, partition, new CheckpointDesk({ repository, cluster: 'test', progressMs: 20 }));
  }

  async put(key: string, value: string): Promise<void> {
    const operation = {
      kind: 'put',
      key,
      value: new TextEncoder().encode(value),
      contentType: '',
      condition: noCondition,
      ttl: defaultTtl,
    } as const;
    const command: Command = {
      body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] },
    };
    await this.partition.propose(command);
  }

  candidate(): Candidate {
    return { node: this.node, writer: { writeCheckpoint: (_partition, order) => this.#write(order) } };
  }

  async *#write(order: Parameters<CheckpointDesk['write']>[1]): AsyncGenerator<CheckpointItem, void> {
    this.asked++;
    await this.onAsked?.();
    yield* this.desk.write(this.partition, order);
  }
}

export class ConductorWorld {
  readonly repository: MemoryRepository;
  readonly runs: CheckpointRuns;
  readonly replicas: TestReplica[] = [];
  readonly notices: string[] = [];
  readonly ended: CheckpointRun[] = [];
  readonly conductors: Conductor[] = [];
  readonly tasks: PartitionTask[] = [];

  constructor(repository = new MemoryRepository(), runs: CheckpointRuns = new MemoryCheckpointRuns()) {
    this.repository = repository;
    this.runs = runs;
  }

  /** `nodes` replicas of each partition, each with the same content. */
  async fill(partitions: number, nodes: readonly string[]): Promise<this> {
    for (let partition = 0; partition < partitions; partition++) {
      const border = (nth: number): number => Math.floor((nth * 4096) / partitions);
      this.tasks.push({
        partition,
        generation: 1,
        slots: [{ start: border(partition), end: border(partition + 1) }],
      });
      for (const node of nodes) {
        const replica = await TestReplica.open(node, partition, this.repository);
        for (let i = 0; i < 5; i++) await replica.put(`k${i}`, `${partition} ${i}`);
        this.replicas.push(replica);
      }
    }
    return this;
  }

  replicasOf(partition: number): readonly TestReplica[] {
    return this.replicas.filter((replica) => replica.partition.number === partition);
  }

  readonly port: Replicas = {
    tasks: () => this.tasks,
    candidates: (partition) => this.replicasOf(partition).map((replica) => replica.candidate()),
    close: () => Promise.resolve(),
  };

  conductor(node: string, settings: Partial<CheckpointSettings> = {}, more: Partial<ConductorOptions> = {}): Conductor {
    const conductor = new Conductor({
      runs: this.runs,
      repository: this.repository,
      cluster: 'test',
      node,
      version: '0',
      replicas: this.port,
      settings: { ...quietSettings, ...settings },
      time: systemTime,
      onNotice: (notice, details) => void this.notices.push(`${node}: ${notice} ${JSON.stringify(details)}`),
      onEnded: (run) => void this.ended.push(run),
      pollMs: 10,
      heartbeatMs: 20,
      silenceMs: 400,
      retryMs: 50,
      lookMs: 50,
      ...more,
    });
    this.conductors.push(conductor);
    return conductor;
  }

  async close(): Promise<void> {
    await Promise.all(this.conductors.map((conductor) => conductor.close()));
    await Promise.all(this.replicas.map(({ partition }) => partition.close()));
  }
}

/** A store that one conductor cannot reach any more, as where its process is frozen or its NATS is away. */
export class CutRuns implements CheckpointRuns {
  readonly #runs: CheckpointRuns;
  cut = false;

  constructor(runs: CheckpointRuns) {
    this.#runs = runs;
  }

  #there(): CheckpointRuns {
    if (this.cut) throw new StateStoreError('unavailable', 'cut');
    return this.#runs;
  }

  run: CheckpointRuns['run'] = async () => this.#there().run();
  replaceRun: CheckpointRuns['replaceRun'] = async (...args) => this.#there().replaceRun(...args);
  catalog: CheckpointRuns['catalog'] = async () => this.#there().catalog();
  replaceCatalog: CheckpointRuns['replaceCatalog'] = async (...args) => this.#there().replaceCatalog(...args);
}

/** Time whose clock for people a test sets; the rest runs. */
export class SetTime implements Time {
  ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }

  nowMs = (): number => this.ms;
  elapsedMs = (): number => systemTime.elapsedMs();
  after: Time['after'] = (ms, run) => systemTime.after(ms, run);
  defer: Time['defer'] = (run) => systemTime.defer(run);
}
