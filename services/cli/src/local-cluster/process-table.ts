// The processes of a local cluster as text in columns.
import { relative } from 'node:path';
import type { ManagedProcess } from './types.ts';

export function processTable(processes: readonly ManagedProcess[]): string {
  const rows = processes.map(({ name, url, pid, paused, exits, logPath }) => [
    name,
    pid === undefined ? 'down' : paused ? 'paused' : 'up',
    url,
    pid === undefined ? '' : `pid ${pid}`,
    exits === 0 ? '' : `ended ${exits} times`,
    shortPath(logPath),
  ]);
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** From the working folder, where it lies below that. */
export function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere || '.';
}
