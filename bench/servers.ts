// The processes that benchmarks measure.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Target } from './drive.ts';

export interface RunningServer extends Target {
  stop(): Promise<void>;
}

/** `valueBytes`: of the value that GET answers; `written`: the body that PUT answers. */
export async function startBareFastify(valueBytes: number, written: string): Promise<RunningServer> {
  const script = fileURLToPath(new URL('./bare-fastify.ts', import.meta.url));
  const child = spawn(process.execPath, [script, String(valueBytes), written], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  const { port } = JSON.parse(line) as { port: number };
  return {
    port,
    pid: child.pid!,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
