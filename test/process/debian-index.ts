// Debian's package index, the real data that StateStore is shown on: one entry a package, its stanza as
// the value. Taken apart here by other means than the load tool's, so that one can be held to the other.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const indexBytesMax = 512 * 1024 * 1024;

/**
 * The first `count` packages, by name, as bytes; a machine that has not fetched its index yet does so. Throws
 * where there is none to be had: a test must not pass without.
 */
export async function debianIndex(count: number): Promise<Map<string, Buffer>> {
  const present = await readIndex(count);
  if (present.size === count) return present;
  await promisify(execFile)('apt-get', ['update'], { maxBuffer: indexBytesMax });
  const fetched = await readIndex(count);
  if (fetched.size === count) return fetched;
  throw new Error(
    `apt-cache dumpavail lists ${fetched.size} packages after apt-get update; this test needs ${count}, as Debian's main archive has`,
  );
}

async function readIndex(count: number): Promise<Map<string, Buffer>> {
  const options = { encoding: 'buffer', maxBuffer: indexBytesMax } as const;
  const { stdout } = await promisify(execFile)('apt-cache', ['dumpavail'], options);
  const packages = new Map<string, Buffer>();
  // One character a byte, so that nothing is lost whatever the encoding.
  for (const stanza of stdout.toString('latin1').split('\n\n')) {
    const name = /^Package: (.+)$/m.exec(stanza)?.[1];
    if (name !== undefined) packages.set(name, Buffer.from(stanza.replace(/\n$/, ''), 'latin1'));
    if (packages.size === count) break;
  }
  return packages;
}
