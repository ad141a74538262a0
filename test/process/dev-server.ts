// Runs the real `statestore dev` as a child process: starts it on a fixed port (so that clients find it
// again after a restart), waits until it is ready, kills it at any instant, keeps what it printed.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const launcher = fileURLToPath(new URL('../../services/cli/statestore', import.meta.url));
const readyTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const outputCharsMax = 200_000;

export interface DevServerOptions {
  readonly folder: string;
  readonly port?: number;
  readonly partitions?: number;
  readonly engine?: 'lmdb' | 'memory';
  /** Further arguments of `statestore dev`. */
  readonly args?: readonly string[];
  /** Arguments of node itself, for instance --cpu-prof. */
  readonly nodeArgs?: readonly string[];
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class DevServer {
  readonly url: string;
  readonly port: number;
  /** What every run so far printed, the newest last. */
  output = '';
  readonly #options: DevServerOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  private constructor(options: DevServerOptions, port: number) {
    this.#options = options;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Resolves when it is ready. */
  static async start(options: DevServerOptions): Promise<DevServer> {
    const server = new DevServer(options, options.port ?? (await freePort()));
    server.spawn();
    await server.ready();
    return server;
  }

  /** The process, where one runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process without waiting for it. */
  spawn(): void {
    if (this.#child !== undefined) throw new Error('the server runs already');
    const { folder, partitions = 4, engine = 'lmdb', args = [], nodeArgs = [] } = this.#options;
    const settings = [
      '--port',
      String(this.port),
      '--data',
      folder,
      '--partitions',
      String(partitions),
      '--engine',
      engine,
    ];
    // As `npm start` does. The launcher becomes node itself, so its process id is the server's.
    const child = spawn(launcher, ['dev', ...settings, ...args], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Compiling the sources again at each start would be half of a start.
      env: {
        NODE_COMPILE_CACHE: join(tmpdir(), 'statestore-compile-cache'),
        ...process.env,
        NODE_ENV: 'production',
        NODE_FLAGS: nodeArgs.join(' '),
      },
    });
    this.#child = child;
    const keep = (part: string): void => {
      this.output = (this.output + part).slice(-outputCharsMax);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        keep(`\n[exit: ${signal ?? code}]\n`);
        if (this.#child === child) this.#child = undefined;
        resolve();
      });
    });
  }

  /** Waits for /readyz. Throws with the output where the process ends before, or takes too long. */
  async ready(): Promise<void> {
    const deadline = performance.now() + readyTimeoutMs;
    while (performance.now() < deadline) {
      if (this.#child === undefined) throw new Error(`the server ended before it was ready:\n${this.output}`);
      const status = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status;
        },
        () => 0,
      );
      if (status === 200) return;
      await sleep(10);
    }
    throw new Error(`the server was not ready within ${readyTimeoutMs} ms:\n${this.output}`);
  }

  /** SIGKILL: no handler runs, nothing is flushed. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  async restart(): Promise<void> {
    this.spawn();
    await this.ready();
  }

  /** SIGTERM; throws where the process does not end in time. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGTERM');
    const late = new AbortController();
    const ended = await Promise.race([
      this.#exited.then(() => true),
      sleep(stopTimeoutMs, false, { signal: late.signal }).catch(() => false),
    ]);
    late.abort();
    if (ended) return;
    child.kill('SIGKILL');
    await this.#exited;
    throw new Error(`the server did not stop within ${stopTimeoutMs} ms of SIGTERM:\n${this.output}`);
  }
}
