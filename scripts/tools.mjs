// Builds the real servers that tests, benchmarks and `npm run cluster` talk to, once, from their Go
// modules, at the versions in tools.json, into a cache outside the checkout. A binary named by the
// tool's variable, or a new enough one on PATH, is used as it is.
// Use: `node scripts/tools.mjs nats-server etcd` prints a path a line.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const pinned = JSON.parse(readFileSync(join(dirname(fileURLToPath(import.meta.url)), 'tools.json'), 'utf8'));
const buildLimitMs = 30 * 60 * 1000;
/** Another process that builds the same tool is waited for this long. */
const lockLimitMs = buildLimitMs;

const cacheHome = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');

/** The path of a tool's binary; built where there is none. Throws an Error that says what is missing. */
export function tool(name) {
  const wanted = pinned[name];
  if (wanted === undefined) throw new Error(`no tool ${name}; there are ${Object.keys(pinned).join(', ')}`);
  const named = process.env[wanted.variable];
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`${wanted.variable} is ${named}, but there is no such file`);
    return named;
  }
  return onPath(name, wanted) ?? built(name, wanted);
}

function onPath(name, { atLeast, versionArguments }) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (folder === '' || !existsSync(path)) continue;
    const said = spawnSync(path, versionArguments, { encoding: 'utf8', timeout: 10_000 });
    const found = /\d+\.\d+\.\d+/.exec(`${said.stdout ?? ''}${said.stderr ?? ''}`)?.[0];
    if (said.status === 0 && found !== undefined && isAtLeast(found, atLeast)) return path;
  }
  return undefined;
}

function isAtLeast(version, least) {
  const [a, b] = [version, least].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] > b[i];
  return true;
}

function built(name, { version, module, package: path, program, clockShift }) {
  const folder = join(cacheHome, 'statestore-tools', `${name}-${version}`);
  const binary = join(folder, name);
  if (existsSync(binary)) return binary;
  const lock = `${folder}.lock`;
  mkdirSync(dirname(folder), { recursive: true });
  if (!takeLock(lock, binary)) return binary;
  const work = `${folder}.build-${process.pid}`;
  try {
    if (existsSync(binary)) return binary;
    console.error(`Building ${name} ${version} (once) …`);
    mkdirSync(work, { recursive: true });
    // A module of its own: `go install module@version` refuses modules with replace directives.
    writeFileSync(join(work, 'go.mod'), `module statestore.local/tools/${name}\n\ngo 1.25\n`);
    if (program !== undefined) writeFileSync(join(work, 'main.go'), programOf(program));
    const overlay = clockShift === undefined ? [] : ['-overlay', shiftedClock(work, clockShift)];
    const steps = [
      ['get', `${module}@${version}`],
      ['build', '-mod=mod', '-trimpath', '-ldflags=-s -w', ...overlay, '-o', join(work, name), path ?? '.'],
    ];
    for (const step of steps) {
      const done = spawnSync('go', step, {
        cwd: work,
        stdio: ['ignore', 'pipe', 'pipe'],
        encoding: 'utf8',
        timeout: buildLimitMs,
        env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
      });
      if (done.error?.code === 'ENOENT') {
        throw new Error(
          `${name} is not on PATH and cannot be built: there is no Go toolchain. Install Go 1.25 or newer (https://go.dev/dl), or a ${name} ${version} and put it on PATH.`,
        );
      }
      if (done.status !== 0) {
        throw new Error(`go ${step.join(' ')} failed (${done.status ?? done.signal}):\n${done.stderr}`);
      }
    }
    mkdirSync(folder, { recursive: true });
    renameSync(join(work, name), binary);
    return binary;
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(lock, { recursive: true, force: true });
  }
}

/** A main package of a few parts of a large module: the rest would bring hundreds of packages that nothing here uses. */
function programOf({ imports, main }) {
  const lines = imports.map((path) => (main.startsWith(`${path.split('/').at(-1)}.`) ? `"${path}"` : `_ "${path}"`));
  return `package main\n\nimport (\n\t${lines.join('\n\t')}\n)\n\nfunc main() { ${main} }\n`;
}

/**
 * Go's own `time` with a wall clock that is off by as many seconds as the variable says; the monotonic clock
 * and timers stay right. A Go program takes its time from no library that could be replaced when it runs.
 */
function shiftedClock(work, variable) {
  const { GOROOT } = JSON.parse(spawnSync('go', ['env', '-json', 'GOROOT'], { encoding: 'utf8' }).stdout || '{}');
  if (GOROOT === undefined) throw new Error('there is no Go toolchain. Install Go 1.25 or newer (https://go.dev/dl)');
  const source = join(GOROOT, 'src', 'time', 'time.go');
  const before = readFileSync(source, 'utf8');
  const after = before.replace('sec, nsec, mono := runtimeNow()', '$&\n\tsec += clockShiftSeconds');
  if (after === before) throw new Error(`${source} is not as expected: its clock cannot be shifted`);
  writeFileSync(join(work, 'time.go'), after);
  writeFileSync(
    join(work, 'clock_shift.go'),
    [
      'package time',
      'import "syscall"',
      'var clockShiftSeconds = func() int64 {',
      `  text, _ := syscall.Getenv("${variable}")`,
      '  seconds, _ := atoi(text)',
      '  return int64(seconds)',
      '}()',
      '',
    ].join('\n'),
  );
  const overlay = join(work, 'overlay.json');
  const added = join(GOROOT, 'src', 'time', 'clock_shift.go');
  const Replace = { [source]: join(work, 'time.go'), [added]: join(work, 'clock_shift.go') };
  writeFileSync(overlay, JSON.stringify({ Replace }));
  return overlay;
}

/** False where somebody else has built it meanwhile. */
function takeLock(lock, binary) {
  const until = Date.now() + lockLimitMs;
  for (;;) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, 'pid'), String(process.pid));
      return true;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (existsSync(binary)) return false;
    if (!holderLives(lock)) {
      rmSync(lock, { recursive: true, force: true });
      continue;
    }
    if (Date.now() > until) throw new Error(`${lock} is held for too long; remove it where nothing builds`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  }
}

function holderLives(lock) {
  try {
    process.kill(Number(readFileSync(join(lock, 'pid'), 'utf8')), 0);
    return true;
  } catch (error) {
    // Made a moment ago, and its pid not written yet.
    return error.code === 'ENOENT' && existsSync(lock);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    for (const name of process.argv.slice(2)) console.log(tool(name));
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
