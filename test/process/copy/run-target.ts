// Runs target-main.ts as a process and listens to it.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Said } from './said.ts';

const script = fileURLToPath(new URL('target-main.ts', import.meta.url));

export interface TargetOptions {
  readonly engine: 'lmdb' | 'memory';
  readonly folder: string;
  readonly port: number;
  /** Look at what is there, copy nothing. */
  readonly look?: boolean;
  /** MiB of a file system of its own, in memory, which is the folder then and is gone with the process. */
  readonly diskMb?: number;
  readonly onSaid?: (said: Said) => void;
}

export class Target {
  readonly said: Said[] = [];
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;

  constructor({ engine, folder, port, look = false, diskMb, onSaid }: TargetOptions) {
    const args = [script, engine, folder, String(port), look ? 'look' : 'copy'];
    // The mount lives in a namespace of the process, and ends with it.
    const mount = `mount -t tmpfs -o size=${diskMb}m tmpfs "$1" && shift && exec "$@"`;
    const [command, given] =
      diskMb === undefined
        ? [process.execPath, args]
        : ['unshare', ['--map-root-user', '--mount', 'sh', '-c', mount, 'sh', folder, process.execPath, ...args]];
    const child = spawn(command, given, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const said = JSON.parse(line) as Said;
      this.said.push(said);
      onSaid?.(said);
    });
    this.#gone = Promise.all([once(child, 'exit'), once(lines, 'close')]);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get records(): number {
    return this.said.findLast(({ progress }) => progress !== undefined)?.progress?.records ?? 0;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when it has ended, with all that it said. */
  async ended(): Promise<readonly Said[]> {
    await this.#gone;
    return this.said;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
