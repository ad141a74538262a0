// Ports of servers: from the range that was given, each once, and none that somebody listens on.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { Ports } from './ports.ts';

afterEach(() => vi.unstubAllEnvs());

test('lie in the range that was given, and are given once', async () => {
  vi.stubEnv('STATESTORE_TEST_PORTS', '31900-31908');
  const ports = new Ports('127.0.0.1');
  const given = new Set<number>();
  for (let i = 0; i < 4; i++) given.add(await ports.take());
  expect(given.size).toBe(4);
  for (const port of given) expect(port >= 31_900 && port < 31_908).toBe(true);
});

test('that somebody listens on are not given', async () => {
  const server = createServer().listen(await new Ports('127.0.0.1').take(), '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  vi.stubEnv('STATESTORE_TEST_PORTS', `${port}-${port + 1}`);
  await expect(new Ports('127.0.0.1').take()).rejects.toThrow(`no free port of 127.0.0.1 in ${port} to ${port}`);
  server.close();
  await once(server, 'close');
  expect(await new Ports('127.0.0.1').take()).toBe(port);
});
