// Ports of loopback that nothing listens on, for servers that must have the same ones after a restart.
// Below the range that the kernel gives to outgoing connections: none of those takes a port while its
// server is down.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const lowest = 11_000;
const end = 32_000;
const attempts = 200;
/** Given out by this process. */
const taken = new Set<number>();

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let i = 0; i < attempts && ports.length < count; i++) {
    const port = randomInt(lowest, end);
    if (taken.has(port) || !(await isFree(port))) continue;
    taken.add(port);
    ports.push(port);
  }
  if (ports.length < count) throw new Error(`no ${count} free ports from ${lowest} to ${end}`);
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
