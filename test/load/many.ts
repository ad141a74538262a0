// Calls of many keys and listings: one answer, or several, that are an operation each in the history.
import type { HistoryEvent, Listed } from '../history/history.ts';
import { isComplete, partsOf } from './parts.ts';
import type { Exchange, Planned, Recorder, Worker } from './recorder.ts';
import type { Level } from './steps.ts';
import { manyKeys, queryOf } from './steps.ts';

type Write = { readonly key: string; readonly value: string } | { readonly key: string; readonly value?: undefined };

/** Puts, and deletes where there is no value, of registers: each for itself, in one call. */
export async function writeMany(recorder: Recorder, worker: Worker, writes: readonly Write[]): Promise<void> {
  const operations = writes.map(({ key, value }) =>
    value === undefined ? { op: 'delete', key } : { op: 'put', key, value },
  );
  const request = manyKeys(operations, undefined, worker.nextId());
  const exchange = await recorder.exchange(worker, request, { repeatable: true, isEventual: false, isComplete });
  const answers = exchange.answer === undefined ? undefined : partsOf(exchange.answer);
  if (exchange.answer !== undefined && answers === undefined) recorder.unexplain(request, exchange.answer);
  const parts = writes.map(({ key, value }, i) => {
    const operation = value === undefined ? ({ kind: 'delete' } as const) : ({ kind: 'write', value } as const);
    const planned: Planned = { use: 'register', key, operation };
    const answer = answers?.[i];
    // Parts of earlier attempts may have happened though the last answer lacks them.
    if (answer === undefined || answer.status >= 300) return { ...planned, outcome: 'unknown' as const };
    const revision = answer.etag?.replaceAll('"', '');
    return { ...planned, outcome: 'ok' as const, ...(revision !== undefined && { revision }) };
  });
  recorder.recordParts(worker, exchange, parts);
}

export async function readMany(
  recorder: Recorder,
  worker: Worker,
  keys: readonly string[],
  level: Level,
): Promise<void> {
  const request = manyKeys(
    keys.map((key) => ({ op: 'get', key })),
    level,
    undefined,
  );
  const isEventual = level.consistency === 'eventual';
  const exchange = await recorder.exchange(worker, request, { repeatable: true, isEventual, isComplete });
  const answers = exchange.answer === undefined ? undefined : partsOf(exchange.answer);
  if (exchange.answer !== undefined && answers === undefined) recorder.unexplain(request, exchange.answer);
  const parts = keys.map((key, i) => {
    const planned: Planned = { use: 'register', key, ...level, operation: { kind: 'read' } };
    const answer = answers?.[i];
    if (answer === undefined) return { ...planned, outcome: exchange.outcome };
    const revision = answer.etag?.replaceAll('"', '');
    const result = answer.status === 200 ? answer.value! : null;
    return { ...planned, outcome: 'ok' as const, result, ...(revision !== undefined && { revision }) };
  });
  recorder.recordParts(worker, exchange, parts);
}

interface Page {
  readonly entries: readonly { readonly key: string; readonly value: string; readonly etag: string }[];
  readonly cursor: string | null;
}

/** A listing of registers, in pages of `limit`. */
export async function list(
  recorder: Recorder,
  worker: Worker,
  prefix: string,
  options: { readonly limit: number; readonly level: Level },
): Promise<HistoryEvent> {
  const { limit, level } = options;
  const isEventual = level.consistency === 'eventual';
  const listed: Listed[] = [];
  let cursor: string | null = '';
  let first: Exchange | undefined;
  let last: Exchange | undefined;
  while (cursor !== null) {
    const from: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const path = `/keys?prefix=${encodeURIComponent(prefix)}&values=true&limit=${limit}&${queryOf(level)}${from}`;
    const request = { method: 'GET', path } as const;
    last = await recorder.exchange(worker, request, { repeatable: true, isEventual });
    first ??= last;
    if (last.answer === undefined) break;
    if (last.answer.status !== 200) {
      recorder.unexplain(request, last.answer);
      last = { ...last, answer: undefined };
      break;
    }
    const page = JSON.parse(last.answer.body) as Page;
    for (const { key, value, etag } of page.entries) listed.push([key, value, etag.replaceAll('"', '')]);
    cursor = page.cursor;
  }
  const whole = { ...last!, invokedMs: first!.invokedMs };
  const planned: Planned = { use: 'register', key: prefix, ...level, operation: { kind: 'scan', prefix } };
  const told = whole.answer === undefined ? {} : { outcome: 'ok' as const, result: listed };
  return recorder.recordParts(worker, whole, [{ ...planned, ...told }])[0]!;
}
