// `npm run kill -- --kills N --seed S`: the kill test for as long as one likes. Keeps the folder with data and
// history where something is wrong.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeViolations } from '../history/history-checker.ts';
import { runKills } from './kill/run.ts';

function whole(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new TypeError(`--${option} is ${text}; it may be a whole number from 1`);
}

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String((Date.now() % 1e6) | 1) },
  },
});
const kills = whole('kills', values.kills);
const seed = whole('seed', values.seed);
const folder = await mkdtemp(join(tmpdir(), 'statestore-kill-'));
const print = (text: string): void => void process.stdout.write(`${text}\n`);
print(`seed ${seed}`);
const { violations, events, counts } = await runKills({ kills, seed, folder, print }).catch((cause: unknown) => {
  print(`the data is kept in ${folder}`);
  throw cause;
});
print(
  `${events.length} operations, ${counts.unknownAttempts} attempts of unknown outcome, ${violations.length} violations`,
);
if (violations.length === 0) await rm(folder, { recursive: true });
else {
  print(
    `${describeViolations(violations)}\nreplay: npm run kill -- --kills ${kills} --seed ${seed}; history in ${folder}`,
  );
  process.exitCode = 1;
}
