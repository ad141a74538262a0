// npm run sim -- --seeds N [--first S] [--bug NAME], or --seed S: any number of simulated worlds; with --failover
// those of failover.ts, with --reshape those of splits and merges (reshape/). A failure prints its seed, what was wrong, the last that happened, and the command that shows it again.
import { parseArgs } from 'node:util';
import type { Bug } from './profile.ts';
import { bugs } from './profile.ts';
import { failoverCommand, type FailoverOutcome, simulateFailover } from './failover.ts';
import { reshapeBugs } from './reshape/reshape-bugs.ts';
import type { ReshapeBug } from './reshape/reshape-bugs.ts';
import { reshapeCommand, type ReshapeOutcome, simulateReshapes } from './reshape/reshape-simulation.ts';
import type { Outcome } from './simulation.ts';
import { replayCommand, simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '500' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    bug: { type: 'string' },
    failover: { type: 'boolean', default: false },
    reshape: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 0xffff_ffff) return number;
  console.error(`--${name} is ${text}; it may be a whole number, 0 to 4294967295`);
  return process.exit(2);
}

function againCommand(seed: number): string {
  if (values.reshape) return reshapeCommand(seed, reshapeBug);
  return values.failover ? failoverCommand(seed) : replayCommand(seed, bug);
}

function report({ seed, violations, lines }: Outcome | FailoverOutcome | ReshapeOutcome): void {
  console.error(`\nseed ${seed} fails:`);
  for (const violation of violations.slice(0, 10)) console.error(`  ${violation}`);
  console.error('the last that happened:');
  for (const line of lines) console.error(`  ${line}`);
  console.error(`again: ${againCommand(seed)}`);
}

/** The exit code. */
async function failovers(): Promise<number> {
  let failed = 0;
  const slowest = { write: 0, read: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const outcome = await simulateFailover(seed);
    if (outcome.violations.length > 0) {
      failed++;
      report(outcome);
    }
    slowest.write = Math.max(slowest.write, outcome.slowestWriteMs);
    slowest.read = Math.max(slowest.read, outcome.slowestReadMs);
    const { history, counts, hedges } = outcome;
    if (values.verbose || values.seed !== undefined) {
      console.log(`seed ${seed}: history ${history}, ${JSON.stringify({ ...counts, hedges })}`);
    }
  }
  console.log(
    `${count} seeds of failover, ${failed} failed; slowest write ${slowest.write} ms, read ${slowest.read} ms`,
  );
  return failed === 0 ? 0 : 1;
}

/** The exit code. */
function reshapes(): number {
  let failed = 0;
  const total: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed++) {
    const outcome = simulateReshapes(seed, reshapeBug);
    if (outcome.violations.length > 0) {
      failed++;
      report(outcome);
    }
    for (const [name, number] of Object.entries(outcome.counts)) total[name] = (total[name] ?? 0) + number;
    if (values.verbose || values.seed !== undefined) console.log(`seed ${seed}: ${JSON.stringify(outcome.counts)}`);
  }
  console.log(`${count} seeds of splits and merges, ${failed} failed, ${seconds()} s: ${JSON.stringify(total)}`);
  return failed === 0 ? 0 : 1;
}

function known<Name extends string>(name: string | undefined, all: Readonly<Record<Name, string>>): Name | undefined {
  if (name === undefined || Object.hasOwn(all, name)) return name as Name | undefined;
  console.error(`--bug is ${name}; it may be ${Object.keys(all).join(', ')}`);
  return process.exit(2);
}

function seconds(): string {
  return ((performance.now() - startedMs) / 1000).toFixed(1);
}

const bug = values.reshape ? undefined : known<Bug>(values.bug, bugs);
const reshapeBug = values.reshape ? known<ReshapeBug>(values.bug, reshapeBugs) : undefined;
const first = wholeNumber('first', values.seed ?? values.first);
const count = values.seed === undefined ? wholeNumber('seeds', values.seeds) : 1;
const startedMs = performance.now();
if (values.reshape) {
  process.exitCode = reshapes();
  process.exit();
}
if (values.failover) {
  process.exitCode = await failovers();
  process.exit();
}
const total = { steps: 0, batches: 0, crashes: 0, operations: 0, answered: 0 };
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const outcome = await simulate(seed, bug);
  for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome.counts[name];
  if (outcome.violations.length > 0) {
    failed++;
    report(outcome);
  } else if (values.verbose || values.seed !== undefined) {
    console.log(`seed ${seed}: history ${outcome.history}, ${JSON.stringify(outcome.counts)}`);
  }
}
console.log(`${count} seeds, ${failed} failed, ${seconds()} s: ${JSON.stringify(total)}`);
process.exitCode = failed === 0 ? 0 : 1;
