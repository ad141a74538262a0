// Images for an engine that has no registry, made of what this machine has: bases in the place of node:24 and
// distroless/cc, and NATS. What is tried is our own Dockerfile and compose file; these only stand under them.
import { cpSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { tool } from '../../scripts/tools.mjs';
import type { Engine } from './engine.ts';
import { run } from './engine.ts';

export interface StandIns {
  readonly node: string;
  readonly base: string;
  readonly nats: string;
}

const busybox = '/bin/busybox';
const certificates = '/etc/ssl/certs/ca-certificates.crt';
const tools = ['sh', 'env', 'find', 'mkdir', 'rm', 'wget', 'ls', 'cat'];

export async function makeStandIns(engine: Engine): Promise<StandIns> {
  const folder = await mkdtemp(join(tmpdir(), 'statestore-images-'));
  const standIns = { node: 'stand-in/node:24', base: 'stand-in/cc', nats: 'stand-in/nats' };
  try {
    const base = join(folder, 'base');
    await makeBase(base);
    await importImage(engine, base, standIns.base, []);
    const node = join(folder, 'node');
    cpSync(base, node, { recursive: true, verbatimSymlinks: true });
    await addNode(node);
    await importImage(engine, node, standIns.node, [`ENV NODE_EXTRA_CA_CERTS=${certificates}`]);
    const nats = join(folder, 'nats');
    addBusybox(nats);
    cpSync(tool('nats-server'), join(nats, 'bin', 'nats-server'));
    await importImage(engine, nats, standIns.nats, ['ENTRYPOINT ["/bin/nats-server"]']);
    return standIns;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function importImage(engine: Engine, root: string, name: string, changes: readonly string[]): Promise<void> {
  const archive = `${root}.tar`;
  await run('tar', ['-C', root, '--owner=0', '--group=0', '--numeric-owner', '-cf', archive, '.']);
  const path = 'ENV PATH=/usr/local/bin:/usr/bin:/bin';
  await engine.docker(['import', ...[path, ...changes].flatMap((change) => ['--change', change]), archive, name]);
}

/** The libraries that Node needs, and who is who. */
async function makeBase(root: string): Promise<void> {
  mkdirSync(join(root, 'etc'), { recursive: true });
  mkdirSync(join(root, 'tmp'), { recursive: true, mode: 0o1777 });
  writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0::/root:/none\nnonroot:x:65532:65532::/:/none\n');
  writeFileSync(join(root, 'etc', 'group'), 'root:x:0:\nnonroot:x:65532:\n');
  if (existsSync(certificates)) copy(certificates, root);
  // Those of lmdb's addon are among them.
  const listed = await run('ldd', [process.execPath]);
  for (const [, library] of listed.matchAll(/(\/\S+) \(0x/g)) if (library !== undefined) copy(library, root);
}

function copy(path: string, root: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  cpSync(realpathSync(path), join(root, path));
}

function addBusybox(root: string): void {
  mkdirSync(join(root, 'bin'), { recursive: true });
  cpSync(busybox, join(root, 'bin', 'busybox'));
  for (const name of tools) symlinkSync('busybox', join(root, 'bin', name));
}

/** Node, npm, and what a RUN line needs. */
async function addNode(root: string): Promise<void> {
  addBusybox(root);
  const bin = join(root, 'usr', 'local', 'bin');
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(root, 'usr', 'bin'), { recursive: true });
  symlinkSync('/bin/busybox', join(root, 'usr', 'bin', 'env'));
  cpSync(process.execPath, join(bin, 'node'));
  const npm = await npmFolder();
  const modules = join(root, 'usr', 'local', 'lib', 'node_modules');
  cpSync(npm, join(modules, basename(npm)), { recursive: true });
  symlinkSync(`../lib/node_modules/${basename(npm)}/bin/npm-cli.js`, join(bin, 'npm'));
}

async function npmFolder(): Promise<string> {
  const named = process.env['npm_execpath'];
  const script = named?.endsWith('npm-cli.js') === true ? named : (await run('sh', ['-c', 'command -v npm'])).trim();
  return resolve(dirname(realpathSync(script)), '..');
}
