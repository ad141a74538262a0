// Makes a fresh checkout ready: installs the packages of package-lock.json, which bring Node 24 itself.
// Runs before `npm start` and `npm test` under whatever Node the machine has (20 or newer).
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'node_modules', '.statestore-setup');
const node = join(root, 'node_modules', '.bin', 'node');

const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
const present = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';

if (present !== wanted || !existsSync(node)) {
  console.log('Installing packages (once) …');
  const npm = process.env.npm_execpath;
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const installed = spawnSync(command, [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (installed.status !== 0) {
    console.error('npm ci failed; the lines above say why. StateStore needs the npm registry once.');
    process.exit(installed.status ?? 1);
  }
  writeFileSync(stamp, wanted);
}

const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? 'none';
if (!/^v(2[4-9]|[3-9]\d)\./.test(version)) {
  console.error(
    `StateStore needs Node 24; node_modules/.bin/node is ${version || 'not runnable'}. Remove node_modules and try again.`,
  );
  process.exit(1);
}
