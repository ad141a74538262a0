// The two passes of a load: write every entry, and (where asked for) read every one back.
import { isUtf8 } from 'node:buffer';
import type { BatchOperation, BatchResult } from './batch-client.ts';
import { BatchClient } from './batch-client.ts';
import { contentTypes } from './formats.ts';
import type { Input } from './input.ts';
import { records } from './input.ts';
import { Journal } from './journal.ts';
import { Lanes } from './lanes.ts';
import type { LoadRecord } from './record.ts';
import { SeenKeys } from './seen-keys.ts';
import type { LoadSettings } from './settings.ts';
import type { Totals } from './totals.ts';

/** Line of the last occurrence of each key that occurs more than once. */
export type LastLines = Map<string, number>;

export interface Pass {
  readonly settings: LoadSettings;
  readonly input: Input;
  readonly totals: Totals;
  /** Aborted: what is under way is finished, nothing further is read. */
  readonly signal: AbortSignal;
}

/** Puts every entry of the input. */
export async function write({ settings, input, totals, signal }: Pass): Promise<LastLines> {
  const client = clientOf(settings, totals);
  const journal = settings.journal === undefined ? undefined : await Journal.open(settings.journal);
  const contentType = contentTypes[settings.format];
  const lanes = new Lanes(settings.concurrency, settings.batch, async (batch) => {
    const results = await client.call(batch.map((entry) => putOf(entry, settings.prefix, contentType)));
    const taken = batch.filter((entry, at) => count(entry, results[at]!, totals));
    if (taken.length > 0) await journal?.write(taken, settings.prefix);
  });
  const seen = new SeenKeys();
  const lastLines: LastLines = new Map();
  try {
    for await (const chunk of records(input, settings.format, settings.key)) {
      for (const parsed of chunk) {
        if (parsed.kind === 'bad') {
          totals.badRecords.add(`line ${parsed.line}: ${parsed.reason}`);
          continue;
        }
        const { key, line } = parsed.record;
        if (seen.add(key)) {
          totals.duplicates.add(key);
          lastLines.set(key, line);
        }
        const wait = lanes.add(parsed.record);
        if (wait !== undefined) await wait;
      }
      if (signal.aborted) break;
    }
    await lanes.end();
  } finally {
    await journal?.close();
    await client.close();
  }
  return lastLines;
}

/** Reads every entry of the input back and compares byte for byte. */
export async function verify({ settings, input, totals, signal }: Pass, lastLines: LastLines): Promise<void> {
  const client = clientOf(settings, totals);
  const lanes = new Lanes(settings.concurrency, settings.batch, async (batch) => {
    const results = await client.call(batch.map(({ key }) => ({ op: 'get', key: settings.prefix + key })));
    batch.forEach((entry, at) => compare(entry, results[at]!, totals));
  });
  try {
    for await (const chunk of records(input, settings.format, settings.key)) {
      for (const parsed of chunk) {
        if (parsed.kind === 'bad') continue;
        const { key, line } = parsed.record;
        if ((lastLines.get(key) ?? line) !== line) continue;
        const wait = lanes.add(parsed.record);
        if (wait !== undefined) await wait;
      }
      if (signal.aborted) break;
    }
    await lanes.end();
  } finally {
    await client.close();
  }
}

function clientOf({ url, store, concurrency, retryFor }: LoadSettings, totals: Totals): BatchClient {
  return new BatchClient({ url, store, concurrency, retryForMs: retryFor * 1000 }, totals);
}

function putOf({ key, value }: LoadRecord, prefix: string, contentType: string): BatchOperation {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  const encoding = isUtf8(value) ? 'utf8' : 'base64';
  return { op: 'put', key: prefix + key, value: bytes.toString(encoding), encoding, contentType };
}

/** Whether the entry was acknowledged. */
function count({ key, value, line }: LoadRecord, { status, code }: BatchResult, totals: Totals): boolean {
  if (status === 200 || status === 201) {
    totals.entries++;
    totals.bytes += value.length;
    return true;
  }
  totals.refuse(code ?? `http_${status}`, `line ${line}, key ${key}`);
  return false;
}

function compare({ key, value, line }: LoadRecord, result: BatchResult, totals: Totals): void {
  const where = `line ${line}, key ${key}`;
  if (result.status === 404) {
    totals.mismatches.add(`${where}: it is not there`);
    return;
  }
  if (result.status !== 200 || result.value === undefined) {
    totals.refuse(result.code ?? `http_${result.status}`, where);
    return;
  }
  const stored = Buffer.from(result.value, result.encoding ?? 'utf8');
  if (!stored.equals(value)) {
    totals.mismatches.add(`${where}: ${stored.length} bytes are stored that differ from the ${value.length} given`);
    return;
  }
  totals.entries++;
  totals.bytes += value.length;
}
