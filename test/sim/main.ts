// npm run sim -- --seeds N [--first S] [--bug NAME], or --seed S: any number of simulated worlds. A failure
// prints its seed, what was wrong, the last that happened, and the command that shows it again.
import { parseArgs } from 'node:util';
import type { Bug } from './profile.ts';
import { bugs } from './profile.ts';
import type { Outcome } from './simulation.ts';
import { replayCommand, simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '500' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    bug: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 0xffff_ffff) return number;
  console.error(`--${name} is ${text}; it may be a whole number, 0 to 4294967295`);
  return process.exit(2);
}

function report({ seed, violations, lines }: Outcome): void {
  console.error(`\nseed ${seed} fails:`);
  for (const violation of violations.slice(0, 10)) console.error(`  ${violation}`);
  console.error('the last that happened:');
  for (const line of lines) console.error(`  ${line}`);
  console.error(`again: ${replayCommand(seed, bug)}`);
}

function knownBug(name: string | undefined): Bug | undefined {
  if (name === undefined || Object.hasOwn(bugs, name)) return name as Bug | undefined;
  console.error(`--bug is ${name}; it may be ${Object.keys(bugs).join(', ')}`);
  return process.exit(2);
}

const bug = knownBug(values.bug);
const first = wholeNumber('first', values.seed ?? values.first);
const count = values.seed === undefined ? wholeNumber('seeds', values.seeds) : 1;
const startedMs = performance.now();
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
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
console.log(`${count} seeds, ${failed} failed, ${seconds} s: ${JSON.stringify(total)}`);
process.exitCode = failed === 0 ? 0 : 1;
