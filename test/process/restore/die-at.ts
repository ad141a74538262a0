// Preloaded into a real process by `node --import die-at.ts?orders=PATH`: it kills itself with SIGKILL at a stage of a
// restore, where a file of its name in that folder says so, or reads no block for as long as it says that. Files and folders are what tells how far a restore is, so that nothing of the program
// has to know of this.
import { existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { held, type Stage } from './stages.ts';

const argv = process.argv.slice(2);
/** A node's name, or the command. */
const who = argv.includes('--name') ? argv[argv.indexOf('--name') + 1]! : argv[0]!;
const orderPath = join(new URL(import.meta.url).searchParams.get('orders')!, who);
/** Bytes of the log after the state is in place: it has much more. */
const replayedBytes = 400_000;

let blocksRead = 0;
let manifestsLinked = 0;
let inPlace = false;
let bytesSince = 0;

function reached(stage: Stage): void {
  if (!existsSync(orderPath) || readFileSync(orderPath, 'utf8') !== stage) return;
  // The next run is to live.
  unlinkSync(orderPath);
  process.kill(process.pid, 'SIGKILL');
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Says that it is held, and waits until it is not any more. */
async function heldUp(): Promise<void> {
  while (existsSync(orderPath) && readFileSync(orderPath, 'utf8') === held) {
    writeFileSync(`${orderPath}.held`, '');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const { readFile, rename, link } = promises;

promises.readFile = (async (path: string, ...rest: unknown[]) => {
  // The first one is there, so that something is stored already.
  const isBlock = /\/blocks\//.test(path);
  if (isBlock) await heldUp();
  if (isBlock && ++blocksRead === 2) reached('downloading');
  return (readFile as (...all: unknown[]) => Promise<unknown>)(path, ...rest);
}) as typeof readFile;

promises.rename = async (from, to) => {
  const [source, target] = [String(from), String(to)];
  // The second environment is the one that was filled.
  const isRestored = target.endsWith('/building/lmdb/current') && existsSync(join(dirname(target), 'env-2'));
  if (isRestored) reached('after the last put');
  if (target.endsWith('/building/complete.json')) reached('before it is complete');
  const isDescribed = target.endsWith('/statestore.json') && existsSync(join(dirname(target), 'restoring'));
  if (isDescribed) reached('before it is described');
  await rename(from, to);
  if (isDescribed) reached('described');
  if (source.endsWith('/restoring/partitions')) reached('half in place');
  if (target.endsWith('/building/complete.json')) reached('complete');
  if (/\/aside-\d+$/.test(target)) reached('old data moved aside');
  if (!source.endsWith('/building')) return;
  reached('in place');
  inPlace = true;
};

promises.link = async (from, to) => {
  const isPart = String(to).includes('.partitions/');
  const isManifest = !isPart && /\/checkpoints\//.test(String(to).slice(String(to).lastIndexOf('repository')));
  if (isPart && ++manifestsLinked === 2) reached('between partitions');
  await link(from, to);
  if (isManifest) reached('after the manifest');
};

syncBuiltinESMExports();

/* oxlint-disable-next-line unbound-method -- called on the socket that it was called on */
const { push } = Socket.prototype;
Socket.prototype.push = function pushed(chunk: unknown, encoding?: BufferEncoding): boolean {
  if (inPlace && chunk instanceof Uint8Array && (bytesSince += chunk.length) > replayedBytes) reached('replaying');
  return push.call(this, chunk, encoding);
};

// What the coordinator says to NATS, by the subjects: logs are made one by one, the topology last.
/* oxlint-disable-next-line unbound-method -- as above */
const { write } = Socket.prototype;
Socket.prototype.write = function written(this: Socket, ...all: Parameters<typeof write>): boolean {
  const [chunk] = all;
  const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('latin1');
  const isTopology = /^H?PUB \$KV\.\S*topology/m.test(text);
  if (isTopology) reached('before the topology');
  const result = write.apply(this, all);
  if (/STREAM\.CREATE\.\S*_log_/.test(text)) reached('logs asked for');
  if (isTopology) reached('topology sent');
  return result;
} as typeof write;
