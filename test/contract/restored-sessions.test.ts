// What clients know of before a restore: session tokens and cursors of a history that was discarded, at a node that was
// restored to an earlier moment, with as many partitions and with others.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository, type RepositorySettings } from '@statestore/checkpoint';
import { evenTopology, type Topology } from '@statestore/core';
import { buildGateway } from '@statestore/gateway';
import type { NodeService } from '@statestore/link';
import { openEmbeddedNode, restoreFolder } from '@statestore/node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ArchivedNode } from './embedded-archive-fixture.ts';

let folder: string;
let closers: (() => Promise<unknown>)[];
let checkpoint: string;
/** Of the last write, and of a watch that saw it. */
let lostToken: string;
let lostCursor: string;
const cursorKey = Buffer.alloc(32, 7);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-restored-sessions-'));
  closers = [() => rm(folder, { recursive: true, force: true })];
  const before = await ArchivedNode.open({ dataPath: join(folder, 'data'), repository: await openRepository(place()) });
  const http = await gatewayOf(before.embedded.node, before.embedded.topology);
  for (let i = 0; i < 8; i++) await put(http.url, `k${i}`);
  const made = await before.checkpoint();
  checkpoint = made.manifest!.id;
  for (let i = 0; i < 20; i++) lostToken = await put(http.url, `k${i % 12}`, lostToken);
  lostCursor = await cursorNow(http.url);
  await http.close();
  await before.close();
});
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
});

function place(): RepositorySettings {
  return { type: 'folder', path: join(folder, 'repository'), concurrency: 4 };
}

async function gatewayOf(node: NodeService, topology: Topology): Promise<{ url: string; close(): Promise<void> }> {
  const gateway = await buildGateway({ topology, node, version: 'test', cursorKey });
  const url = await gateway.app.listen({ host: '127.0.0.1', port: 0 });
  return { url, close: () => gateway.close() };
}

async function put(url: string, key: string, token?: string): Promise<string> {
  const headers = token === undefined ? {} : { 'StateStore-Session': token };
  const answer = await fetch(`${url}/v1/stores/s/keys/${key}`, { method: 'PUT', body: 'v', headers });
  expect(answer.status).toBeLessThan(300);
  return answer.headers.get('StateStore-Session')!;
}

async function read(url: string, key: string, token: string): Promise<{ status: number; token: string }> {
  const answer = await fetch(`${url}/v1/stores/s/keys/${key}?consistency=session`, {
    headers: { 'StateStore-Session': token },
    signal: AbortSignal.timeout(5000),
  });
  await answer.arrayBuffer();
  return { status: answer.status, token: answer.headers.get('StateStore-Session')! };
}

async function cursorNow(url: string): Promise<string> {
  const left = new AbortController();
  const answer = await fetch(`${url}/v1/stores/s/watch`, { signal: left.signal });
  expect(answer.status).toBe(200);
  const { value } = await answer.body!.getReader().read();
  left.abort();
  return /^id: (.*)$/m.exec(Buffer.from(value).toString())![1]!;
}

async function watchFrom(url: string, cursor: string): Promise<number> {
  const left = new AbortController();
  const answer = await fetch(`${url}/v1/stores/s/watch?cursor=${encodeURIComponent(cursor)}`, { signal: left.signal });
  const reader = answer.body!.getReader();
  await reader.read();
  await reader.cancel();
  left.abort();
  return answer.status;
}

test.each([
  { partitions: 2, knows: true },
  { partitions: 1, knows: true },
  { partitions: 3, knows: true },
  { partitions: 2, knows: false },
])('into $partitions partitions, behind a gateway that knows logs: $knows', async ({ partitions, knows }) => {
  const source = await openRepository(place());
  closers.push(() => source.close());
  const dataPath = join(folder, 'restored');
  const { signal } = new AbortController();
  await restoreFolder({ dataPath, source, moment: { kind: 'checkpoint', id: checkpoint }, partitions, signal });
  const restored = await openEmbeddedNode({
    dataPath,
    version: 'test',
    onHalted: (reason) => expect.fail(reason.message),
  });
  closers.push(() => restored.close());
  const http = await gatewayOf(restored.node, knows ? restored.topology : evenTopology(partitions, ['node']));
  closers.push(() => http.close());
  // At once: there is nothing to wait for.
  let { status, token } = await read(http.url, 'k1', lostToken);
  expect(status).toBe(200);
  expect((await read(http.url, 'k11', lostToken)).status).toBe(404);
  expect(await watchFrom(http.url, lostCursor)).toBe(410);
  // What was told of here counts as ever.
  token = await put(http.url, 'k11', token);
  expect((await read(http.url, 'k11', token)).status).toBe(200);
  await cursorNow(http.url);
});

test('a restored node that is restored from what it archived', async () => {
  const source = await openRepository(place());
  closers.push(() => source.close());
  const { signal } = new AbortController();
  const first = join(folder, 'first');
  await restoreFolder({ dataPath: first, source, moment: { kind: 'checkpoint', id: checkpoint }, signal });
  const restored = await ArchivedNode.open({ dataPath: first, repository: await openRepository(place()) });
  const http = await gatewayOf(restored.embedded.node, restored.embedded.topology);
  let token = lostToken;
  for (let i = 0; i < 20; i++) token = await put(http.url, `k${i % 12}`, token);
  const cursor = await cursorNow(http.url);
  await http.close();
  await restored.archived();
  await restored.close();
  const second = join(folder, 'second');
  await restoreFolder({ dataPath: second, source, moment: { kind: 'checkpoint', id: checkpoint }, signal });
  const again = await openEmbeddedNode({
    dataPath: second,
    version: 'test',
    onHalted: (reason) => expect.fail(reason.message),
  });
  closers.push(() => again.close());
  const later = await gatewayOf(again.node, again.topology);
  closers.push(() => later.close());
  for (const known of [lostToken, token]) expect((await read(later.url, 'k1', known)).status).toBe(200);
  for (const known of [lostCursor, cursor]) expect(await watchFrom(later.url, known)).toBe(410);
});
