// A cluster of two partitions whose logs are lost, recovered and restored, with everything that it leaves in a repository,
// and beside it what its history truly was at every moment. Time is made up; nothing runs but what is asked for.
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { ArchivedLog } from '@statestore/checkpoint';
import {
  archivedLogName,
  beginCheckpoint,
  collectArchive,
  commitCheckpoint,
  describeArchivedLog,
  manifestName,
  MemoryRepository,
  storeSegment,
  writePartition,
} from '@statestore/checkpoint';
import type { BatchRecord, Command } from '@statestore/core';
import { bytesFromBinary, encodeBatch, hashToHex, incarnationKey } from '@statestore/core';
import type { PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { prepareRestore } from '../../services/node/src/checkpoint/restore-cluster.ts';
import type { RestoreMoment } from '../../services/node/src/checkpoint/restore-plan.ts';
import { systemTime } from '../../services/node/src/time.ts';
import { Replica } from './replica.ts';
import { SortedMap } from './sorted-map.ts';

const { signal } = new AbortController();
export const second = 1_000_000_000n;
const slots = [[{ start: 0, end: 2048 }], [{ start: 2048, end: 4096 }]];

export interface TrueLog {
  readonly log: ArchivedLog;
  readonly beganNanos: bigint;
  /** Of everything before it, too: batch n is at n - 1. */
  readonly records: BatchRecord[];
  /** 32 hexadecimal digits, by position, from 0 on. */
  readonly chains: string[];
  replica: Replica;
  /** The logs that it carries on, and up to which position. */
  readonly before: ReadonlyMap<string, bigint>;
  isDescribed: boolean;
  archived: bigint;
  /** Whether everything that was written to it was archived before another one took its place. */
  isWhole: boolean;
}

export interface Point {
  readonly incarnation: string;
  readonly position: bigint;
  readonly clockNanos: bigint;
}

export type RestoreEnd = 'told' | 'partly told' | 'not told' | 'interrupted';

export class HistoryWorld {
  readonly repository = new MemoryRepository();
  readonly cluster = 'c';
  /** By partition, in the order in which they began. */
  readonly logs: TrueLog[][] = [];
  readonly checkpoints = new Map<string, readonly Point[]>();
  /** Whether a restore was interrupted, or nobody told of a log for a while. */
  isClear = true;
  nowNanos = 1_700_000_000n * second;
  readonly tells: boolean;

  /** `tells`: descriptions of logs say when they began, as those of older versions did not. */
  constructor(tells: boolean) {
    this.tells = tells;
    for (let partition = 0; partition < slots.length; partition++) {
      this.logs.push([]);
      this.#begin(partition, undefined, 0n, 1);
    }
  }

  wait(seconds: number): void {
    this.nowNanos += BigInt(seconds) * second;
  }

  current(partition: number): TrueLog {
    return this.logs[partition]!.at(-1)!;
  }

  /** `back`: so many seconds earlier by the clock of the log's next leader. */
  write(partition: number, count: number, back: number): void {
    const log = this.current(partition);
    for (let i = 0; i < count; i++) {
      this.wait(1);
      const early = this.nowNanos - BigInt(back) * second;
      this.#append(partition, log, early > log.beganNanos ? early : log.beganNanos);
    }
    log.isWhole = false;
  }

  #append(partition: number, log: TrueLog, timestampNanos: bigint): void {
    const position = BigInt(log.records.length + 1);
    const commands: readonly Command[] = [
      {
        body: {
          kind: 'mutate',
          atomic: false,
          store: 'a',
          checks: [],
          operations: [
            {
              kind: 'put',
              key: `k${position % 5n}`,
              condition: { kind: 'none' },
              // Of no two histories the same.
              value: randomBytes(8),
              contentType: '',
              ttl: { kind: 'never' },
            },
          ],
        },
      },
    ];
    const bytes = encodeBatch({ partition, proposer: 'proposer-0123456', number: Number(position), commands });
    const record = { position, timestampNanos, bytes };
    log.records.push(record);
    log.replica.apply(record);
    log.chains.push(hashToHex(log.replica.state.chain));
  }

  async describe(partition: number, restoredFrom?: string): Promise<void> {
    const log = this.current(partition);
    if (log.isDescribed) return;
    const { beganNanos } = log;
    await describeArchivedLog(this.repository, this.tells ? { ...log.log, beganNanos, restoredFrom } : log.log);
    const name = archivedLogName(log.log.incarnation);
    const stored = this.repository.objects.get(name)!;
    this.repository.objects.set(name, { ...stored, modifiedAtMs: Number(this.nowNanos / 1_000_000n) });
    log.isDescribed = true;
  }

  /** Everything that is in the log, or all but the last of it; in segments of at most `cut` batches. */
  async archive(partition: number, cut: number, left: number): Promise<void> {
    await this.describe(partition);
    const log = this.current(partition);
    const end = BigInt(log.records.length - left);
    while (log.archived < end) {
      const last = log.archived + BigInt(cut) < end ? log.archived + BigInt(cut) : end;
      const batches = log.records.slice(Number(log.archived), Number(last));
      const [chainBefore, chain] = [log.chains[Number(log.archived)]!, log.chains[Number(last)]!];
      await storeSegment(this.repository, { ...log.log, batches, chainBefore, chain }, signal);
      log.archived = last;
    }
    log.isWhole = log.archived === BigInt(log.records.length);
  }

  async checkpoint(): Promise<void> {
    this.wait(1);
    const { repository, cluster } = this;
    const nowMs = this.#nowMs;
    const random = (bytes: number): Uint8Array => randomBytes(bytes);
    const begun = await beginCheckpoint({ repository, cluster, conductor: 'n', nowMs, random, mode: 'full' });
    const partitions: PartitionSummary[] = [];
    for (const partition of this.logs.keys()) {
      const { log, replica } = this.current(partition);
      const records = [...replica.records.range({})].map(({ key, value }) => [key, value] as const);
      const isOfLog = replica.state.position > 0n;
      const reader = new SortedMap(
        isOfLog ? [...records, [incarnationKey, bytesFromBinary(log.incarnation)]] : records,
      );
      const { generation } = log;
      const where = { cluster, repository, checkpointId: begun.id, signal };
      const written = await writePartition({ ...where, reader, partition, slots: slots[partition]!, generation });
      partitions.push(written.summary);
    }
    const trigger = CheckpointTrigger.MANUAL;
    const rest = { trigger, version: '1', nowMs, isLate: () => false };
    const committed = await commitCheckpoint({ repository, begun, partitions, ...rest });
    if (committed.outcome !== 'committed') throw new Error(committed.outcome);
    this.checkpoints.set(begun.id, partitions);
  }

  /** All but the newest ones go, and what of the archive nobody needs then. */
  async retain(keep: number): Promise<void> {
    for (const id of [...this.checkpoints.keys()].toSorted().slice(0, -keep)) {
      await this.repository.remove([manifestName(id)]);
      this.checkpoints.delete(id);
    }
    const collected = await collectArchive(this.repository);
    if (collected.outcome !== 'collected') throw new Error(collected.why);
  }

  /** The log of a partition is lost, and its last batches with it. */
  recover(partition: number, lost: number): void {
    this.wait(1);
    const { log, records, chains, before } = this.current(partition);
    const fork = before.size === 0 ? 0n : (log.continues?.position ?? 0n);
    const kept = BigInt(records.length - lost);
    const position = kept > fork ? kept : fork;
    if (position === 0n) return;
    const continues = { incarnation: log.incarnation, position, chain: chains[Number(position)]! };
    this.#begin(partition, continues, position, log.generation + 1);
  }

  /** Rejects where the moment cannot be had. */
  async restore(moment: RestoreMoment, end: RestoreEnd): Promise<void> {
    const { repository, cluster } = this;
    this.wait(1);
    const { manifest, isNew } = await prepareRestore({
      source: repository,
      into: repository,
      sourceCluster: cluster,
      cluster,
      moment,
      partitions: undefined,
      scratchPath: tmpdir(),
      conductor: 'n',
      version: '1',
      random: (bytes) => randomBytes(bytes),
      signal,
      time: { ...systemTime, nowMs: this.#nowMs },
    });
    if (isNew) this.checkpoints.set(manifest.id, manifest.partitions);
    if (end !== 'told') this.isClear = false;
    if (end === 'interrupted') return;
    this.wait(1);
    for (const { partition, incarnation, position, chain } of manifest.partitions) {
      const hex = chainText(chain);
      const continues = position === 0n ? undefined : { incarnation, position, chain: hex };
      this.#begin(partition, continues, position, 1);
    }
    if (end === 'told') for (const partition of this.logs.keys()) await this.describe(partition, manifest.id);
    if (end === 'partly told') await this.describe(manifest.partitions.length % 2, manifest.id);
  }

  readonly #nowMs = (): number => Number(this.nowNanos / 1_000_000n);

  #begin(partition: number, continues: ArchivedLog['continues'], position: bigint, generation: number): void {
    const incarnation = randomUUID();
    const log = { cluster: this.cluster, partition, generation, incarnation };
    const from = this.logs[partition]!.find((each) => each.log.incarnation === continues?.incarnation);
    const records = from === undefined ? [] : from.records.slice(0, Number(position));
    const replica = new Replica();
    const chains = [hashToHex(replica.state.chain)];
    for (const record of records) {
      replica.apply(record);
      chains.push(hashToHex(replica.state.chain));
    }
    const before = new Map([...(from?.before ?? [])].filter(([, through]) => through <= position));
    if (continues !== undefined) before.set(continues.incarnation, position);
    this.logs[partition]!.push({
      log: continues === undefined ? log : { ...log, continues },
      beganNanos: this.nowNanos,
      records,
      chains,
      replica,
      before,
      isDescribed: false,
      archived: position,
      isWhole: true,
    });
  }
}

/** 32 hexadecimal digits of the bytes of a chain. */
export function chainText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
