// What the formats make of an input: entries to load, or complaints. A complaint does not stop the
// load; it is counted, the first few are named, and the exit code tells.

/** One entry of the input. `value` is the input's own bytes, unchanged. */
export interface LoadRecord {
  readonly key: string;
  readonly value: Uint8Array;
  /** Line where it begins, from 1. */
  readonly line: number;
}

export type Parsed =
  | { readonly kind: 'record'; readonly record: LoadRecord }
  | { readonly kind: 'bad'; readonly line: number; readonly reason: string };

export function record(key: string, value: Uint8Array, line: number): Parsed {
  if (key === '') return bad(line, 'the key is empty');
  return { kind: 'record', record: { key, value, line } };
}

export function bad(line: number, reason: string): Parsed {
  return { kind: 'bad', line, reason };
}
