// The shared journal: each partition's log in it against the contract of every log, while other
// partitions write; and what sharing adds: positions that survive trimming, foreign and missing records.
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import { encodeJournalRecord, stampRecord } from '../../services/node/src/log/journal-record.ts';
import type { AppendOutcome, Log } from '../../services/node/src/log/log.ts';
import { SharedJournal } from '../../services/node/src/log/shared-journal.ts';
import { appendAll, Collector, expectRecords, payload, payloads, positionOf } from './log-collector.ts';
import { logContract } from './log-contract.ts';

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const partitions = 3;

/** Partition 1 of a journal into which partition 0 writes whenever 1 does. */
class CrowdedLog implements Log {
  readonly exclusive = true;
  readonly #journal: SharedJournal;
  readonly #log: Log;
  readonly #other: Log;

  constructor(journal: SharedJournal) {
    this.#journal = journal;
    this.#log = journal.logOf(1);
    this.#other = journal.logOf(0);
  }

  get incarnation(): string {
    return this.#log.incarnation;
  }
  get recordBytesMax(): number {
    return this.#log.recordBytesMax;
  }
  append(bytes: Uint8Array): Promise<AppendOutcome> {
    void this.#other.append(bytes.subarray(0, 100));
    return this.#log.append(bytes);
  }
  subscribe(options: Parameters<Log['subscribe']>[0]) {
    return this.#log.subscribe(options);
  }
  bounds() {
    return this.#log.bounds();
  }
  async trim(below: bigint): Promise<void> {
    await this.#other.trim((await this.#other.bounds()).last + 1n);
    return this.#log.trim(below);
  }
  sizeBytes(): Promise<number> {
    return this.#log.sizeBytes();
  }
  async close(): Promise<void> {
    await this.#log.close();
    await this.#journal.close();
  }
}

for (const segmentBytes of [64 * 1024, 4 * 1024 * 1024]) {
  logContract(`in a shared journal, segments of ${segmentBytes / 1024} KiB`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'statestore-journal-'));
    return {
      open: async () => new CrowdedLog(await SharedJournal.open({ directory, partitions, now, segmentBytes })),
      dispose: () => rm(directory, { recursive: true, force: true }),
    };
  });
}

describe('the shared journal', () => {
  let directory: string;
  let journal: SharedJournal;
  const segmentBytes = 64 * 1024;

  const open = (count = partitions): Promise<SharedJournal> =>
    SharedJournal.open({ directory, partitions: count, now, segmentBytes });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'statestore-journal-'));
    journal = await open();
  });
  afterEach(async () => {
    await journal.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function reopen(): Promise<void> {
    await journal.close();
    journal = await open();
  }

  test('partitions do not see each other', async () => {
    const each = [payloads(50, 10), payloads(70, 20), payloads(90, 30)];
    await Promise.all(each.map((all, partition) => appendAll(journal.logOf(partition), all)));
    for (const again of [false, true]) {
      if (again) await reopen();
      for (const [partition, all] of each.entries()) {
        const collector = new Collector(journal.logOf(partition), 1n);
        await collector.reached(BigInt(all.length));
        expectRecords(collector.records, 1n, all);
      }
    }
  });

  test('a partition whose records were all trimmed goes on where it was, after any number of starts', async () => {
    await appendAll(journal.logOf(2), payloads(7));
    await journal.logOf(2).trim(8n);
    for (let round = 0; round < 3; round++) {
      await appendAll(journal.logOf(0), payloads(300, 1024));
      const { last } = await journal.logOf(0).bounds();
      await journal.logOf(0).trim(last + 1n);
      await journal.logOf(2).trim(8n);
      expect((await journal.logOf(0).bounds()).first).toBeGreaterThan(BigInt(round) * 300n);
      await reopen();
      // What was released is not persisted: the partition says it again after its own start.
      await journal.logOf(2).trim(8n);
      expect(await journal.logOf(2).bounds()).toMatchObject({ last: 7n });
    }
    expect(await journal.logOf(2).bounds()).toEqual({ first: 8n, last: 7n });
    expect(positionOf(await journal.logOf(2).append(payload(1)))).toBe(8n);
    expect(await journal.logOf(0).bounds()).toMatchObject({ last: 900n });
  });

  test('records that a partition needs keep the journal, however much the others write', async () => {
    const needed = payloads(3, 50);
    await appendAll(journal.logOf(1), needed);
    await appendAll(journal.logOf(0), payloads(300, 1024));
    await journal.logOf(0).trim(301n);
    await journal.logOf(2).trim(1n);
    const collector = new Collector(journal.logOf(1), 1n);
    await collector.reached(3n);
    expectRecords(collector.records, 1n, needed);
    const full = await journal.sizeBytes();
    await journal.logOf(1).trim(4n);
    expect(await journal.sizeBytes()).toBeLessThan(full);
  });

  test.runIf(process.platform === 'linux')('closed, it has no file open, though a subscriber never ends', async () => {
    const log = journal.logOf(1);
    await appendAll(log, payloads(20, 1024));
    const reader = new Collector(log, 1n, () => new Promise(() => undefined));
    await reader.reached(1n);
    expect(openFiles().length).toBeGreaterThan(1);
    await log.close();
    await journal.close();
    await expect.poll(openFiles).toEqual([]);
  });

  /** Of this process, in the journal's folder. */
  function openFiles(): string[] {
    const targets = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        // The one that lists them.
        return '';
      }
    });
    return targets.filter((path) => path.startsWith(`${directory}/`));
  }

  test('a gap in the records of a partition is refused', async () => {
    await journal.close();
    const raw = await openEmbeddedLog({ directory, partition: 0xffff, now, segmentBytes });
    const record = encodeJournalRecord(1, payload(1));
    stampRecord(record, [0n, 4n, 0n]);
    await raw.append(record);
    await raw.close();
    await expect(open()).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining('record 5 of partition 1'),
    });
    await rm(directory, { recursive: true });
    journal = await open();
  });

  test('a journal of other partitions is refused', async () => {
    await appendAll(journal.logOf(2), payloads(1));
    await journal.close();
    await expect(open(2)).rejects.toMatchObject({
      code: 'data_corrupt',
      message: expect.stringContaining('partition 2'),
    });
    journal = await open();
  });
});
