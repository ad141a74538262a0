// Real input, end to end: Debian's package index goes in through `npm run load`, comes out byte for byte,
// and survives kill -9 in the middle of a load.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JournalLine } from '../../services/cli/src/load/journal.ts';
import { debianIndex } from './debian-index.ts';
import { DevServer } from './dev-server.ts';

const packageCount = 20_000;
const loader = fileURLToPath(new URL('../../services/cli/src/load/main.ts', import.meta.url));

let folder = '';
let file = '';
let index = new Map<string, Buffer>();
let server: DevServer;

beforeAll(async () => {
  index = await debianIndex(packageCount);
  folder = await mkdtemp(join(tmpdir(), 'statestore-debian-'));
  file = join(folder, 'index.deb822');
  await writeFile(
    file,
    Buffer.concat([...index.values()].map((stanza) => Buffer.concat([stanza, Buffer.from('\n\n')]))),
  );
  server = await DevServer.start({ folder: join(folder, 'data') });
});
afterAll(async () => {
  await server?.kill();
  if (folder !== '') await rm(folder, { recursive: true, force: true });
});

function startLoad(store: string, ...more: readonly string[]): ChildProcess {
  const argv = [loader, '--file', file, '--store', store, '--url', server.url, ...more];
  return spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Throws with what it printed where it fails. */
async function finished(load: ChildProcess): Promise<void> {
  let output = '';
  for (const stream of [load.stdout!, load.stderr!]) stream.on('data', (part) => (output += String(part)));
  const [code] = (await once(load, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the load ended with ${code}:\n${output}`);
}

/** Everything that a store holds, by the streamed listing. */
async function contentOf(store: string): Promise<Map<string, Buffer>> {
  const response = await fetch(`${server.url}/v1/stores/${store}/keys?values=true`, {
    headers: { accept: 'application/x-ndjson' },
  });
  expect(response.status).toBe(200);
  const content = new Map<string, Buffer>();
  for (const line of (await response.text()).split('\n').filter((text) => text !== '')) {
    const { key, value, encoding } = JSON.parse(line) as { key: string; value: string; encoding: 'utf8' | 'base64' };
    content.set(key, Buffer.from(value, encoding));
  }
  return content;
}

/** Names of what is missing or differs. */
function differences(expected: Iterable<[string, Buffer]>, content: ReadonlyMap<string, Buffer>): string[] {
  return [...expected].filter(([key, value]) => content.get(key)?.equals(value) !== true).map(([key]) => key);
}

test('every package is loaded and read back byte for byte', async () => {
  const summary = join(folder, 'summary.json');
  await finished(startLoad('debian', '--verify', '--json', summary));
  const { loaded, verified } = JSON.parse(await readFile(summary, 'utf8')) as Record<string, Record<string, unknown>>;
  expect(loaded).toMatchObject({ entries: packageCount, badRecords: 0, duplicates: 0, refused: {} });
  expect(verified).toMatchObject({ entries: packageCount, mismatches: 0, refused: {} });
  const content = await contentOf('debian');
  expect(content.size).toBe(packageCount);
  expect(differences(index, content)).toEqual([]);
  // Names as they are: dots and pluses in a path.
  for (const name of ['libstdc++6', '0ad', 'bash'].filter((one) => index.has(one))) {
    const response = await fetch(`${server.url}/v1/stores/debian/keys/${encodeURIComponent(name)}`);
    expect(Buffer.from(await response.arrayBuffer()).equals(index.get(name)!)).toBe(true);
  }
});

test('a listing by prefix is the expected set, in key order, over all pages', async () => {
  const prefix = 'lib';
  const names: string[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ prefix, limit: '700', ...(cursor !== null && { cursor }) });
    const response = await fetch(`${server.url}/v1/stores/debian/keys?${query.toString()}`);
    expect(response.status).toBe(200);
    const page = (await response.json()) as { entries: { key: string }[]; cursor: string | null };
    names.push(...page.entries.map(({ key }) => key));
    ({ cursor } = page);
  } while (cursor !== null);
  const expected = [...index.keys()]
    .filter((name) => name.startsWith(prefix))
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect(expected.length).toBeGreaterThan(1400);
  expect(names).toEqual(expected);
});

test('kill -9 in the middle of a load: every acknowledged entry is there, and the load carries on', async () => {
  const journal = join(folder, 'journal.ndjson');
  const load = startLoad('again', '--journal', journal, '--batch', '20', '--concurrency', '4');
  const done = finished(load);
  done.catch(() => {});
  // A quarter of the entries, at about 100 bytes a line.
  while (!existsSync(journal) || (await stat(journal)).size < packageCount * 25) {
    if (load.exitCode !== null) await done;
    await sleep(2);
  }
  await server.kill();
  const lines = (await readFile(journal, 'utf8')).split('\n').filter((line) => line !== '');
  const acknowledged = lines.map((line) => JSON.parse(line) as JournalLine);
  expect(acknowledged.length).toBeGreaterThan(1000);
  expect(acknowledged.length).toBeLessThan(packageCount);
  expect(load.exitCode).toBeNull();

  await server.restart();
  const content = await contentOf('again');
  const lost = acknowledged.filter(({ key, sha256, bytes }) => {
    const value = content.get(key);
    return value?.length !== bytes || createHash('sha256').update(value).digest('hex') !== sha256;
  });
  expect(lost).toEqual([]);

  await done;
  expect(differences(index, await contentOf('again'))).toEqual([]);
  // And the first load is as it was.
  expect(differences(index, await contentOf('debian'))).toEqual([]);
});
