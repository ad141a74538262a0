// Fills a store through many-key calls, a few in flight at a time.
import { Pool } from 'undici';

export interface FillOptions {
  readonly url: string;
  readonly store: string;
  readonly entries: number;
  /** Of a value that says nothing but its key. */
  readonly valueBytes: number;
  /** Other values. */
  readonly value?: (n: number) => string;
  /** Called after each call with the entries so far. */
  readonly onProgress?: (entries: number) => void;
}

const callEntries = 500;
const inFlight = 4;

/** Ascending with `n`, spread over all slots. */
export function benchKey(n: number): string {
  return `key-${String(n).padStart(9, '0')}`;
}

export async function fill({ url, store, entries, valueBytes, value, onProgress }: FillOptions): Promise<void> {
  const pool = new Pool(url, { connections: inFlight, pipelining: 1 });
  let next = 0;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (next < entries) {
      const from = next;
      next = Math.min(entries, next + callEntries);
      const operations = Array.from({ length: next - from }, (_, at) => {
        const key = benchKey(from + at);
        return { op: 'put', key, value: value?.(from + at) ?? key.padEnd(valueBytes, '.') };
      });
      const path = `/v1/stores/${store}/batch`;
      const headers = { 'content-type': 'application/json' };
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path,
        headers,
        body: JSON.stringify({ operations }),
      });
      const text = await body.text();
      const { counts } = JSON.parse(text) as { counts?: { put: number } };
      if (statusCode !== 200 || counts?.put !== operations.length) {
        throw new Error(`a call of ${operations.length} puts was answered ${statusCode} ${text.slice(0, 300)}`);
      }
      done += operations.length;
      onProgress?.(done);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  await pool.close();
}
