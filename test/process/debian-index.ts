// Debian's package index, the real data that StateStore is shown on: one entry a package, its stanza as
// the value. Taken apart here by other means than the load tool's, so that one can be held to the other.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const indexBytesMax = 512 * 1024 * 1024;

/** The first `count` packages, by name, as bytes. Throws where the machine has no index: a test must not pass without. */
export async function debianIndex(count: number): Promise<Map<string, Buffer>> {
  const options = { encoding: 'buffer', maxBuffer: indexBytesMax } as const;
  const { stdout } = await promisify(execFile)('apt-cache', ['dumpavail'], options);
  const packages = new Map<string, Buffer>();
  // One character a byte, so that nothing is lost whatever the encoding.
  for (const stanza of stdout.toString('latin1').split('\n\n')) {
    const name = /^Package: (.+)$/m.exec(stanza)?.[1];
    if (name !== undefined) packages.set(name, Buffer.from(stanza.replace(/\n$/, ''), 'latin1'));
    if (packages.size === count) return packages;
  }
  throw new Error(
    `apt-cache dumpavail lists ${packages.size} packages; this test needs ${count}. Run apt-get update, on a Debian with its main archive.`,
  );
}
