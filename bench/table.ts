// Prints results as aligned columns: text to the left, numbers to the right.

export type Cell = string | number | undefined;

export interface Column {
  readonly title: string;
  /** Digits after the point of numbers. */
  readonly digits?: number;
}

export function formatTable(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const shown = rows.map((row) => columns.map((column, at) => formatCell(row[at], column.digits ?? 0)));
  const widths = columns.map(({ title }, at) => Math.max(title.length, ...shown.map((row) => row[at]!.length)));
  const isNumeric = columns.map((_, at) => rows.some((row) => typeof row[at] === 'number'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (isNumeric[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [line(columns.map(({ title }) => title)), rule, ...shown.map(line)].join('\n');
}

function formatCell(cell: Cell, digits: number): string {
  if (cell === undefined) return '';
  if (typeof cell === 'string') return cell;
  return cell.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
