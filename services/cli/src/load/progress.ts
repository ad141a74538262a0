// Progress on standard error: a bar on a terminal, a plain line now and then elsewhere (logs, pipes).
import { Presets, SingleBar } from 'cli-progress';
import type { Input } from './input.ts';
import type { Totals } from './totals.ts';

export interface Progress {
  stop(): void;
}

const barIntervalMs = 200;
const lineIntervalMs = 5000;

export function showProgress(title: string, input: Input, totals: Totals): Progress {
  return process.stderr.isTTY ? bar(title, input, totals) : lines(title, input, totals);
}

function bar(title: string, input: Input, totals: Totals): Progress {
  const known = input.sizeBytes;
  const format =
    known === undefined
      ? `${title} {entries} entries, {retries} retries, {duration_formatted}`
      : `${title} {bar} {percentage}% {entries} entries, {retries} retries, {eta_formatted} left`;
  const shown = new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic);
  shown.start(known ?? 0, 0, { entries: 0, retries: 0 });
  const update = (): void => {
    shown.update(known === undefined ? 0 : input.readBytes, { entries: totals.entries, retries: totals.retries });
  };
  const timer = setInterval(update, barIntervalMs);
  return {
    stop() {
      clearInterval(timer);
      update();
      shown.stop();
    },
  };
}

function lines(title: string, input: Input, totals: Totals): Progress {
  const timer = setInterval(() => {
    const share = input.sizeBytes ? ` (${((100 * input.readBytes) / input.sizeBytes).toFixed(0)}%)` : '';
    process.stderr.write(`${title} ${totals.entries} entries${share}, ${totals.retries} retries\n`);
  }, lineIntervalMs);
  return { stop: () => clearInterval(timer) };
}
