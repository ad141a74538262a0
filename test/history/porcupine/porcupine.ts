// Builds the independent judge (main.go beside this file) once for each version of it, into the cache where
// built tools lie, and runs it on a history. Needs Go.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface Judgement {
  /** Keys, and groups of accounts, that were looked at. */
  readonly objects: number;
  /** Not linearizable. `<use> <key>`, as in the history; accounts by group. */
  readonly illegal: readonly string[];
  /** It took too long. */
  readonly undecided: readonly string[];
}

const run = promisify(execFile);
const folder = fileURLToPath(new URL('.', import.meta.url));
const outputBytesMax = 64 * 1024 * 1024;

/** `secondsMax`: for each key. */
export async function porcupine(historyPath: string, secondsMax = 60): Promise<Judgement> {
  const { stdout } = await run(await binary(), [historyPath, String(secondsMax)], { maxBuffer: outputBytesMax });
  return JSON.parse(stdout) as Judgement;
}

async function binary(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(folder, name)));
  const cacheHome = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const cache = join(cacheHome, 'statestore-tools');
  const path = join(cache, `porcupine-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  // Under a name of its own until it is whole: two may build at once.
  const own = `${path}.${process.pid}`;
  await run('go', ['build', '-trimpath', '-o', own, '.'], { cwd: folder, env: { ...process.env, CGO_ENABLED: '0' } });
  renameSync(own, path);
  return path;
}
