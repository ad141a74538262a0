// `npm run torture -- --seconds 60 --seed 1 --faults all --history FILE`: a cluster under load and faults, and the
// verdict. `--check FILE` judges a history that is there already; `--porcupine` asks an independent judge too.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeViolations } from '../history/history-checker.ts';
import { readHistory } from '../history/history.ts';
import { porcupine } from '../history/porcupine/porcupine.ts';
import type { FaultGroup } from './faults.ts';
import { faultGroups, parseFaults } from './faults.ts';
import { impossible, torture } from './torture.ts';
import { describe, judge } from './under-load.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String((Date.now() % 1e6) | 1) },
    faults: { type: 'string', default: 'all' },
    history: { type: 'string' },
    engine: { type: 'string', default: 'lmdb' },
    check: { type: 'string' },
    porcupine: { type: 'boolean', default: false },
  },
});

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function whole(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new TypeError(`--${option} is ${text}; it may be a whole number from 1`);
}

function engineFrom(text: string): 'lmdb' | 'memory' {
  if (text === 'lmdb' || text === 'memory') return text;
  throw new TypeError(`--engine is ${text}; it may be lmdb or memory`);
}

function possible(wanted: ReadonlySet<FaultGroup>): ReadonlySet<FaultGroup> {
  const lacking = impossible(wanted);
  for (const [group, why] of lacking) print(`left out: faults of ${group}: ${why}`);
  return new Set([...wanted].filter((group) => !lacking.has(group)));
}

function namesOf(faults: ReadonlySet<FaultGroup>): string {
  if (faults.size === 0) return 'none';
  return faults.size === faultGroups.length ? 'all' : [...faults].join(',');
}

async function checkFile(path: string): Promise<void> {
  const violations = judge(readHistory(path));
  print(violations.length === 0 ? 'no violations' : describeViolations(violations));
  process.exitCode = violations.length === 0 && (await agrees(path)) ? 0 : 1;
}

/** Whether the independent judge, where it is asked, finds nothing either. */
async function agrees(path: string): Promise<boolean> {
  if (!values.porcupine) return true;
  const { objects, illegal, undecided } = await porcupine(path);
  print(`Porcupine: ${objects} objects, ${illegal.length} not linearizable, ${undecided.length} undecided`);
  for (const object of illegal) print(`  not linearizable: ${object}`);
  return illegal.length === 0;
}

async function run(): Promise<void> {
  const seconds = whole('seconds', values.seconds);
  const seed = whole('seed', values.seed);
  const engine = engineFrom(values.engine);
  const faults = possible(parseFaults(values.faults));
  const historyPath = values.history ?? join(tmpdir(), `statestore-torture-${seed}-${process.pid}.ndjson`);
  const again = `npm run torture -- --seconds ${seconds} --seed ${seed} --faults ${namesOf(faults)} --engine ${engine}`;
  print(`seed ${seed}, ${seconds} s, faults: ${namesOf(faults)}`);
  try {
    const report = await torture({ seconds, seed, faults, historyPath, engine, print });
    print(`${report.faults.length} faults; processes ended on their own ${report.exits} times`);
    print(describe(report));
    print(`history: ${historyPath}`);
    if (report.violations.length === 0 && (await agrees(historyPath))) return;
  } catch (error) {
    print(`the run failed: ${(error as Error).stack ?? String(error)}`);
    print(`history as far as it got: ${historyPath}`);
  }
  print(`again: ${again}`);
  process.exitCode = 1;
}

try {
  if (values.check === undefined) await run();
  else await checkFile(values.check);
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  print(error.message);
  process.exitCode = 2;
}
