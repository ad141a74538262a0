// Ports of loopback that nothing listens on, for servers that must have the same ones after a restart.
import { Ports } from '../../services/cli/src/local-cluster/ports.ts';

const ports = new Ports('127.0.0.1');

export async function freePorts(count: number): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < count; i++) taken.push(await ports.take());
  return taken;
}
