// What a person is told of a resize as it goes on: what began and ended, each reason to wait once, a line now and then.
import { durationOf } from '../checkpoint/columns.ts';
import { bar, reshapeText, resizeLines } from '../cluster/resize-text.ts';
import type { ReshapeView, ResizeView } from '@statestore/cluster';
import type { ResizeLook } from './resize-watch.ts';

/** Where no line stands on a screen. */
const tellEveryMs = 10_000;

export class ResizeStory {
  readonly #tell: (line: string) => void;
  readonly #beganMs = performance.now();
  #known = new Map<string, ReshapeView>();
  #waits: readonly string[] = [];
  #last = '';
  #changedMs = performance.now();
  #toldMs = performance.now();

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  tell(text: string): void {
    this.#changedMs = performance.now();
    this.#tell(text);
  }

  saw(look: ResizeLook, nowMs: number): void {
    const { resize } = look.view;
    const state = stateOf(resize);
    if (state !== this.#last) this.#changedMs = nowMs;
    this.#last = state;
    this.#reshapes(resize?.reshapes ?? []);
    const waits = resize?.waits ?? [];
    for (const why of waits) if (!this.#waits.includes(why)) this.#tell(`waits: ${why}`);
    this.#waits = waits;
    if (resize === undefined || nowMs - this.#toldMs < tellEveryMs || process.stderr.isTTY) return;
    this.#toldMs = nowMs;
    this.#tell(this.line(look));
  }

  #reshapes(reshapes: readonly ReshapeView[]): void {
    const now = new Map(reshapes.map((reshape) => [reshape.id, reshape]));
    for (const [id, { kind, source, target, slots }] of now)
      if (!this.#known.has(id)) this.#tell(`${kind} ${source} → ${target} begins: ${slots} slots`);
    for (const [id, { kind, source, target, cancelled }] of this.#known)
      if (!now.has(id)) this.#tell(`${kind} ${source} → ${target} ${cancelled ? 'is over' : 'is done'}`);
    this.#known = now;
  }

  /** How far it is, in a line. */
  line({ view: { resize }, remainingMs }: ResizeLook): string {
    if (resize === undefined) return `${bar(1)} 100 %`;
    const [, progress = ''] = resizeLines(resize, { remainingMs });
    const [first] = resize.reshapes;
    return first === undefined ? progress : `${progress};${reshapeText(first).replace(/^ /, '')}`;
  }

  silentMs(nowMs: number): number {
    return nowMs - this.#changedMs;
  }

  why(): string {
    return this.#waits.length === 0 ? '' : `; it waits: ${this.#waits.join('; ')}`;
  }

  /** Somebody may have wished otherwise meanwhile. */
  end(partitions: number, wanted: number): void {
    const other = partitions === wanted ? '' : `, not the ${wanted} that this command asked for: that was given up`;
    this.#tell(`There are ${partitions} partitions after ${durationOf(performance.now() - this.#beganMs)}${other}.`);
  }
}

/** Whatever moves when something gets done. */
function stateOf(resize: ResizeView | undefined): string {
  if (resize === undefined) return '';
  const { partitions, done, slotsLeft, reshapes } = resize;
  return JSON.stringify([partitions, done, slotsLeft, reshapes.map(({ id, state, entries }) => [id, state, entries])]);
}
