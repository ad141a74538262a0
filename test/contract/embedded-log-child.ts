// A process for the tests of the embedded log to kill, or to run where the disk is small.
//   embedded-log-child.ts append DIRECTORY RUN     appends for ever; prints `RUN NUMBER POSITION` for each acknowledged one
//   embedded-log-child.ts fill DIRECTORY BALLAST   appends until the disk is full; prints what happened, as JSON
//   embedded-log-child.ts open DIRECTORY           opens it; prints what happened, as JSON
import { rmSync, writeSync } from 'node:fs';
import { StateStoreError } from '@statestore/core';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import type { EmbeddedLog } from '../../services/node/src/log/embedded-log.ts';

/** What the append of this run and number holds: any torn or mixed record differs from it. */
export function childPayload(run: number, number: number): Uint8Array {
  const bytes = new Uint8Array(8 + ((number * 7919) % 3000));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, run);
  view.setUint32(4, number);
  for (let i = 8; i < bytes.length; i++) bytes[i] = (run * 131 + number * 31 + i) & 0xff;
  return bytes;
}

export const childSegmentBytes = 256 * 1024;
const appendersCount = 8;

function open(directory: string): Promise<EmbeddedLog> {
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  return openEmbeddedLog({ directory, partition: 0, now, segmentBytes: childSegmentBytes });
}

async function appendForEver(directory: string, run: number): Promise<void> {
  const log = await open(directory);
  let number = 0;
  const appender = async (): Promise<void> => {
    for (;;) {
      const mine = number++;
      const outcome = await log.append(childPayload(run, mine));
      if (outcome.kind !== 'appended') throw new Error(JSON.stringify(outcome));
      writeSync(1, `${run} ${mine} ${outcome.position}\n`);
    }
  };
  await Promise.all(Array.from({ length: appendersCount }, appender));
}

async function fill(directory: string, ballast: string): Promise<void> {
  const log = await open(directory);
  let acknowledged = 0;
  let outcome = await log.append(childPayload(0, 0));
  while (outcome.kind === 'appended') outcome = await log.append(childPayload(0, ++acknowledged));
  const again = await log.append(childPayload(0, acknowledged));
  await log.close();
  const reopened = await open(directory);
  const { last } = await reopened.bounds();
  let intact = 0n;
  if (last > 0n) {
    await new Promise<void>((resolve) => {
      reopened.subscribe({
        from: 1n,
        onRecords: (records) => {
          for (const { position, bytes } of records) {
            if (position <= last && Buffer.compare(bytes, childPayload(0, Number(position) - 1)) === 0) intact++;
          }
          if (records.at(-1)?.position === last) resolve();
        },
      });
    });
  }
  const full = await reopened.append(childPayload(0, acknowledged));
  rmSync(ballast);
  let attempts = 0;
  let later = full;
  // It looks for room again after `limits.logRoomRetryMs`.
  for (; later.kind === 'refused' && attempts < 1000; attempts++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    later = await reopened.append(childPayload(0, acknowledged));
  }
  await reopened.close();
  print({ acknowledged, outcome, again, last, intact, full, later });
}

async function tryOpen(directory: string): Promise<void> {
  try {
    await (await open(directory)).close();
    print({ opened: true });
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    const { code, message, hint } = error;
    print({ opened: false, code, message, hint });
  }
}

function print(result: unknown): void {
  const text = (_: string, value: unknown): unknown => {
    if (typeof value === 'bigint') return Number(value);
    return value instanceof Error ? value.message : value;
  };
  writeSync(1, `${JSON.stringify(result, text)}\n`);
}

if (import.meta.main) {
  const [mode, directory = '', argument = ''] = process.argv.slice(2);
  if (mode === 'append') await appendForEver(directory, Number(argument));
  else if (mode === 'fill') await fill(directory, argument);
  else if (mode === 'open') await tryOpen(directory);
  else throw new Error(`unknown mode ${mode}`);
}
