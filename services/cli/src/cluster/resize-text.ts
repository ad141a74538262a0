// A change of the number of partitions as lines of text: a bar, what is under way, and what it waits for.
import { durationOf, sizeOf } from '../checkpoint/columns.ts';
import type { ReshapeNodeView, ReshapeView, ResizeView } from '@statestore/cluster';

const barWidth = 32;
/** Of each list; what is left out is counted. */
const linesMax = 8;

export interface Expected {
  /** Undefined: not known. */
  readonly remainingMs: number | undefined;
}

/** `expected` undefined: of one look, which shows no speed. */
export function resizeLines(view: ResizeView, expected?: Expected): string[] {
  const { reshapes, waits } = view;
  return [
    headline(view),
    `${bar(view.part)} ${progressText(view)}${endText(view, expected)}`,
    ...few(
      reshapes.map((reshape) => [reshapeText(reshape), ...noteLines(reshape)].join('\n')),
      'splits and merges',
    ).flatMap((text) => text.split('\n')),
    ...few(
      waits.map((why) => `waits: ${why}`),
      'reasons',
    ).map((line) => `  ${line.trimStart()}`),
  ];
}

function headline({ partitions, wanted, paused }: ResizeView): string {
  const state = paused ? ' (paused)' : '';
  return wanted === undefined
    ? `Resize: given up; ${partitions} partitions stay, and what is under way is taken back or brought to its end${state}`
    : `Resize: ${partitions} partitions, to be ${wanted}${state}`;
}

function progressText({ part, done, all }: ResizeView): string {
  return `${Math.floor(part * 100)} %, ${done} of ${all} splits and merges done`;
}

function endText({ paused, reshapes }: ResizeView, expected: Expected | undefined): string {
  if (expected === undefined || (paused && reshapes.length === 0)) return '';
  const { remainingMs } = expected;
  return remainingMs === undefined ? ', end not known yet' : `, about ${durationOf(remainingMs)} to go`;
}

export function bar(part: number, width = barWidth): string {
  const full = Math.floor(Math.min(1, Math.max(0, part)) * width);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}

/** One line, for a place that has no more. */
export function resizeSummary(view: ResizeView): string {
  return `${headline(view)}: ${progressText(view)}`;
}

const stateTexts: Readonly<Record<ReshapeView['state'], string>> = {
  none: 'not begun by its nodes yet',
  building: 'built',
  near: 'near, to be handed over',
  built: 'complete, handed over now',
  failed: 'failed',
};

export function reshapeText({ kind, source, target, slots, cancelled, state, ...rest }: ReshapeView): string {
  const { part, entries, bytes, nodes } = rest;
  const what = `  ${kind} ${source} → ${target}${cancelled ? ' (being cancelled)' : ''}: ${slots} slots`;
  const far = state === 'building' ? `${Math.floor(part * 100)} % ${stateTexts.building}` : stateTexts[state];
  const moved = entries === 0 ? '' : `, ${entries} entries, ${sizeOf(bytes)}`;
  const differ = new Set(nodes.map((node) => node.state)).size > 1 || state === 'building';
  return `${what}, ${far}${moved}${differ ? ` (${nodes.map(nodeText).join(', ')})` : ''}`;
}

/** What its nodes say of it; the same of several only once. */
function noteLines({ nodes }: ReshapeView): string[] {
  const notes = Map.groupBy(
    nodes.filter(({ why }) => why !== ''),
    ({ why }) => why,
  );
  return [...notes].map(([why, of]) => `    ${of.map(({ node }) => node).join(', ')}: ${why}`);
}

function nodeText({ node, state, part }: ReshapeNodeView): string {
  if (state === 'building') return `${node} ${Math.floor(part * 100)} %`;
  return `${node} ${state === 'none' ? 'not begun' : state}`;
}

function few(lines: readonly string[], what: string): readonly string[] {
  if (lines.length <= linesMax) return lines;
  return [...lines.slice(0, linesMax - 1), `  … and ${lines.length - linesMax + 1} more ${what}`];
}
