// A port that cannot be had is told by its address, without a stack.
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { listen } from './listen.ts';

const app = {
  listen: ({ host, port }: { host: string; port: number }): Promise<string> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(port, host, () => server.close(() => resolve(`http://${host}:${port}`)));
    }),
};

test('a port in use, and an address of another machine, are named', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  await expect(listen({ app }, '127.0.0.1', port)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining(`cannot listen on 127.0.0.1:${port}`),
    hint: expect.stringContaining('--port'),
  });
  await new Promise((resolve) => taken.close(resolve));
  await expect(listen({ app }, '192.0.2.1', port)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await listen({ app }, '127.0.0.1', port)).toBe(`http://127.0.0.1:${port}`);
});
